"""The result of every method: answer, path, tree, votes, cost, and why it stopped.

Floor 1. A `Solution` is a frozen pydantic model: it round-trips through JSON
unchanged and renders itself in a notebook. It never holds a gold answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langchain_qstar.rendering import plain, plain_lines, refutation, solution_html

Stopped = Literal[
    "complete",  # the method ended as asked (N trajectories, N samples, one pass)
    "exhausted",  # nothing left to expand
    "decided",  # what is left could not change the answer
    "pops",
    "tokens",
    "completions",
    "seconds",
    "nodes",
    "interrupted",
]
"""Why a method stopped. All but the first three are ended budgets or a user's stop."""

Interrupt = Literal["expand", "answer", "failed_check"]
"""When a search asks a person: before it expands a step, before it answers, or when a
check fails a step."""


class Frozen(BaseModel):
    """Immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(Frozen):
    """A deterministic verdict on one step."""

    name: str
    verdict: Literal["passed", "failed", "not_checkable"]
    reason: str = ""
    calculation: bool = False
    """Whether the check calculates only: that a step passes it does not verify an answer."""


class Passage(Frozen):
    """A passage that a retriever found, as the model read it."""

    text: str
    id: str | None = None
    """Of the document, None when it has none."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """The document's own, as JSON types; such as its `source`."""


class Remembered(Frozen):
    """Where the answer to a sub-question is from that was not worked out anew."""

    asked_in: str
    """The question in whose search it was found."""
    subquestion: str
    """As it was asked there."""
    answer: str
    evidence: str
    """Why it was remembered, such as `9 of 10 votes`, or `calculations hold`."""
    key: str
    """Of the entry in the store."""


class Turn(Frozen):
    """An earlier question of a thread, and what its search came to."""

    question: str
    answer: str | None
    steps: str
    """The text of its solution."""


class SolutionStep(Frozen):
    """One step of the chosen path."""

    id: str | None = None
    """The node of the tree that it is, None when there is no tree."""
    text: str
    action: str = "propose_step"
    q: float | None = None
    """Q-value in [0, 1], None when nothing scored it."""
    visits: int = 0
    checks: tuple[Check, ...] = ()
    passages: tuple[Passage, ...] = ()
    """Of a step by the action `retrieve`: what its text shows."""
    remembered: Remembered | None = None
    """Of a sub-question whose answer an earlier search found."""


class TreeNode(Frozen):
    """One node of the search tree, in order of insertion.

    `id` is `parent.child` (the root is `0`). `g`, `h` and `f` are Q*'s
    utilities of the node; None where a method does not define them.
    """

    id: str
    parent: str | None
    text: str
    action: str
    depth: int
    terminal: bool = False
    answer: str | None = None
    logprob: float | None = None
    """Sum of natural-log token probabilities of the step."""
    samples: int = 1
    """How many sampled candidates were this very text."""
    q: float | None = None
    reward: float | None = None
    """Process reward of the step; of rStar what a rollout earns that ends here."""
    g: float | None = None
    h: float | None = None
    f: float | None = None
    visits: int = 0
    value: float | None = None
    """Of rStar: the sum of the rewards of the rollouts through the node."""
    confidence: float | None = None
    """Of rStar: the share of the votes that say what the step says, in [0, 1]; None
    when nobody voted on it."""
    votes: int = 0
    """How many votes that was."""
    completed: tuple[str | None, ...] | None = None
    """Of rStar's candidates: the answers that the verifier's completions reached, None for
    one that has none; None as a whole when the verifier was not asked."""
    popped: int | None = None
    """Order in which the node was popped (0 is the root), None if it never was."""
    checks: tuple[Check, ...] = ()
    closed: str | None = None
    """Why the search did not go on from here, None when it might have."""
    replaces: str | None = None
    """Of a step that a person wrote: the id of the step in whose place."""
    passages: tuple[Passage, ...] = ()
    """Of a step by the action `retrieve`: what its text shows, with where it is from."""
    remembered: Remembered | None = None
    """Of a sub-question whose answer an earlier search found."""


class Vote(Frozen):
    """One distinct answer among the collected trajectories."""

    answer: str
    count: int
    weight: float
    """Share of the total weight in [0, 1]; equals count/total for plain votes."""


class Sample(Frozen):
    """One whole solution that a baseline drew."""

    text: str
    answer: str | None = None
    guessed: bool = False
    """Whether the answer is not marked as one, but read off the last sentence."""
    finish: Literal["stop", "eos", "length", "cancelled", "error"] = "stop"
    """`stop` and `eos`: it ended by itself; `length`: it was cut; `error`: the model failed."""
    completion_tokens: int = 0
    """Tokens generated for it."""
    logprob: float | None = None
    """Sum of natural-log token probabilities, None when the model tells none."""
    score: float | None = None
    """What a scorer made of it, None when nothing scored it."""
    failed: bool = False
    """Whether a check failed one of its steps."""


