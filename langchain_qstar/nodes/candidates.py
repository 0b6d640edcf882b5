"""Candidate steps of a state by several actions, as text that continues it.

A Q* state is a concatenation, so a sub-question and its answer are one step, and
what an action is asked by are the openings of `InlineForms`. The K samples of a
state are dealt to its actions in turn; which numbers a sample has, and so its
seeds, does not depend on what the others came to.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from langchain_core.runnables import Runnable

from langchain_qstar.actions import InlineForms, Opening, Trace
from langchain_qstar.checks.running import StepChecks
from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.endings import ends_of
from langchain_qstar.nodes.judging import Begun, sample_judging
from langchain_qstar.nodes.phase import Call
from langchain_qstar.nodes.preface import preface_of
from langchain_qstar.nodes.remembering import Subquestion, recalled
from langchain_qstar.nodes.replies import checked, is_cut, used
from langchain_qstar.nodes.retrieving import Retrieval, Retrieved
from langchain_qstar.nodes.thoughts import thinking
from langchain_qstar.nodes.work import Work, state_of
from langchain_qstar.protocols import Action, Completion, Policy, SampleRequest, State, Step, Task
from langchain_qstar.seeds import question_seed, sample_seed
from langchain_qstar.settings import QStarSettings
from langchain_qstar.spending.allowance import cutting
from langchain_qstar.tree import ROOT, RememberedRecord, path, samples_of

_ONLY_STEPS: Final[tuple[Action, ...]] = ("propose_step",)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sampled step, and by which action."""

    action: Action
    completion: Completion
    retrieved: Retrieved | None = None
    """Of `retrieve`: what was found."""
    remembered: RememberedRecord | None = None
    """Of a sub-question whose answer was remembered."""
    cut: str | None = None
    """The budget that cut it short."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """Some samples of one state by one action: their numbers, and the request."""

    parent: str
    action: Action
    numbers: tuple[int, ...]
    request: SampleRequest


_Drawn = tuple[_Ask, int, Completion]
"""A sample: who it was asked for, its number, and what it is."""


class Proposer:
    """Asks a policy for the candidate steps of states."""

    def __init__(
        self,
        policy: Policy,
        task: Task,
        settings: QStarSettings,
        checks: StepChecks,
        retriever: Runnable[str, Any] | None = None,
    ) -> None:
        """Ask `policy` by the actions of `settings`; `checks` judge what it writes meanwhile.

        The action `retrieve` asks `retriever`.

        Raises:
            SettingsError: The task has no form for one of the actions.
        """
        self._policy = policy
        self._task = task
        self._settings = settings
        self._checks = checks
        self._forms = InlineForms(task)
        self._sampled_by = tuple(each for each in settings.actions if each != "retrieve")
        self._retrieval = None
        if retriever is not None:
            most, tokens = settings.num_retrievals, settings.passage_tokens
            self._retrieval = Retrieval(retriever, policy, task.stop, most, tokens)
        for action in self._sampled_by:
            if action not in self._forms.actions:
                raise SettingsError(
                    f"task {task.name!r} has no prefill for the action {action!r}; choose "
                    f"actions= among {', '.join(set(self._forms.actions) - {'re_answer'})}"
                )

    def propose(
        self, work: Work, parents: Sequence[str], usage: dict[str, float]
    ) -> Generator[Call, object, list[list[Candidate]]]:
        """The candidates of each state, in the order of their numbers; what was retrieved first.

        Args:
            work: The part of the tree around the states.
            parents: The states.
            usage: What it costs is added to this.

        Raises:
            ModelError: The policy answers a different number of requests than it was asked.
        """
        retrieved: dict[str, Retrieved] = {}
        if self._retrieval is not None:
            paths = {each: path(work.nodes, each) for each in parents}
            retrieved = yield from self._retrieval.found(work.run["question"], paths)
        asks = [ask for each in parents for ask in self._asks(work, each)]
        begun = [None if ask.action == "subquestion" else (ask.request.state, "") for ask in asks]
        groups = yield from self._sampled([ask.request for ask in asks], begun, usage)
        drawn = [
            (ask, number, completion)
            for ask, group in zip(asks, groups, strict=True)
            for number, completion in zip(ask.numbers, group, strict=False)
            if self._reads(ask.action, completion)
            or self._ends(ask, completion)
            or is_cut(completion)
        ]
        questions = [
            each for each in drawn if each[0].action == "subquestion" and not is_cut(each[2])
        ]
        found = {
            (ask.parent, number): _candidate(ask.action, completion)
            for ask, number, completion in drawn
            if ask.action != "subquestion" or is_cut(completion)
        }
        if questions:
            found |= yield from self._answered(work, questions, usage)
        return [
            [
                *([self._passages(retrieved[each])] if each in retrieved else ()),
                *(
                    found[key]
                    for number in range(self._count(work, each))
                    if (key := (each, number)) in found
                ),
            ]
            for each in parents
        ]

    def _answered(
        self, work: Work, questions: Sequence[_Drawn], usage: dict[str, float]
    ) -> Generator[Call, Any, dict[tuple[str, int], Candidate]]:
        """The sub-questions with their answers: those that are remembered, else new ones."""
        asked = [self._subquestion(work, question) for _, _, question in questions]
        memories = yield from recalled(preface_of(work.nodes[ROOT]).get("memory"), asked)
        found = {
            (ask.parent, number): Candidate(
                "subquestion", self._repeated(question, memory), remembered=memory
            )
            for (ask, number, question), memory in zip(questions, memories, strict=True)
            if memory is not None
        }
        new = [each for each in questions if (each[0].parent, each[1]) not in found]
        if not new:
            return found
        requests = [self._answering(work, *each) for each in new]
        begun = [(ask.request.state, question.text) for ask, _, question in new]
        replies = yield from self._sampled(requests, begun, usage)
        for (ask, number, question), answers in zip(new, replies, strict=True):
            for answer in answers[:1]:
                if self._reads("re_answer", answer) or is_cut(answer):
                    step = _joined(question, answer)
                    found[ask.parent, number] = _candidate("subquestion", step)
        return found

    def _subquestion(self, work: Work, question: Completion) -> Subquestion:
        return Subquestion(question.text, self._forms.is_last(work.run["question"], question.text))

    def _repeated(self, question: Completion, memory: RememberedRecord) -> Completion:
        """A sub-question with the answer that is remembered."""
        answer = Completion(
            memory["text"],
            generated=self._policy.count_tokens(memory["text"]),
            prompt_tokens=question.prompt_tokens + question.generated,
        )
        return _joined(question, answer)

    def _passages(self, retrieved: Retrieved) -> Candidate:
        assert self._retrieval is not None
        return Candidate("retrieve", self._retrieval.completion(retrieved), retrieved)

    def _sampled(
        self,
        requests: Sequence[SampleRequest],
        begun: Sequence[Begun | None],
        usage: dict[str, float],
    ) -> Generator[Call, object, list[list[Completion]]]:
        answers = yield sample_judging(self._policy, requests, begun, self._checks)
        groups = checked(answers, len(requests), self._policy.name)
        for key, count in (used(groups) | {"batches": 1}).items():
            usage[key] = usage.get(key, 0) + count
        return groups

    def _count(self, work: Work, node_id: str) -> int:
        drawn = samples_of(work.nodes, node_id)
        return drawn * self._settings.samples_at(root=node_id == ROOT)

    def _asks(self, work: Work, node_id: str) -> list[_Ask]:
        actions = [each for each in self._sampled_by if each != "rephrase" or node_id == ROOT]
        state = state_of(work.nodes, node_id, self._task.messages(work.run["question"]))
        asks = []
        for place, action in enumerate(actions):
            numbers = tuple(range(place, self._count(work, node_id), len(actions)))
            if numbers:
                opening = self._forms.opening(action, Trace(state.question))
                request = self._request(work, node_id, state, opening, numbers)
                asks.append(_Ask(node_id, action, numbers, request))
        return asks

    def _answering(self, work: Work, ask: _Ask, number: int, question: Completion) -> SampleRequest:
        asked = Step(question.text, "subquestion", question.token_ids, question.logprobs)
        state = ask.request.state
        last = self._forms.is_last(state.question, question.text)
        opening = self._forms.answering(Trace(state.question), asked, last=last)
        after_all = self._count(work, ask.parent) + number
        return self._request(work, ask.parent, state.then(asked), opening, (after_all,))

    def _request(
        self, work: Work, node_id: str, state: State, opening: Opening, numbers: Sequence[int]
    ) -> SampleRequest:
        settings = self._settings
        own = question_seed(work.run["seed"], work.run["question"])
        request = SampleRequest(
            state=state,
            seeds=tuple(sample_seed(own, node_id, number) for number in numbers),
            stop=opening.stop,
            max_tokens=opening.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            prefill=opening.prefill,
            ends=ends_of(opening, self._task),
        )
        return thinking(request, settings, self._policy)

    def _ends(self, ask: _Ask, completion: Completion) -> bool:
        """Whether the model has nothing to add to a solution, which ends with the step before."""
        silent = completion.finish == "eos" and not completion.text.strip()
        steps = ask.action == "propose_step" and self._task.step_end is not None
        return silent and steps and bool(ask.request.state.text.strip())

    def _reads(self, action: Action, completion: Completion) -> bool:
        """Whether a completion is a step of an action; what text must follow has to be a line."""
        if completion.finish in ("cancelled", "error") or not completion.text.strip():
            return False
        if self._sampled_by == _ONLY_STEPS:
            return True
        stop = self._task.stop
        if action in ("subquestion", "rephrase") and stop and not completion.text.endswith(stop):
            return False
        return self._forms.reads(action, completion.text)


def _candidate(action: Action, completion: Completion) -> Candidate:
    return Candidate(action, completion, cut=cutting() if is_cut(completion) else None)


def _joined(question: Completion, answer: Completion) -> Completion:
    """A sub-question and its answer as one completion, of the length that both have."""
    ids = (
        None
        if question.token_ids is None or answer.token_ids is None
        else question.token_ids + answer.token_ids
    )
    known = question.logprobs and answer.logprobs
    return replace(
        answer,
        text=question.text + answer.text,
        token_ids=ids,
        logprobs=question.logprobs + answer.logprobs if known else (),
    )
