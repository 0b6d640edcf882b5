"""Forms for models that follow instructions or examples: each action has a prompt of its own.

A prompt is a file with worked examples that ends in the problem (`shown_examples.py`). It is
shown as one text, or its examples as earlier turns to a model that answers chats
(`fitting.py`); the reply is opened with what is written already. A model that can continue a reply goes on
from there; one that cannot is told how to begin (`models/chat.py`). Because every
action shows the reasoning in its own form, it is text here: token ids are not kept.

Source: the official code, with its defects mended (docs/papers.md): earlier steps and
sub-answers are never lost, and numbers have no gaps. The
prompts are our own.
"""

from __future__ import annotations

import re
from copy import copy
from functools import cache
from pathlib import Path
from typing import Final, Literal, Self, get_args

from langchain_qstar.actions import Opening, Thought, Trace, is_last_subquestion
from langchain_qstar.protocols import BLANK_LINES, Action, State, Step, TextEnd
from langchain_qstar.settings.rstar import ACTIONS
from langchain_qstar.tasks.shown_examples import ShownExamples, read_shown
from langchain_qstar.tasks.trace_texts import (
    LABEL,
    as_step,
    asked,
    body,
    exchange,
    last_alone,
    one_line,
    stated_apart,
    with_hints,
)

Name = Literal["steps", "solution", "subquestions", "rephrasing"]
_EVERY: Final = 10**6
"""More examples than a file has."""

_LINE: Final = ("\n",)
_SOLUTION: Final = (BLANK_LINES,)
_FIRST_CONDITION: Final = "Conditions: 1)"
_QUESTION: Final = re.compile(r"\bQuestion:\s*\S")


