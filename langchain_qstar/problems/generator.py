"""Draws word problems: a question, its answer, and as many valid solutions as wanted.

A problem is determined by (split, number of steps, seed). Splits are disjoint by
construction: each computation graph has a signature (operations and numbers, no
names and no wording), a hash of the signature decides which split may use it,
and draws that fall elsewhere are thrown away. The `novel` split, besides, only
holds problems with a relation, wording, name or noun that no other split has.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from langchain_qstar.problems.ages import build_ages
from langchain_qstar.problems.days import build_days
from langchain_qstar.problems.equations import write_equation
from langchain_qstar.problems.holdings import build_holdings
from langchain_qstar.problems.layouts import build_layout
from langchain_qstar.problems.lexicon import HE, NOVEL_WORDS, ROLES, SHE
from langchain_qstar.problems.shopping import build_shopping
from langchain_qstar.problems.story import Fact, Ref, RejectedError, Story, expand
from langchain_qstar.problems.work import build_work

Split = Literal["train", "dev", "test", "novel"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test", "novel")
MIN_STEPS, MAX_STEPS = 1, 10

_BUCKETS = 100
_SPLIT_BUCKETS = {
    "train": range(85),
    "dev": range(85, 90),
    "test": range(90, 95),
    "novel": range(95, 100),
}
_FAMILIES = (
    (0.48, build_holdings),
    (0.17, build_shopping),
    (0.12, build_work),
    (0.12, build_layout),
    (0.05, build_ages),
    (0.06, build_days),
)


@dataclass(frozen=True)
class Problem:
    """A question with its computation graph.

    `facts` are the sentences in logical order (for rephrasing), `question` the
    text a solver sees. The gold answer and solutions are methods of this class
    only; no search state ever holds a `Problem`.
    """

    story: Story
    target: int
    facts: tuple[Fact, ...]
    question: str
    ask: str
    split: Split
    seed: int

    @property
    def answer(self) -> int:
        """The gold answer."""
        return self.story.value(self.target)

    @property
    def steps(self) -> int:
        """Number of operations needed."""
        return len(self.story.steps(self.target))

    @property
    def kind(self) -> str:
        """The family the story belongs to."""
        return self.story.kind

    @property
    def signature(self) -> str:
        """The graph without its words: equal for problems that differ in wording only."""
        return signature(self.story, self.target)

    def line(self, index: int, rng: random.Random) -> str:
        """One solution line for quantity `index`, worded at random."""
        q = self.story.quantities[index]
        equation = write_equation(str(q.op), [self.story.number(x) for x in q.operands], rng)
        return capitalised(expand(rng.choice(q.lines), rng).replace("{eq}", equation))

    def order(self, rng: random.Random) -> list[int]:
        """The needed operations in a random valid order."""
        needed = self.story.steps(self.target)
        done: list[int] = []
        while len(done) < len(needed):
            ready = [
                i
                for i in needed
                if i not in done
                and all(
                    not isinstance(x, Ref)
                    or x.index in done
                    or not self.story.quantities[x.index].op
                    for x in self.story.quantities[i].operands
                )
            ]
            done.append(ready[0] if rng.random() < 0.6 else rng.choice(ready))
        return done

    def solution(self, rng: random.Random) -> str:
        """A gold solution: one step a line, the last line is the answer."""
        lines = [self.line(i, rng) for i in self.order(rng)]
        return "".join(f"{line}\n" for line in lines) + answer_line(self.answer)

    def sub_question(self, index: int, rng: random.Random) -> str:
        """The sub-question whose answer is quantity `index`."""
        if index == self.target:
            return f"Now we can answer: {self.ask}"
        return self.ask_for(index, rng)

    def ask_for(self, index: int, rng: random.Random) -> str:
        """A question for quantity `index`, worded at random."""
        return capitalised(expand(rng.choice(self.story.quantities[index].asks), rng))

    def told(self) -> list[int]:
        """The quantities that the facts define, those that events change left out."""
        return [i for fact in self.facts if not fact.event for i in fact.defines]

    def rephrased(self, rng: random.Random) -> str:
        """The question as a numbered list of conditions, reworded, on one line."""
        told = [expand(rng.choice(fact.templates), rng) for fact in self.facts]
        conditions = " ".join(f"{n}) {capitalised(text)}" for n, text in enumerate(told, 1))
        return f"{conditions} Question: {self.ask}"


def answer_line(answer: int) -> str:
    """The last line of a solution."""
    return f"The answer is {answer}.\n"


def capitalised(text: str) -> str:
    """Start every sentence with a capital letter."""
    parts = text.split(". ")
    return ". ".join(p[:1].upper() + p[1:] for p in parts)


def signature(story: Story, target: int) -> str:
    """Operations and numbers of the ancestors of `target`, renumbered."""
    needed = sorted(story.ancestors(target))
    place = {index: n for n, index in enumerate(needed)}
    parts = []
    for index in needed:
        q = story.quantities[index]
        operands = [f"#{place[x.index]}" if isinstance(x, Ref) else str(x) for x in q.operands]
        parts.append(f"{q.op}({','.join(operands)})" if q.op else str(q.value))
    return ";".join(parts)


def split_of(graph_signature: str) -> Split:
    """The only split that may hold a graph with this signature."""
    digest = hashlib.blake2b(graph_signature.encode(), digest_size=4).digest()
    bucket = int.from_bytes(digest, "big") % _BUCKETS
    return next(name for name in SPLITS if bucket in _SPLIT_BUCKETS[name])


def _choose_target(story: Story, steps: int) -> int:
    """A quantity with exactly `steps` operations that is still current at the end."""
    superseded = {
        x.index for q in story.quantities if q.op for x in q.operands if isinstance(x, Ref)
    }
    current = [
        i
        for i, q in enumerate(story.quantities)
        if q.op and i not in superseded and len(story.steps(i)) == steps
    ]
    if not current:
        raise RejectedError
    return story.rng.choice(current)


def _needed_facts(story: Story, target: int) -> tuple[list[Fact], list[Fact]]:
    needed_quantities = story.ancestors(target)
    needed = [f for f in story.facts if needed_quantities & set(f.defines)]
    spare = [f for f in story.facts if not needed_quantities & set(f.defines)]
    return needed, spare


def _self_contained(facts: list[Fact], story: Story) -> list[Fact]:
    """Add the facts that the given ones refer to, so that no sentence hangs in the air."""
    chosen = list(facts)
    while True:
        indices = {i for f in chosen for d in f.defines for i in story.ancestors(d)}
        more = [f for f in story.facts if f not in chosen and indices & set(f.defines)]
        if not more:
            return sorted(chosen, key=story.facts.index)
        chosen += more


def _arrange(facts: list[Fact], rng: random.Random) -> list[Fact]:
    static, events = [f for f in facts if not f.event], [f for f in facts if f.event]
    if rng.random() < 0.5:
        rng.shuffle(static)
    return static + events


def _draw(split: Split, steps: int, seed: int, rng: random.Random) -> Problem:
    story = Story(rng, novel=split == "novel")
    build = _pick_family(rng)
    build(story, steps + rng.choice((0, 0, 1, 2)))
    target = _choose_target(story, steps)
    if split_of(signature(story, target)) != split:
        raise RejectedError
    needed, spare = _needed_facts(story, target)
    needed = _self_contained(needed, story)
    static_spare = [f for f in spare if not f.event and f not in needed]
    distractors = static_spare[: rng.choice((0, 0, 1, 1, 2))]
    facts = _self_contained([*needed, *distractors], story)
    ask = capitalised(expand(rng.choice(story.quantities[target].asks), rng))
    told = [expand(rng.choice(f.templates), rng) for f in _arrange(facts, rng)]
    question = capitalised(" ".join([*connected(told, rng), ask]))
    if split == "novel" and not NOVEL_WORDS & set(re.findall("[a-z]+", question.lower())):
        raise RejectedError
    return Problem(story, target, tuple(facts), question, ask, split, seed)


def connected(told: list[str], rng: random.Random) -> list[str]:
    """Join some neighbouring sentences with `and`, replace some repeated subjects by pronouns."""
    told = [_introduced(text, rng) for text in told]
    result: list[str] = []
    for text in told:
        subject = text.split(" ")[0]
        same = bool(result) and subject in _PRONOUNS and result[-1].startswith(f"{subject} ")
        single = bool(result) and result[-1].count(".") == 1 and not result[-1].count(" and ")
        if same and single and rng.random() < 0.2:
            result[-1] = f"{result[-1][:-1]} and {text[len(subject) + 1 :]}"
        elif same and rng.random() < 0.45:
            result.append(f"{_PRONOUNS[subject]}{text[len(subject) :]}")
        elif single and (subject in _PRONOUNS or text.startswith("the ")) and rng.random() < 0.1:
            result[-1] = f"{result[-1][:-1]} and {text}"
        else:
            result.append(text)
    return result


_PRONOUNS = {**dict.fromkeys(HE, "He"), **dict.fromkeys(SHE, "She")}


def _introduced(text: str, rng: random.Random) -> str:
    """`the farmer has` may be introduced as `a farmer has`."""
    role = " ".join(text.split(" ")[:2])
    return f"a{text[3:]}" if role in ROLES and rng.random() < 0.15 else text


def _pick_family(rng: random.Random) -> Callable[[Story, int], None]:
    draw = rng.random()
    for share, build in _FAMILIES:
        draw -= share
        if draw < 0:
            return build
    return _FAMILIES[0][1]


def make_problem(split: Split, steps: int, seed: int) -> Problem:
    """Draw the problem with this split, number of steps and seed; always the same one.

    Args:
        split: `train`, `dev`, `test` or `novel`.
        steps: Operations the solution needs, 1 to 10.
        seed: Any integer.

    Raises:
        ValueError: `steps` or `split` is out of range.
    """
    if split not in SPLITS or not MIN_STEPS <= steps <= MAX_STEPS:
        raise ValueError(f"split must be one of {SPLITS} and steps in {MIN_STEPS}..{MAX_STEPS}")
    rng = random.Random(f"{split}/{steps}/{seed}")
    while True:
        try:
            return _draw(split, steps, seed, rng)
        except RejectedError:
            continue


def make_problems(
    split: Split, count: int, *, seed: int = 0, steps: tuple[int, int] = (2, 10)
) -> list[Problem]:
    """`count` problems with the number of steps cycling through `steps[0]..steps[1]`."""
    low, high = steps
    return [
        make_problem(split, low + n % (high - low + 1), seed * 1_000_003 + n) for n in range(count)
    ]
