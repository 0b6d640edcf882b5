"""What happens to holders: losing, gaining, giving."""

from __future__ import annotations

from langchain_qstar.problems.holders import FRACTIONS
from langchain_qstar.problems.lexicon import FOOD, RELATIVES, Holder
from langchain_qstar.problems.relations import Relations
from langchain_qstar.problems.story import Ref, RejectedError


class Events(Relations):
    """What happens to holders: losing, gaining, giving."""

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
                f"{FRACTIONS[k].capitalize()} of them is {{eq}} {unit}.",
            ),
            (f"How many {unit} are [gone|given away]?",),
        )
        index = self._change(h, "-", Ref(part))
        then = self._then()
        verb = "gives away|sells|loses" if not h.plural else "give away|sell|lose"
        forms = [f"{then}{h.name} [{verb}] {FRACTIONS[k]} of {h.possessive} {unit}."]
        if not h.person:
            forms = [f"{then}{FRACTIONS[k]} of the {unit} in {h.name} are [taken|sold|removed]."]
        self.story.tell((part, index), *forms, event=True)
