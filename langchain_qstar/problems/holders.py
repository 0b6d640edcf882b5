"""Who holds how many of what, and how that is said: the base of holdings stories."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_qstar.problems.lexicon import Holder, people, places, plural, thing
from langchain_qstar.problems.story import Story

FRACTIONS = {2: "half", 3: "a third", 4: "a quarter"}
TIMES = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}


@dataclass
class Measure:
    """What is counted: the verb, the unit, and whether events can change it."""

    unit: str
    base: str = "have"
    third: str = "has"
    countable: bool = True


MEASURES = (
    Measure("kilometers", "walk", "walks", countable=False),
    Measure("miles", "run", "runs", countable=False),
    Measure("pages", "read", "reads", countable=False),
    Measure("dollars", "save", "saves", countable=False),
    Measure("dollars", "earn", "earns", countable=False),
    Measure("points", "score", "scores", countable=False),
    Measure("laps", "swim", "swims", countable=False),
    Measure("pictures", "draw", "draws", countable=False),
    Measure("cups", "sell", "sells", countable=False),
    Measure("emails", "write", "writes", countable=False),
)


class Holders:
    """The holders of one story; `latest` maps each to what it has now, `first` to its start."""

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

    def _do(self, h: Holder) -> str:
        return "do" if h.plural else "does"