def unheard_line(count: int) -> str:
    """What a result says of replies that were not waited for."""
    replies = "1 reply was" if count == 1 else f"{count} replies were"
    return f"seconds: {replies} given up when the time was over; what was spent is not counted"


class Usage(Frozen):
    """What a solution cost, summed over every model that took part.

    `completion_tokens` are tokens generated (the measure of equal budgets);
    `prompt_tokens` are tokens read, `reused_tokens` the part served by a cache.
    `calls` are batched model calls. `shortfalls` says in a line each what the
    policy could not do as it was asked, and what was done instead; and where the values by
    which a search is guided were all alike, so that it was not.
    """

    calls: int = 0
    completions: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reused_tokens: int = 0
    shortfalls: tuple[str, ...] = ()

    @classmethod
    def counted(cls, counts: Mapping[str, float], shortfalls: tuple[str, ...] = ()) -> Usage:
        """The usage of these counts; a count that is not there is 0."""
        unheard = int(counts.get("unheard", 0))
        return cls(
            calls=int(counts.get("calls", 0)),
            completions=int(counts.get("completions", 0)),
            prompt_tokens=int(counts.get("prompt_tokens", 0)),
            completion_tokens=int(counts.get("completion_tokens", 0)),
            reused_tokens=int(counts.get("reused_tokens", 0)),
            shortfalls=(*((unheard_line(unheard),) if unheard else ()), *shortfalls),
        )


class PendingStep(Frozen):
    """A step that a person is asked about."""

    id: str
    text: str
    before: str
    """The steps that lead to it, as text."""
    answer: str | None = None
    """The answer that the step states, if it ends a solution."""
    q: float | None = None
    f: float | None = None
    checks: tuple[Check, ...] = ()
    passages: tuple[Passage, ...] = ()
    """Of a step by the action `retrieve`: what its text shows."""
    remembered: Remembered | None = None
    """Of a sub-question whose answer an earlier search found."""


class Pending(Frozen):
    """What a person is asked. What may be replied is in `decisions.py`.

    `about` says why: the steps are about to be expanded, the one is about to become the
    answer, or a check failed them.
    """

    about: Interrupt
    steps: tuple[PendingStep, ...]


class Solution(Frozen):
    """What a search returns. See the attributes; nothing here is a guess.

    `answer` is None when no trajectory ended in an answer that parses.
    `verified` is true when a test passed the step that states the answer and no check
    failed a step of the path, false when one did, and None otherwise; `verified_by` names
    the checks that decided. A test is a check that does more than calculate. That the
    calculations hold (`calculations`), or that a second model which saw steps of the
    solution came to its answer (`agreed`), verifies nothing. See `verification.verdict`.
    """

    question: str
    images: tuple[dict[str, Any], ...] = ()
    """What the question shows, as LangChain's content blocks."""
    turns: tuple[Turn, ...] = ()
    """Earlier questions of the thread that the search knew, oldest first."""
    answer: str | None
    method: str
    verified: bool | None = None
    verified_by: tuple[str, ...] = ()
    calculations: Literal["hold", "failed"] | None = None
    """Whether the calculations of the path hold: none failed and one at least was checked, or
    one failed; None when nothing could be calculated. That they hold does not say that the
    question was understood, so it does not make `verified` true."""
    agreed: bool | None = None
    """Whether a second model that completed steps of the solution came to its answer; None
    when none was asked."""
    steps: tuple[SolutionStep, ...] = ()
    tree: tuple[TreeNode, ...] = ()
    votes: tuple[Vote, ...] = ()
    guessed: bool = False
    """Whether the answer is not marked as one in the text, but read off its last sentence."""
    samples: tuple[Sample, ...] = ()
    """The solutions that a baseline drew, in the order of their numbers."""
    unparsed: int = 0
    """Collected trajectories whose answer did not parse."""
    usage: Usage = Usage()
    stopped: Stopped = "complete"
    pending: Pending | None = None
    """What a person is asked, of a search that waits for a decision."""
    seconds: float = 0.0
    settings: dict[str, Any] = Field(default_factory=dict)
    policy: str = ""
    q_model: str | None = None
    verifier: str | None = None
    """The model that completed candidates of rStar, None when none did."""
    task: str = ""
    prompts: str = ""
    """How the task asked: `zero-shot`, `few-shot (4)` or `completion (8)` with the number of
    worked examples shown, of a folder of one's own with its name before it; empty of a task
    with messages of its own."""
    seed: int = 0

    @property
    def text(self) -> str:
        """The chosen trajectory as plain text."""
        return "".join(step.text for step in self.steps)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return solution_html(self.model_dump(mode="json"))

    def __str__(self) -> str:
        """The steps, the answer and why the search stopped, and what refutes it, if anything.

        What a terminal would obey, and what is invisible, is shown as a symbol.
        """
        answer = None if self.answer is None else plain(self.answer)
        shown = f"{plain_lines(self.text.rstrip())}\n-> {answer} ({self.stopped})"
        refuted = refutation(self.model_dump(include={"verified", "steps"}))
        return f"{shown}\n!! {refuted}" if refuted else shown
