"""rStar's five actions: the reasoning they continue, and how each is asked for.

Floor 1: plain data and a protocol. A trajectory is more than the concatenation of
its texts here: a rephrasing takes the question's place, and a re-answer takes the
place of the answer before it. `Trace` is a trajectory after such replacements.
How a trace is shown to a model, and what of its reply is the new step, is a
task's `ActionForms`.

Source: rStar (arXiv 2408.06195), section 3.2, and its official code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from langchain_qstar.protocols import Action, State, Step, TextEnd


@dataclass(frozen=True, slots=True)
class Thought:
    """One step of a trace.

    `step` is what the action wrote: a one-step thought (propose_step), all
    remaining steps (finish), or the answer to `subquestion` (subquestion; a
    re-answer is the same thought with another answer, a step by `re_answer`).
    """

    action: Action
    step: Step
    subquestion: Step | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The reasoning so far.

    `rephrased` is what the rephrase action wrote, if it came first; everything
    after it answers that text instead of `question`. Never carries a gold answer.
    """

    question: str
    rephrased: Step | None = None
    thoughts: tuple[Thought, ...] = ()


@dataclass(frozen=True, slots=True)
class Opening:
    """What a policy is asked to continue for one action.

    Attributes:
        state: Prompt and steps to continue.
        stop: Strings that end the completion, kept as the end of its text.
        max_tokens: Most tokens of it.
        prefill: Text put before it; part of what comes back.
        ends: What ends the completion beside the stop strings.
    """

    state: State
    stop: tuple[str, ...]
    max_tokens: int
    prefill: str = ""
    ends: TextEnd | None = None


@runtime_checkable
class ActionForms(Protocol):
    """How a family of questions is asked for each action. Pure functions."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions these forms know, in the order of creation: A1, A2, A3, A4, A5."""
        ...

    def opening(self, action: Action, trace: Trace) -> Opening:
        """What to ask for `action` after `trace`.

        For `subquestion` it asks for the question only, see `answering`. For
        `re_answer` the last thought of `trace` is the sub-question to answer again.
        """
        ...

    def answering(self, trace: Trace, subquestion: Step, *, last: bool) -> Opening:
        """What to ask for the answer to a new sub-question; `last` if `is_last` of it."""
        ...

    def is_last(self, question: str, subquestion: str) -> bool:
        """Whether a sub-question asks what `question` asks, so that its answer is the end."""
        ...

    def reads(self, action: Action, text: str) -> bool:
        """Whether a completion is a step of that action at all; if not, it is no child.

        Of `subquestion` it is the question; every answer to one, new or again, is
        read as `re_answer`.
        """
        ...

    def statement(self, thought: Thought) -> str:
        """The text whose answer votes are counted by: of a whole solution or a sub-answer.

        It is for `Task.answer` to read.
        """
        ...

    def segments(self, trace: Trace) -> tuple[str, ...]:
        """The solution as running text, a piece a step, without sub-questions' forms.

        Joined they are what a verifier is shown a prefix of; the last piece states
        the answer.
        """
        ...

    def completing(self, question: str, prefix: str) -> Opening:
        """What a verifier is asked: to complete a solution of `question` that begins so."""
        ...
