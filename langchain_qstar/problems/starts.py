"""How holders start: a given number, containers, habits, kinds."""

from __future__ import annotations

from langchain_qstar.problems.holders import Holders
from langchain_qstar.problems.lexicon import COLORS, CONTAINERS, NOVEL_CONTAINERS, Holder, plural
from langchain_qstar.problems.story import Ref, RejectedError


class Starts(Holders):
    """How holders start: a given number, containers, habits, kinds."""

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
