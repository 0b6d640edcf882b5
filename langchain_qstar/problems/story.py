"""The computation graph behind a problem, and the sentences that tell it.

A `Story` collects quantities (given numbers, or one operation on earlier ones)
and facts (sentences that define quantities). A question asks for one quantity;
the quantities it depends on are the steps of the solution.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from langchain_qstar.problems.equations import evaluate

LARGEST_VALUE = 300
_CHOICE = re.compile(r"\[([^\[\]]*)\]")


class RejectedError(Exception):
    """This draw makes no sensible problem (a remainder, a negative count); draw again."""


@dataclass(frozen=True)
class Ref:
    """An operand that is another quantity of the story."""

    index: int


@dataclass(frozen=True)
class Quantity:
    """A number of the story. `op` is None for a number the text gives directly."""

    value: int
    op: str | None
    operands: tuple[int | Ref, ...]
    lines: tuple[str, ...]
    """Templates of a solution line, with the hole `{eq}`."""
    asks: tuple[str, ...]
    """Ways to ask for this quantity."""


@dataclass(frozen=True)
class Fact:
    """One or more sentences that stay together and define `defines`."""

    templates: tuple[str, ...]
    defines: tuple[int, ...]
    event: bool = False
    """Events keep their order and come after the static facts."""


def expand(template: str, rng: random.Random) -> str:
    """Replace every `[a|b|c]` by one of its alternatives, innermost first."""
    while match := _CHOICE.search(template):
        choice = rng.choice(match.group(1).split("|"))
        template = template[: match.start()] + choice + template[match.end() :]
    return re.sub(r" +(?=[ ?])", "", template).strip()


@dataclass
class Story:
    """A story under construction."""

    rng: random.Random
    novel: bool = False
    quantities: list[Quantity] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    kind: str = ""

    def given(self, value: int, *asks: str) -> int:
        """Add a number the text gives; returns its index."""
        self.quantities.append(Quantity(value, None, (), (), asks))
        return len(self.quantities) - 1

    def derive(
        self, op: str, operands: list[int | Ref], lines: tuple[str, ...], asks: tuple[str, ...]
    ) -> int:
        """Add the result of one operation; returns its index.

        Raises:
            RejectedError: The result is not a whole number in 1..LARGEST_VALUE.
        """
        value = evaluate(op, [self.number(x) for x in operands])
        if len(operands) < 2 or value is None or not 0 < value <= LARGEST_VALUE:
            raise RejectedError
        self.quantities.append(Quantity(value, op, tuple(operands), lines, asks))
        return len(self.quantities) - 1

    def tell(self, defines: int | tuple[int, ...], *templates: str, event: bool = False) -> None:
        """Add a fact; one of `templates` is drawn each time it is written."""
        indices = (defines,) if isinstance(defines, int) else defines
        self.facts.append(Fact(templates, indices, event))

    def number(self, operand: int | Ref) -> int:
        """The value of an operand."""
        return self.quantities[operand.index].value if isinstance(operand, Ref) else operand

    def value(self, index: int) -> int:
        """The value of a quantity."""
        return self.quantities[index].value

    def ancestors(self, target: int) -> set[int]:
        """The quantities `target` depends on, itself included."""
        seen: set[int] = set()
        stack = [target]
        while stack:
            index = stack.pop()
            if index not in seen:
                seen.add(index)
                stack += [x.index for x in self.quantities[index].operands if isinstance(x, Ref)]
        return seen

    def steps(self, target: int) -> list[int]:
        """The derived quantities among the ancestors of `target`, in order of creation."""
        return sorted(i for i in self.ancestors(target) if self.quantities[i].op)