class PromptedForms:
    """`ActionForms` by prompt files: `steps`, `solution`, `subquestions` and `rephrasing`."""

    def __init__(
        self,
        family: str,
        *,
        step_tokens: int,
        solution_tokens: int,
        step_end: TextEnd | None = None,
        prompts: Path | str | None = None,
    ) -> None:
        """Forms of one family of questions.

        A file is read when it is first needed. `PromptError` is raised then if it is
        missing, or has other holes than `question`.

        Args:
            family: The folder with the four files.
            step_tokens: Most tokens of a step, a sub-question, or an answer to one.
            solution_tokens: Most tokens of a solution, a last answer, or a rephrasing.
            step_end: Where a step ends; by default with its line.
            prompts: Where that folder is; by default the package's own prompts.
        """
        self._family = family
        self._step_tokens = step_tokens
        self._solution_tokens = solution_tokens
        self._step_end = step_end
        self._prompts = prompts
        self._turns = False
        self._shots = _EVERY
        self._fitted = False

    @property
    def fitted(self) -> bool:
        """Whether it was chosen how the examples are shown."""
        return self._fitted

    @property
    def most_shots(self) -> int:
        """How many examples the file of solutions has; some files may have fewer."""
        return len(self._shown("solution").examples)

    @property
    def prompts(self) -> str:
        """What results say: how the examples are shown and how many, and whose they are."""
        style = "few-shot" if self._turns else "completion"
        shown = f"{style} ({min(self._shots, self.most_shots)})"
        return f"{self._family}: {shown}" if self._prompts else shown

    def fit(self, *, turns: bool, shots: int | None = None) -> Self:
        """The same forms, showing their examples otherwise.

        Args:
            turns: Each example as an earlier turn, for a model that answers chats, or all
                in one text.
            shots: Most examples of a file that are shown; None is all.
        """
        other = copy(self)
        other._turns, other._fitted = turns, True
        other._shots = _EVERY if shots is None else shots
        return other

    def at(self, folder: Path) -> Self:
        """The same forms with the four files of this folder, which are read at once.

        Raises:
            PromptError: A file is missing, or has other holes than `question`.
        """
        other = copy(self)
        other._family, other._prompts, other._fitted = folder.name, folder.parent, False
        for name in get_args(Name):
            other._shown(name)
        return other

    def with_step_end(self, step_end: TextEnd | None, step_tokens: int) -> PromptedForms:
        """The same forms with another end of steps."""
        other = copy(self)
        other._step_end, other._step_tokens = step_end, step_tokens
        return other

    @property
    def actions(self) -> tuple[Action, ...]:
        """All five."""
        return ACTIONS

    def opening(self, action: Action, trace: Trace) -> Opening:
        """See `ActionForms`.

        - propose_step continues the numbered steps, of which each sub-answer is one.
        - finish shows each thought, and each sub-question with its latest answer, as a
          hint under the problem.
        - subquestion continues the numbered sub-questions; thoughts are hints.
        - re_answer shows the conditions of the problem and the last sub-question only.
        - rephrase begins the list of conditions.
        """
        match action:
            case "propose_step":
                return self._step(trace)
            case "finish":
                return self._solution(trace.question, with_hints(asked(trace), trace.thoughts))
            case "subquestion":
                lines = exchange(trace)
                return self._exchange(trace, lines, f"Question {len(lines) // 2 + 1}:")
            case "re_answer":
                return self._solution(trace.question, last_alone(trace))
            case "rephrase":
                state = self._state("rephrasing", trace.question, trace.question)
                return Opening(state, _LINE, self._solution_tokens, _FIRST_CONDITION)
            case "retrieve":
                raise AssertionError("a retriever is asked for passages, not a policy")

    def answering(self, trace: Trace, subquestion: Step, *, last: bool) -> Opening:
        """See `ActionForms`. The last answer is one line, like the others."""
        lines = exchange(trace)
        number = len(lines) // 2 + 1
        lines.append(f"Question {number}: {one_line(subquestion.text)}")
        return self._exchange(trace, lines, f"Answer {number}:", long=last)

    def is_last(self, question: str, subquestion: str) -> bool:
        """See `ActionForms`."""
        return is_last_subquestion(question, body(subquestion))

    def reads(self, action: Action, text: str) -> bool:
        """See `ActionForms`. A rephrasing without a question is none."""
        written = body(text)
        if LABEL.match(written) or not any(each.isalnum() for each in written):
            return False
        return action != "rephrase" or _QUESTION.search(written) is not None

    def statement(self, thought: Thought) -> str:
        """See `ActionForms`. A sentence that states the answer has a line of its own."""
        return stated_apart(thought.step.text)

    def segments(self, trace: Trace) -> tuple[str, ...]:
        """See `ActionForms`. Of sub-answers but the last the results alone are left out."""
        lines = [as_step(each) for each in trace.thoughts[:-1]]
        for last in trace.thoughts[-1:]:
            lines += self.statement(last).splitlines()
        return tuple(f"{each}\n" for each in lines if each.strip())

    def completing(self, question: str, prefix: str) -> Opening:
        """See `ActionForms`."""
        written = prefix.rstrip(" ")  # the next token brings its own space
        return self._solution(question, question, *([written] if written else []))

    def _step(self, trace: Trace) -> Opening:
        steps = [f"Step {place}: {as_step(each)}\n" for place, each in enumerate(trace.thoughts, 1)]
        state = self._state("steps", trace.question, asked(trace), *steps)
        stop = _LINE if self._step_end is None else ()
        label = f"Step {len(steps) + 1}:"
        return Opening(state, stop, self._step_tokens, label, self._step_end)

    def _exchange(
        self, trace: Trace, lines: list[str], prefill: str, *, long: bool = False
    ) -> Opening:
        """The next line after sub-questions and answers; `long` if it ends a solution."""
        thoughts = [each for each in trace.thoughts if each.subquestion is None]
        problem = with_hints(asked(trace), thoughts)
        written = [f"{each}\n" for each in lines]
        state = self._state("subquestions", trace.question, problem, *written)
        room = self._solution_tokens if long else self._step_tokens
        return Opening(state, _LINE, room, prefill)

    def _solution(self, question: str, problem: str, *written: str) -> Opening:
        state = self._state("solution", question, problem, *written)
        return Opening(state, _SOLUTION, self._solution_tokens)

    def _state(self, name: Name, question: str, problem: str, *written: str) -> State:
        """The state with the prompt `name` about `problem`, and a reply begun with `written`."""
        shown = self._shown(name)
        show = shown.turns if self._turns else shown.text
        messages = show(problem, self._shots)
        return State(question, messages, tuple(Step(each) for each in written))

    def _shown(self, name: Name) -> ShownExamples:
        family = self._family if self._prompts else f"rstar/{self._family}"
        return _read(f"{family}/{name}", self._prompts)


@cache
def _read(name: str, folder: Path | str | None) -> ShownExamples:
    return read_shown(name, folder)
