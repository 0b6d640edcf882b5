"""Forms for a model that was trained to act inside one text, such as nano.

A trajectory is one text under the task's own prompt. An action is asked for by
the opening word of its line, the task's prefill; a task without it has no such
action. What is shown as it was written keeps the token ids that the model drew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from langchain_qstar.actions.problem import is_last_subquestion
from langchain_qstar.actions.shapes import ActionForms, Opening, Thought, Trace
from langchain_qstar.protocols import Action, State, Step, Task

_ALWAYS: Final[tuple[Action, ...]] = ("propose_step", "finish")
_LABELLED: Final[tuple[Action, ...]] = ("subquestion", "re_answer", "rephrase")


def forms_of(task: Task) -> ActionForms:
    """The task's own forms, or those that follow from its prompt and prefills."""
    return task.forms or InlineForms(task)


class InlineForms:
    """`ActionForms` of a task whose actions are lines of one text.

    Steps and remaining steps can always be asked for; sub-questions, if the task
    has prefills for them (`subquestion`) and for their answers (`re_answer`);
    rephrasings, if it has one for `rephrase`.

    A piece that the model ended without the end of its line gets that end when
    something comes after it.
    """

    def __init__(self, task: Task) -> None:
        """Forms from the prompt, the prefills, and the limits of `task`."""
        self._task = task
        self._labels: dict[Action, str] = {
            action: task.prefills[action] for action in _LABELLED if task.prefills.get(action)
        }
        asks = {"subquestion", "re_answer"} <= self._labels.keys()
        rephrases = "rephrase" in self._labels
        self._actions: tuple[Action, ...] = (
            *_ALWAYS,
            *(("subquestion", "re_answer") if asks else ()),
            *(("rephrase",) if rephrases else ()),
        )

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions that the task has prefills for."""
        return self._actions

    def opening(self, action: Action, trace: Trace) -> Opening:
        """See `ActionForms`. A rephrasing may be as long as a solution, a sub-question a step.

        A one-step thought is asked for after plain lines: sub-answers are shown as
        such, without their questions, for after questions a model goes on with questions.
        """
        if action == "propose_step":
            trace = replace(trace, thoughts=tuple(map(self._plain, trace.thoughts)))
        pieces = _pieces(trace)
        if action == "re_answer":
            pieces = pieces[:-1]
        whole = action == "finish"
        steps = action == "propose_step" and self._task.step_end is not None
        return Opening(
            state=self._state(trace.question, pieces),
            stop=() if whole or steps else self._task.stop,
            max_tokens=self._room(whole=whole or action == "rephrase"),
            prefill=self._task.prefills.get(action, ""),
            ends=self._task.step_end if steps else None,
        )

    def answering(self, trace: Trace, subquestion: Step, *, last: bool) -> Opening:
        """See `ActionForms`. The answer to the last one goes on to the end of the solution."""
        return Opening(
            state=self._state(trace.question, [*_pieces(trace), subquestion]),
            stop=() if last else self._task.stop,
            max_tokens=self._room(whole=last),
            prefill=self._labels["re_answer"],
        )

    def is_last(self, question: str, subquestion: str) -> bool:
        """See `ActionForms`."""
        return is_last_subquestion(question, self._without(subquestion, "subquestion"))

    def reads(self, action: Action, text: str) -> bool:
        """See `ActionForms`. A line that opens as another action's is none of this one's."""
        body = self._without(text, action)
        if action == "finish":
            return bool(body.strip())
        return bool(body.strip()) and not self._is_labelled(body)

    def statement(self, thought: Thought) -> str:
        """See `ActionForms`.

        A sub-answer that states no answer of its own says what stands after its last
        equals sign: `A: 4 boxes hold 4*6=24 pens.` says `The answer is 24 pens.`
        """
        text = thought.step.text
        if thought.subquestion is None or self._task.answer(text) is not None:
            return text
        said = self._without(text, "re_answer").strip()
        return f"The answer is {said.rpartition('=')[2].strip()}" if said else ""

    def segments(self, trace: Trace) -> tuple[str, ...]:
        """See `ActionForms`. The task's own lines; those that only ask are left out."""
        lines = (
            self._without(line, "re_answer").lstrip(" ")
            for thought in trace.thoughts
            for line in thought.step.text.splitlines(keepends=True)
            if not self._opens(line, "subquestion", "rephrase")
        )
        kept = [line for line in lines if line.strip()]
        return tuple(self._ended(kept))

    def completing(self, question: str, prefix: str) -> Opening:
        """See `ActionForms`."""
        written = prefix.rstrip(" ")  # the next token brings its own space
        return Opening(
            state=self._state(question, [Step(written)] if written else [], ended=False),
            stop=(),
            max_tokens=self._room(whole=True),
        )

    def _plain(self, thought: Thought) -> Thought:
        """A thought as plain lines; what was changed has no token ids of its own."""
        if thought.subquestion is None:
            return thought
        said = self._without(thought.step.text, "re_answer").lstrip(" ")
        return Thought(thought.action, Step(said, thought.step.action))

    def _state(self, question: str, pieces: Sequence[Step], *, ended: bool = True) -> State:
        steps = tuple(self._separated(pieces)) if ended else tuple(pieces)
        return State(question, self._task.messages(question), steps)

    def _separated(self, pieces: Iterable[Step]) -> Iterator[Step]:
        for piece in pieces:
            yield piece
            if missing := self._missing_end(piece.text):
                yield Step(missing, piece.action)

    def _ended(self, lines: Sequence[str]) -> Iterator[str]:
        """Lines of which all but the last surely have their end."""
        for line in lines[:-1]:
            yield line + self._missing_end(line)
        yield from lines[-1:]

    def _missing_end(self, text: str) -> str:
        stop = self._task.stop
        return "" if not stop or text.endswith((*stop, "\n")) else stop[0]

    def _room(self, *, whole: bool) -> int:
        return self._task.solution_tokens if whole else self._task.step_tokens

    def _without(self, text: str, action: Action) -> str:
        """A line without the word that opens it."""
        label = self._task.prefills.get(action, "")
        return text.removeprefix(label) if label else text

    def _is_labelled(self, text: str) -> bool:
        return self._opens(text.lstrip(), *self._labels)

    def _opens(self, text: str, *actions: Action) -> bool:
        labels = tuple(self._labels[each] for each in actions if each in self._labels)
        return bool(labels) and text.startswith(labels)


def _pieces(trace: Trace) -> list[Step]:
    """Everything that was written, in order."""
    pieces = [] if trace.rephrased is None else [trace.rephrased]
    for thought in trace.thoughts:
        pieces += [thought.step] if thought.subquestion is None else _asked(thought)
    return pieces


def _asked(thought: Thought) -> list[Step]:
    assert thought.subquestion is not None
    return [thought.subquestion, thought.step]
