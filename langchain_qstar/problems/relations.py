"""How a new holder is defined by a relation to earlier ones."""

from __future__ import annotations

from langchain_qstar.problems.holders import FRACTIONS, TIMES
from langchain_qstar.problems.lexicon import Holder
from langchain_qstar.problems.starts import Starts
from langchain_qstar.problems.story import Ref, RejectedError


class Relations(Starts):
    """How a new holder is defined by a relation to earlier ones."""

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
        times = rng.choice((f"{k} times", TIMES.get(k, f"{k} times")))
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
        fits = [k for k in FRACTIONS if self.story.value(i) % k == 0]
        if not fits:
            raise RejectedError
        k = rng.choice(fits)
        index = self.story.derive("/", [Ref(i), k], self.lines(h), self.asks(h))
        part = FRACTIONS[k]
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
            self.story.tell(index, f"{self.has(b)} {TIMES[k]} as many {unit} as {h.name}.")
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
