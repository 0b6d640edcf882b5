"""Candidate steps of a state by several actions, as text that continues it.

A Q* state is a concatenation, so a sub-question and its answer are one step, and
what an action is asked by are the openings of `InlineForms`. The K samples of a
state are dealt to its actions in turn; which numbers a sample has, and so its
seeds, does not depend on what the others came to.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from langchain_qstar.actions import InlineForms, Opening, Trace
from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.phase import Call, sample
from langchain_qstar.nodes.replies import checked, used
from langchain_qstar.nodes.work import Work, state_of
from langchain_qstar.protocols import Action, Completion, Policy, SampleRequest, State, Step, Task
from langchain_qstar.seeds import sample_seed
from langchain_qstar.settings import QStarSettings
from langchain_qstar.tree import ROOT

_ONLY_STEPS: Final[tuple[Action, ...]] = ("propose_step",)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sampled step, and by which action."""

    action: Action
    completion: Completion


@dataclass(frozen=True, slots=True)
class _Ask:
    """Some samples of one state by one action: their numbers, and the request."""

    parent: str
    action: Action
    numbers: tuple[int, ...]
    request: SampleRequest


class Proposer:
    """Asks a policy for the candidate steps of states."""

    def __init__(self, policy: Policy, task: Task, settings: QStarSettings) -> None:
        """Ask `policy` by the actions of `settings`.

        Raises:
            SettingsError: The task has no form for one of the actions.
        """
        self._policy = policy
        self._task = task
        self._settings = settings
        self._forms = InlineForms(task)
        for action in settings.actions:
            if action not in self._forms.actions:
                raise SettingsError(
                    f"task {task.name!r} has no prefill for the action {action!r}; choose "
                    f"actions= among {', '.join(set(self._forms.actions) - {'re_answer'})}"
                )

    def propose(
        self, work: Work, parents: Sequence[str], usage: dict[str, float]
    ) -> Generator[Call, object, list[list[Candidate]]]:
        """The candidates of each state, in the order of their numbers.

        Args:
            work: The part of the tree around the states.
            parents: The states.
            usage: What it costs is added to this.

        Raises:
            ModelError: The policy answers a different number of requests than it was asked.
        """
        asks = [ask for each in parents for ask in self._asks(work, each)]
        groups = yield from self._sampled([ask.request for ask in asks], usage)
        drawn = [
            (ask, number, completion)
            for ask, group in zip(asks, groups, strict=True)
            for number, completion in zip(ask.numbers, group, strict=False)
            if self._reads(ask.action, completion)
        ]
        questions = [each for each in drawn if each[0].action == "subquestion"]
        found = {
            (ask.parent, number): Candidate(ask.action, completion)
            for ask, number, completion in drawn
            if ask.action != "subquestion"
        }
        if questions:
            requests = [self._answering(work, *each) for each in questions]
            replies = yield from self._sampled(requests, usage)
            for (ask, number, question), (answer, *_) in zip(questions, replies, strict=True):
                if self._reads("re_answer", answer):
                    step = _joined(question, answer)
                    found[ask.parent, number] = Candidate("subquestion", step)
        return [
            [found[key] for number in range(self._count(each)) if (key := (each, number)) in found]
            for each in parents
        ]

    def _sampled(
        self, requests: Sequence[SampleRequest], usage: dict[str, float]
    ) -> Generator[Call, object, list[list[Completion]]]:
        groups = checked((yield sample(self._policy, requests)), len(requests), self._policy.name)
        for key, count in (used(groups) | {"batches": 1}).items():
            usage[key] = usage.get(key, 0) + count
        return groups

    def _count(self, node_id: str) -> int:
        return self._settings.samples_at(root=node_id == ROOT)

    def _asks(self, work: Work, node_id: str) -> list[_Ask]:
        actions = [each for each in self._settings.actions if each != "rephrase" or node_id == ROOT]
        state = state_of(work.nodes, node_id, self._task.messages(work.run["question"]))
        asks = []
        for place, action in enumerate(actions):
            numbers = tuple(range(place, self._count(node_id), len(actions)))
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
        after_all = self._count(ask.parent) + number
        return self._request(work, ask.parent, state.then(asked), opening, (after_all,))

    def _request(
        self, work: Work, node_id: str, state: State, opening: Opening, numbers: Sequence[int]
    ) -> SampleRequest:
        settings = self._settings
        return SampleRequest(
            state=state,
            seeds=tuple(sample_seed(work.run["seed"], node_id, number) for number in numbers),
            stop=opening.stop,
            max_tokens=opening.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            prefill=opening.prefill,
        )

    def _reads(self, action: Action, completion: Completion) -> bool:
        """Whether a completion is a step of an action; what text must follow has to be a line."""
        if completion.finish in ("cancelled", "error") or not completion.text.strip():
            return False
        if self._settings.actions == _ONLY_STEPS:
            return True
        stop = self._task.stop
        if action in ("subquestion", "rephrase") and stop and not completion.text.endswith(stop):
            return False
        return self._forms.reads(action, completion.text)


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
