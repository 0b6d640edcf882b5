"""The family of stories about who has how many of what.

Holders (people, places, a group) start with a given number, a number of
containers, or a relation to another holder; then events change what they have;
then totals, differences, shares, packs and sales are asked for. The same
relations carry other measures too (kilometres walked, pages read, years of
age), without the events.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from langchain_qstar.problems.lexicon import (
    COLORS,
    CONTAINERS,
    FOOD,
    NOVEL_CONTAINERS,
    RELATIVES,
    Holder,
    people,
    places,
    plural,
    thing,
)
from langchain_qstar.problems.story import Ref, RejectedError, Story

_FRACTIONS = {2: "half", 3: "a third", 4: "a quarter"}
_TIMES = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}


@dataclass
class Measure:
    """What is counted: the verb, the unit, and whether events can change it."""

    unit: str
    base: str = "have"
    third: str = "has"
    many: str = "many"
    countable: bool = True
    more: str = "more"
    less: str = "fewer"


MEASURES = (
    Measure("kilometers", "walk", "walks", countable=False),
    Measure("miles", "run", "runs", countable=False),
    Measure("pages", "read", "reads", countable=False),
    Measure("dollars", "save", "saves", many="many", countable=False),
    Measure("dollars", "earn", "earns", countable=False),
    Measure("points", "score", "scores", countable=False),
    Measure("laps", "swim", "swims", countable=False),
    Measure("pictures", "draw", "draws", countable=False),
    Measure("cups", "sell", "sells", countable=False),
    Measure("emails", "write", "writes", countable=False),
)


class Holdings:
    """Builds one holdings story; `latest` maps each holder to what it has now."""

    def __init__(self, story: Story, size: int) -> None:
        self.story = story
        self.rng = story.rng
        rng = self.rng
        self.noun = thing(rng, novel=story.novel)
        self.measure = self._choose_measure()
        use_places = self.measure.countable and rng.random() < 0.18
        wanted = max(1, min(8, size // 2 + rng.choice((0, 1, 1, 2))))
        self.pool = (
            places(rng, wanted)
            if use_places
            else people(rng, wanted, novel=story.novel, past=rng.random() < 0.3)
        )
        self.latest: dict[str, int] = {}
        self.first: dict[str, int] = {}
        self.holders: list[Holder] = []

    def _choose_measure(self) -> Measure:
        if self.rng.random() < 0.16:
            return self.rng.choice(MEASURES)
        return Measure(plural(self.noun))

    # -- wording -----------------------------------------------------------------------------

    def has(self, h: Holder) -> str:
        """Subject and verb of a fact."""
        return f"{h.name} {h.verb(self.measure.base, self.measure.third)}"

    def states(self, h: Holder) -> str:
        """Subject and verb of a solution line, always in the present tense."""
        return f"{h.name} {self.measure.base if h.plural else self.measure.third}"

    def lines(self, h: Holder, *, left: bool = False) -> tuple[str, ...]:
        """Solution lines that state what `h` has; `left`: after something changed."""
        unit, has = self.measure.unit, self.states(h)
        plain = (f"{has} {{eq}} {unit}.", f"[So|Thus] {has} {{eq}} {unit}.")
        if not left:
            return plain
        return (f"Now {has} {{eq}} {unit}.", f"{has} {{eq}} {unit} [left|now].", *plain)

    def asks(self, h: Holder, *, now: str = "") -> tuple[str, ...]:
        """Questions for what `h` has; `now` is `left` or `now` after a change."""
        unit, base = self.measure.unit, self.measure.base
        does = "do" if h.plural else "does"
        forms = [f"How many {unit} {does} {h.name} {base} {now}?".replace(" ?", "?")]
        if now and self.measure.countable:
            left = "[left|now|in the end]" if now == "now" else now
            forms.append(f"How many {unit} {does} {h.name} {base} {left}?")
            forms.append(f"How many {unit} are [there in the end|left with {h.name}]?")
            if len(self.holders) == 1:
                forms += [f"How many {unit} {does} {h.pronoun} have {now}?"]
                forms += [
                    f"How many {unit} are [left|there now]?"
                    if now == "left"
                    else f"How many {unit} are there [now|in all]?"
                ]
        return tuple(forms)

    # -- starts ------------------------------------------------------------------------------

    def add(self, h: Holder, index: int) -> None:
        """Let `h` hold the quantity `index` from now on."""
        self.holders.append(h)
        self.latest[h.name] = self.first[h.name] = index

    def next_holder(self) -> Holder:
        """Somebody who holds nothing yet."""
        used = {h.name for h in self.holders}
        left = [h for h in self.pool if h.name not in used]
        if not left:
            raise RejectedError
        return left[0]

    def start_given(self) -> None:
        """A new holder with a given number."""
        h, rng = self.next_holder(), self.rng
        value = rng.choice((rng.randint(2, 20), rng.randint(5, 40), rng.randint(20, 99)))
        index = self.story.given(value, *self.asks(h))
        unit = self.measure.unit
        forms = [f"{self.has(h)} {value} {unit}."]
        if self.measure.countable and h.person:
            forms += [
                f"{h.name} [has|buys|has got|starts with|collected|owns] {value} {unit}.",
                f"{h.name} [had|made|picked|found|got|bought] {value} {unit}.",
                f"There are {value} {unit} [with|that belong to] {h.name}.",
            ]
        elif self.measure.countable:
            forms += [
                f"There are {value} {unit} in {h.name}.",
                f"In {h.name} there are {value} {unit}.",
                f"{h.name} [holds|contains] {value} {unit}.",
            ]
        self.story.tell(index, *forms)
        self.add(h, index)

    def start_containers(self) -> None:
        """A new holder with a number of equal containers."""
        if not self.measure.countable:
            return self.start_repeated()
        h, rng, unit = self.next_holder(), self.rng, self.measure.unit
        count, each = rng.randint(2, 9), rng.choice((rng.randint(2, 12), rng.randint(2, 20)))
        boxes, box = self._containers()
        index = self.story.derive("*", [count, each], self.lines(h), self.asks(h))
        has = f"{h.name} [has|buys|owns]" if h.person else self.has(h)
        bought = f"{h.name} [bought|had|got]" if h.person else self.has(h)
        self.story.tell(
            index,
            f"{has} {count} {boxes} of {unit}. [Each {box}|Every {box}] [has|holds|contains] {each} {unit}.",
            f"{has} {count} {boxes} with {each} {unit} [in each|each|in each {box}|in every {box}].",
            f"{bought} {count} {boxes} of {unit}. There are {each} {unit} in [each|every] {box}.",
            f"{has} {count} {boxes} of {each} {unit}[| each].",
            f"{has} {count} {boxes}. [Each|Each {box}] has {each} {unit}[| inside| in it].",
            f"{bought} {count} {boxes} of {unit} with {each} in each[| {box}].",
            f"There are {each} {unit} in [a|each|one] {box}. {bought} {count} {boxes}.",
            f"[A|Each|One] {box} [has|holds] {each} {unit}. {has} {count} {boxes}.",
        )
        self.add(h, index)
        return None

    def start_repeated(self) -> None:
        """A new holder who does the same every day, week or hour."""
        h, rng, unit, m = self.next_holder(), self.rng, self.measure.unit, self.measure
        each, count = rng.choice((rng.randint(2, 12), rng.randint(2, 20))), rng.randint(2, 9)
        period = rng.choice(("day", "week", "hour", "month"))
        per = "an" if period == "hour" else "a"
        index = self.story.derive("*", [each, count], self.lines(h), self.asks(h))
        self.story.tell(
            index,
            f"{h.name} {m.third} {each} {unit} [every|each|{per}] {period} for {count} {plural(period)}.",
            f"{h.name} {m.third} {each} {unit} [every|each|{per}] {period}. {h.pronoun.capitalize()} "
            f"does this for {count} {plural(period)}.",
            f"For {count} {plural(period)}, {h.name} {m.third} {each} {unit} [every|each|{per}] {period}.",
        )
        self.add(h, index)

    def _containers(self) -> tuple[str, str]:
        novel = self.story.novel and self.rng.random() < 0.5
        box = self.rng.choice(NOVEL_CONTAINERS if novel else CONTAINERS)
        return plural(box), box

    def start_kinds(self) -> None:
        """One holder with two or three kinds of the thing."""
        if not self.measure.countable or " " in self.noun:
            return self.start_given()
        h, rng, unit = self.next_holder(), self.rng, self.measure.unit
        count = rng.choice((2, 2, 3))
        numbers = [rng.randint(2, 30) for _ in range(count)]
        colors = rng.sample(COLORS, count)
        kinds = [
            self.story.given(n, f"How many {c} {unit} does {h.name} have?")
            for n, c in zip(numbers, colors, strict=True)
        ]
        index = self.story.derive(
            "+", [Ref(k) for k in kinds], self.lines(h), self.asks(h, now="in total")
        )
        parts = [f"{n} {c} {unit}" for n, c in zip(numbers, colors, strict=True)]
        listed = ", ".join(parts[:-1]) + " and " + parts[-1]
        self.story.tell(
            (*kinds, index),
            f"{self.has(h)} {listed}.",
            f"{h.name} [bought|has|got] {listed}."
            if h.person
            else f"There are {listed} in {h.name}.",
        )
        self.add(h, index)
        return None

    # -- relations ---------------------------------------------------------------------------

    def relate(self) -> None:
        """Define a new holder by a relation to one or two earlier ones."""
        if not self.holders:
            raise RejectedError
        draw = self.rng.random()
        if draw < 0.3:
            self._more_or_fewer()
        elif draw < 0.48:
            self._multiple()
        elif draw < 0.62:
            self._fraction()
        elif draw < 0.72:
            self._reversed()
        elif len(self.holders) > 1:
            self._sum_of_two()
        else:
            self._more_or_fewer()

    def _base(self) -> tuple[Holder, int]:
        h = self.rng.choice(self.holders[-3:])
        return h, self.first[h.name]

    def _as(self, h: Holder) -> str:
        return f"{h.name}" if self.rng.random() < 0.7 else f"{h.name} {self._do(h)}"

    def _do(self, h: Holder) -> str:
        return "do" if h.plural else "does"

    def _more_or_fewer(self) -> None:
        h, (b, i), rng, unit = self.next_holder(), self._base(), self.rng, self.measure.unit
        k = rng.choice((rng.randint(2, 12), rng.randint(3, 30)))
        more = rng.random() < 0.5
        index = self.story.derive("+" if more else "-", [Ref(i), k], self.lines(h), self.asks(h))
        word = "more" if more else rng.choice(("fewer", "fewer", "less"))
        forms = [
            f"{self.has(h)} {k} {word} {unit} than {self._as(b)}.",
            f"{self.has(h)} {k} {word} than {b.name}.",
            f"[Compared to|Compared with] {b.name}, {self.has(h)} {k} {word} {unit}.",
        ]
        if self.story.novel and rng.random() < 0.6:
            forms = [
                f"{h.name} is {'ahead of' if more else 'behind'} {b.name} by {k} {unit}.",
                f"{b.name} would need {k} {'more' if more else 'fewer'} {unit} to match {h.name}.",
            ]
        self.story.tell(index, *forms)
        self.add(h, index)

    def _multiple(self) -> None:
        h, (b, i), rng, unit = self.next_holder(), self._base(), self.rng, self.measure.unit
        k = rng.choice((2, 2, 3, 3, 4, 5))
        index = self.story.derive("*", [Ref(i), k], self.lines(h), self.asks(h))
        times = rng.choice((f"{k} times", _TIMES.get(k, f"{k} times")))
        much = "as far as" if unit in ("kilometers", "miles") else f"as many {unit} as"
        forms = [
            f"{self.has(h)} {times} as many {unit} as {self._as(b)}.",
            f"{self.has(h)} {times} {much} {b.name}.",
            f"{self.has(h)} {times} as many as {b.name}.",
        ]
        if k == 2:
            forms.append(
                f"{self.has(h)} double the number of {unit} {b.name} {self.measure.third if not b.plural else self.measure.base}."
            )
        if k > 2:
            forms.append(f"{self.has(h)} {k} times the number of {unit} that {self.has(b)}.")
        self.story.tell(index, *forms)
        self.add(h, index)

    def _fraction(self) -> None:
        h, (b, i), rng, unit = self.next_holder(), self._base(), self.rng, self.measure.unit
        fits = [k for k in _FRACTIONS if self.story.value(i) % k == 0]
        if not fits:
            raise RejectedError
        k = rng.choice(fits)
        index = self.story.derive("/", [Ref(i), k], self.lines(h), self.asks(h))
        part = _FRACTIONS[k]
        self.story.tell(
            index,
            f"{self.has(h)} {part} as many {unit} as {self._as(b)}.",
            f"{self.has(h)} {part} as many as {b.name}.",
            f"{self.has(h)} {part} of the number of {unit} that {self.has(b)}.",
        )
        self.add(h, index)

    def _reversed(self) -> None:
        """The known holder is described in terms of the new one."""
        h, (b, i), rng, unit = self.next_holder(), self._base(), self.rng, self.measure.unit
        value = self.story.value(i)
        divisors = [k for k in (2, 3, 4, 5) if value % k == 0]
        if divisors and rng.random() < 0.35:
            k = rng.choice(divisors)
            index = self.story.derive("/", [Ref(i), k], self.lines(h), self.asks(h))
            self.story.tell(index, f"{self.has(b)} {_TIMES[k]} as many {unit} as {h.name}.")
        else:
            k, more = rng.randint(2, 25), rng.random() < 0.6
            op = "-" if more else "+"
            index = self.story.derive(op, [Ref(i), k], self.lines(h), self.asks(h))
            word = "more" if more else "fewer"
            self.story.tell(
                index,
                f"{self.has(b)} {k} {word} {unit} than {h.name}.",
                f"{self.has(b)} {k} {word} than {h.name}.",
            )
        self.add(h, index)

    def _sum_of_two(self) -> None:
        h, unit = self.next_holder(), self.measure.unit
        a, b = self.rng.sample(self.holders, 2)
        index = self.story.derive(
            "+", [Ref(self.first[a.name]), Ref(self.first[b.name])], self.lines(h), self.asks(h)
        )
        self.story.tell(
            index,
            f"{self.has(h)} as many {unit} as {a.name} and {b.name} [together|combined].",
            f"{self.has(h)} the same number of {unit} as {a.name} and {b.name} [together|combined].",
        )
        self.add(h, index)

    # -- events ------------------------------------------------------------------------------

    def event(self) -> None:
        """Change what one holder has."""
        if not self.measure.countable or not self.holders:
            raise RejectedError
        h = self.rng.choice(self.holders)
        draw = self.rng.random()
        if draw < 0.28:
            self._lose(h)
        elif draw < 0.46:
            self._gain(h)
        elif draw < 0.6:
            self._gain_containers(h)
        elif draw < 0.72:
            self._transfer(h)
        elif draw < 0.86:
            self._give_each(h)
        else:
            self._part_gone(h)

    def _then(self) -> str:
        return self.rng.choice(("", "", "Then ", "After that, ", "Later, ", "Next, "))

    def _change(self, h: Holder, op: str, amount: int | Ref) -> int:
        now = "left" if op == "-" else "now"
        index = self.story.derive(
            op, [Ref(self.latest[h.name]), amount], self.lines(h, left=True), self.asks(h, now=now)
        )
        self.latest[h.name] = index
        return index

    def _lose(self, h: Holder) -> None:
        rng, unit = self.rng, self.measure.unit
        k = rng.choice((rng.randint(1, 12), rng.randint(2, 30)))
        index = self._change(h, "-", k)
        who = rng.choice(("a friend", "some friends", f"{h.possessive} {rng.choice(RELATIVES)}"))
        then = self._then()
        if not h.person:
            self.story.tell(
                index,
                f"{then}{k} {unit} are [taken|removed|sold|lost] from {h.name}.",
                f"{then}people [take|remove] {k} {unit} from {h.name}.",
                event=True,
            )
            return
        v = h.verb
        forms = [
            f"{then}{h.name} {v('give', 'gives')} {k} {unit} to {who}.",
            f"{then}{h.name} {v('give', 'gives')} away {k} {unit}.",
            f"{then}{h.name} {v('give', 'gives')} {who} {k} {unit}.",
            f"{then}{h.name} {v('lose', 'loses')} {k} [{unit}|of them].",
            f"{then}{h.name} {v('sell', 'sells')} {k} [{unit}|of them].",
            f"{then}{k} of {h.name}'s {unit} [are lost|get lost|break|are broken].",
        ]
        if not then:
            forms += [
                f"{h.pronoun.capitalize()} {v('give', 'gives')} {k} {unit} to {who}.",
                f"{h.pronoun.capitalize()} {v('give', 'gives')} {k} of them to {who}.",
                f"{h.pronoun.capitalize()} {v('lose', 'loses')} {k} of them.",
                f"{h.name} gave {k} {unit} to {who}.",
                f"{h.name} used {k} of them.",
            ]
            if len(self.holders) > 1:
                forms = [f for f in forms if not f.startswith(("He ", "She "))]
        if self.noun.split()[-1] in FOOD:
            forms += [
                f"{then}{h.name} {v('eat', 'eats')} {k} [{unit}|of them].",
                f"{then}{h.name} ate {k} {unit}.",
            ]
        if self.story.novel and rng.random() < 0.6:
            forms = [
                f"{then}{h.name} {v('trade', 'trades')} away {k} {unit} for a book.",
                f"{then}{h.name} {v('donate', 'donates')} {k} {unit} to charity.",
            ]
        self.story.tell(index, *forms, event=True)

    def _gain(self, h: Holder) -> None:
        rng, unit = self.rng, self.measure.unit
        k = rng.choice((rng.randint(1, 15), rng.randint(3, 30)))
        index = self._change(h, "+", k)
        then, v = self._then(), h.verb
        if not h.person:
            self.story.tell(
                index,
                f"{then}{k} more {unit} are [put into|added to|brought to] {h.name}.",
                f"{then}people bring {k} more {unit} to {h.name}.",
                event=True,
            )
            return
        forms = [
            f"{then}{h.name} {v('buy', 'buys')} {k} [more |]{unit}.",
            f"{then}{h.name} {v('find', 'finds')} {k} [more |]{unit}.",
            f"{then}{h.name} {v('get', 'gets')} {k} more {unit}[| from a friend| as a gift].",
            f"{then}a friend gives {h.name} {k} [more |]{unit}.",
            f"{then}{h.name} bought {k} more.",
        ]
        if len(self.holders) == 1 and not then:
            forms.append(f"{h.pronoun.capitalize()} {v('buy', 'buys')} {k} more {unit}.")
            forms.append(f"{h.pronoun.capitalize()} {v('find', 'finds')} {k} more.")
        self.story.tell(index, *forms, event=True)

    def _gain_containers(self, h: Holder) -> None:
        rng, unit = self.rng, self.measure.unit
        count, each = rng.randint(2, 6), rng.randint(2, 12)
        boxes, box = self._containers()
        product = self.story.derive(
            "*",
            [count, each],
            (f"The {boxes} hold {{eq}} {unit}.", f"The {count} {boxes} have {{eq}} {unit}."),
            (f"How many {unit} are in the {count} {boxes}?",),
        )
        index = self._change(h, "+", Ref(product))
        then = self._then()
        verb = (
            f"{h.name} {h.verb('buy', 'buys')}" if h.person else f"{h.name} {h.verb('get', 'gets')}"
        )
        self.story.tell(
            (product, index),
            f"{then}{verb} {count} {boxes} of {unit} with {each} {unit} [each|in each {box}].",
            f"{then}{verb} {count} [more |]{boxes} of {unit}. Each {box} [has|holds|contains] {each} {unit}.",
            f"{then}{verb} {count} {boxes} of {each} {unit}[| each].",
            event=True,
        )

    def _transfer(self, h: Holder) -> None:
        others = [x for x in self.holders if x.name != h.name]
        if not others:
            raise RejectedError
        other, unit = self.rng.choice(others), self.measure.unit
        k = self.rng.choice((self.rng.randint(1, 10), self.rng.randint(2, 30)))
        given = self._change(h, "-", k)
        got = self._change(other, "+", k)
        then = self._then()
        if h.person:
            forms = [
                f"{then}{h.name} {h.verb('give', 'gives')} {k} {unit} to {other.name}.",
                f"{then}{h.name} {h.verb('give', 'gives')} {other.name} {k} {unit}.",
                f"{then}{h.name} {h.verb('hand', 'hands')} {k} {unit} to {other.name}.",
            ]
        else:
            forms = [f"{then}{k} {unit} are [moved|taken] from {h.name} to {other.name}."]
        self.story.tell((given, got), *forms, event=True)

    def _give_each(self, h: Holder) -> None:
        if not h.person:
            raise RejectedError
        rng, unit = self.rng, self.measure.unit
        m, k = rng.randint(2, 7), rng.randint(2, 9)
        who = rng.choice(("friends", "children", "classmates", "cousins", "neighbors", "students"))
        gives = h.verb("give", "gives")
        product = self.story.derive(
            "*",
            [m, k],
            (f"{h.name} {gives} away {{eq}} {unit}.", f"The {m} {who} get {{eq}} {unit}."),
            (
                f"How many {unit} {self._do(h)} {h.name} give away?",
                f"How many {unit} do the {m} {who} get?",
            ),
        )
        index = self._change(h, "-", Ref(product))
        then = self._then()
        self.story.tell(
            (product, index),
            f"{then}{h.name} {gives} {k} {unit} to each of {h.possessive} {m} {who}.",
            f"{then}{h.name} {gives} {k} {unit} to each of {m} {who}.",
            f"{then}{h.name} {gives} {m} {who} {k} {unit} each.",
            f"{then}{m} {who} get {k} {unit} each from {h.name}.",
            event=True,
        )

    def _part_gone(self, h: Holder) -> None:
        value = self.story.value(self.latest[h.name])
        fits = [k for k in (2, 2, 3, 4) if value % k == 0]
        if not fits or value < 4:
            raise RejectedError
        k, unit = self.rng.choice(fits), self.measure.unit
        part = self.story.derive(
            "/",
            [Ref(self.latest[h.name]), k],
            (
                f"That is {{eq}} {unit} gone.",
                f"{_FRACTIONS[k].capitalize()} of them is {{eq}} {unit}.",
            ),
            (f"How many {unit} are [gone|given away]?",),
        )
        index = self._change(h, "-", Ref(part))
        then = self._then()
        verb = "gives away|sells|loses" if not h.plural else "give away|sell|lose"
        forms = [f"{then}{h.name} [{verb}] {_FRACTIONS[k]} of {h.possessive} {unit}."]
        if not h.person:
            forms = [f"{then}{_FRACTIONS[k]} of the {unit} in {h.name} are [taken|sold|removed]."]
        self.story.tell((part, index), *forms, event=True)

    # -- conclusions -------------------------------------------------------------------------

    def conclude(self) -> None:
        """Add totals, differences, shares, packs or sales over what holders have now."""
        draw = self.rng.random()
        if len(self.holders) > 1 and draw < 0.5:
            self._total()
        elif len(self.holders) > 1 and draw < 0.65:
            self._difference()
        elif draw < 0.75:
            self._share()
        elif draw < 0.87:
            self._pack()
        else:
            self._sell()

    def _total(self) -> None:
        k = self.rng.choice((2, 2, 3)) if len(self.holders) > 2 else 2
        group = self.rng.sample(self.holders, k)
        unit, base = self.measure.unit, self.measure.base
        names = [h.name for h in group]
        who = " and ".join(names) if k == 2 else f"{names[0]}, {names[1]} and {names[2]}"
        index = self.story.derive(
            "+",
            [Ref(self.latest[n]) for n in names],
            (
                f"Together they {base} {{eq}} {unit}.",
                f"{who} {base} {{eq}} {unit} [together|in total].",
                f"In total that is {{eq}} {unit}.",
            ),
            (
                f"How many {unit} do {who} {base} [together|in total|in all|altogether]?",
                f"How many {unit} do [they|{who}] {base} [together|in total|in all|altogether|combined]?"
                if len(self.holders) == k
                else f"How many {unit} do {who} {base} [together|combined]?",
                f"What is the total number of {unit} {who} {base}?",
            ),
        )
        they = Holder("they", "they", "their", plural=True, past=group[0].past)
        if self.measure.countable and group[0].person and "they" not in self.latest:
            self.story.tell(
                index,
                f"{who} put [all their {unit}|their {unit}] together.",
                f"{who} [combine|join] their {unit}.",
                event=True,
            )
            self.holders = [h for h in self.holders if h.name not in names]
            self.add(they, index)

    def _difference(self) -> None:
        a, b = self.rng.sample(self.holders, 2)
        if self.story.value(self.latest[a.name]) < self.story.value(self.latest[b.name]):
            a, b = b, a
        unit, base = self.measure.unit, self.measure.base
        self.story.derive(
            "-",
            [Ref(self.latest[a.name]), Ref(self.latest[b.name])],
            (
                f"{self.states(a)} {{eq}} more {unit} than {b.name}.",
                f"The difference is {{eq}} {unit}.",
            ),
            (
                f"How many more {unit} {self._do(a)} {a.name} {base} than {b.name}?",
                f"How many fewer {unit} {self._do(b)} {b.name} {base} than {a.name}?",
            ),
        )

    def _divisor(self, value: int) -> int:
        fits = [k for k in range(2, 10) if value % k == 0 and value // k > 1]
        if not fits:
            raise RejectedError
        return self.rng.choice(fits)

    def _share(self) -> None:
        h = self.rng.choice(self.holders)
        m, unit = self._divisor(self.story.value(self.latest[h.name])), self.measure.unit
        if not (self.measure.countable and h.person):
            raise RejectedError
        if self.rng.random() < 0.35:
            self._share_into_boxes(h, m)
            return
        who = self.rng.choice(("friends", "children", "kids", "people", "students", "cousins"))
        one = {"people": "person", "children": "child"}.get(who, who[:-1])
        index = self.story.derive(
            "/",
            [Ref(self.latest[h.name]), m],
            (f"Each {one} gets {{eq}} {unit}.", f"Every {one} gets {{eq}} {unit}."),
            (
                f"How many {unit} does each {one} get?",
                f"How many {unit} does [every|one] {one} get?",
                f"How many {unit} will each {one} [get|have|receive]?",
                f"How many does each {one} get?",
            ),
        )
        verb, then = h.verb("share", "shares"), self._then()
        self.story.tell(
            index,
            f"{then}{h.name} {verb} [all the|{h.possessive}|the] {unit} equally [among|between|with] {m} {who}.",
            f"{then}{h.name} {verb} them equally [among|between] {m} {who}.",
            f"{then}{m} {who} share the {unit} of {h.name} equally."
            if not h.plural
            else f"{then}{m} {who} share the {unit} equally.",
            f"{then}{h.name} {h.verb('divide', 'divides')} [all the|the] {unit} equally among {m} {who}.",
            event=True,
        )
        if self.rng.random() < 0.4:
            extra = self.rng.randint(2, 20)
            had = self.story.derive(
                "+",
                [Ref(index), extra],
                (f"Then each {one} has {{eq}} {unit}.", f"Each {one} has {{eq}} {unit} now."),
                (f"How many {unit} does each {one} have [now|in the end]?",),
            )
            self.story.tell(
                had,
                f"Each {one} already had {extra} {unit}.",
                f"Each of the {who} already had {extra} {unit}.",
                f"Before this each {one} had {extra} {unit}.",
                event=True,
            )

    def _share_into_boxes(self, h: Holder, m: int) -> None:
        unit, (boxes, box) = self.measure.unit, self._containers()
        index = self.story.derive(
            "/",
            [Ref(self.latest[h.name]), m],
            (f"Each {box} has {{eq}} {unit}.", f"There are {{eq}} {unit} in each {box}."),
            (
                f"How many {unit} are in [each|every|one] {box}?",
                f"How many {unit} does [each|every] {box} [have|hold]?",
                f"How many {unit} go into each {box}?",
            ),
        )
        put, then = h.verb("put", "puts"), self._then()
        self.story.tell(
            index,
            f"{then}{h.name} {put} [them|the {unit}|all the {unit}] equally into {m} {boxes}.",
            f"{then}{h.name} {put} [them|the {unit}|all the {unit}] into {m} {boxes}, the same number in each.",
            f"{then}{h.name} {h.verb('divide', 'divides')} [them|the {unit}] equally into {m} {boxes}.",
            event=True,
        )

    def _pack(self) -> None:
        h = self.rng.choice(self.holders)
        if not (self.measure.countable and h.person):
            raise RejectedError
        m, unit = self._divisor(self.story.value(self.latest[h.name])), self.measure.unit
        boxes, box = self._containers()
        verb = h.verb("need", "needs")
        index = self.story.derive(
            "/",
            [Ref(self.latest[h.name]), m],
            (f"{h.name} {verb} {{eq}} {boxes}.", f"That makes {{eq}} {boxes}."),
            (
                f"How many {boxes} {self._do(h)} {h.name} [need|fill|have|get]?",
                f"How many {boxes} are [there|needed|filled]?",
            ),
        )
        pack, then = h.verb("pack", "packs"), self._then()
        put = h.verb("put", "puts")
        self.story.tell(
            index,
            f"{then}{h.name} {pack} [all the|the|{h.possessive}] {unit} [in|into] {boxes} of {m}[| {unit}][| each].",
            f"{then}{h.name} {put} [all the|the] {unit} into {boxes} with {m} [{unit} |]in each[| {box}].",
            f"{then}{h.name} {put} them in {boxes}. Each {box} [holds|gets|has] {m} {unit}.",
            event=True,
        )
        if self.rng.random() < 0.45:
            self._sell_boxes(h, index, boxes, box)

    def _sell_boxes(self, h: Holder, count: int, boxes: str, box: str) -> None:
        price, does = self.rng.randint(2, 9), self._do(h)
        money = self.story.derive(
            "*",
            [Ref(count), price],
            (
                f"{h.name} {h.verb('get', 'gets')} {{eq}} dollars.",
                f"The {boxes} bring {{eq}} dollars.",
            ),
            (f"How [much money|many dollars|much] {does} {h.name} [get|make|earn]?",),
        )
        self.story.tell(
            money,
            f"{h.name} {h.verb('sell', 'sells')} [each|every] {box} for [{price} dollars|${price}].",
            f"{h.name} {h.verb('sell', 'sells')} the {boxes} for [{price} dollars|${price}] each.",
            f"[Each|Every] {box} is sold for [{price} dollars|${price}].",
            event=True,
        )

    def _sell(self) -> None:
        h = self.rng.choice(self.holders)
        if not (self.measure.countable and h.person):
            raise RejectedError
        rng, unit = self.rng, self.measure.unit
        price = rng.randint(2, 9)
        sell, does = h.verb("sell", "sells"), self._do(h)
        one = self.noun
        money = self.story.derive(
            "*",
            [Ref(self.latest[h.name]), price],
            (
                f"{h.name} {h.verb('get', 'gets')} {{eq}} dollars.",
                f"The {unit} bring {{eq}} dollars.",
            ),
            (
                f"How [much money|many dollars] {does} {h.name} [get|make|earn|receive]?",
                f"How many dollars do the {unit} bring?",
            ),
        )
        then = self._then()
        cost = f"[{price} dollars|${price}]"
        self.story.tell(
            money,
            f"{then}{h.name} {sell} [all|all of] the {unit} for {cost} each.",
            f"{then}{h.name} {sell} [each|every] {one} for {cost}.",
            f"{then}{h.name} {sell} {h.possessive} {unit} at {cost} each.",
            event=True,
        )
        if rng.random() < 0.5:
            spent = rng.randint(2, max(3, self.story.value(money) - 1))
            left = self.story.derive(
                "-",
                [Ref(money), spent],
                (
                    f"{h.name} {h.verb('have', 'has')} {{eq}} dollars left.",
                    "{eq} dollars are left.",
                ),
                (
                    f"How [much money|many dollars] {does} {h.name} have left?",
                    "How many dollars are left?",
                ),
            )
            spend = h.verb("spend", "spends")
            self.story.tell(
                left,
                f"Then {h.name} {spend} {spent} dollars[| of this money| on lunch].",
                f"{h.name} {spend} ${spent} [of it|of the money|on a gift].",
                event=True,
            )


def build_holdings(story: Story, size: int) -> None:
    """Grow a holdings story to about `size` operations (possibly more)."""
    h = Holdings(story, size)
    story.kind = "holdings"
    rng: random.Random = story.rng
    rng.choices((h.start_given, h.start_containers, h.start_kinds), (50, 38, 12))[0]()

    def derived() -> int:
        return sum(q.op is not None for q in story.quantities)

    attempts = 0
    want_events = h.measure.countable and rng.random() < 0.6
    relations = size if not want_events else rng.randint(0, max(0, size - 1))
    while derived() < relations and attempts < 12:
        attempts += 1
        draw = rng.random()
        try:
            if draw < 0.7:
                h.relate()
            elif draw < 0.82:
                h.start_containers()
            elif draw < 0.88:
                h.start_kinds()
            else:
                h.start_given()
        except RejectedError:
            continue
    attempts = 0
    while derived() < size and attempts < 20:
        attempts += 1
        snapshot = len(story.quantities), len(story.facts), dict(h.latest), list(h.holders)
        try:
            if want_events and rng.random() < 0.68:
                h.event()
            else:
                h.conclude()
        except RejectedError:
            del story.quantities[snapshot[0] :]
            del story.facts[snapshot[1] :]
            h.latest, h.holders = snapshot[2], snapshot[3]
