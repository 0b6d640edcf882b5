"""What a verifier completes, and what its completions reached.

All candidates, at all their masks, are one batch. The verifier is asked the original
question and sees nothing of how a candidate ends; its own completion alone is read for an
answer. What fails, does not parse or has no room is a disagreement. Nothing here sees a
gold answer.

Source: rStar (arXiv 2408.06195), section 3.3.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_qstar.actions import ActionForms
from langchain_qstar.nodes.endings import ends_of
from langchain_qstar.nodes.mutual.asking import completions_of
from langchain_qstar.nodes.phase import Call
from langchain_qstar.nodes.preface import preface_of, prefaced
from langchain_qstar.nodes.room import room_for
from langchain_qstar.protocols import Completion, Policy, SampleRequest, Task
from langchain_qstar.seeds import question_seed, sample_seed
from langchain_qstar.settings.verification import VerificationSettings
from langchain_qstar.spending.allowance import cutting
from langchain_qstar.state.events import VerifiedEvent
from langchain_qstar.tree import NodeRecord, StatRecord
from langchain_qstar.verification.agreement import survives
from langchain_qstar.verification.candidates import Candidate
from langchain_qstar.verification.masking import prefixes


@dataclass(frozen=True, slots=True)
class Verifier:
    """Who completes candidates, and how it is asked.

    Attributes:
        policy: Who completes; any policy, the one that wrote the candidates too.
        task: Where an answer is, and when two are the same.
        forms: How candidates read, and how their completion is asked for.
        settings: The masks, how often each is completed, and which candidates survive.
        top_p: As in `SampleRequest`, like the next two.
        top_k: See `top_p`.
        repetition_penalty: See `top_p`.
    """

    policy: Policy
    task: Task
    forms: ActionForms
    settings: VerificationSettings
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0

    def completed(
        self, candidates: Sequence[Candidate], root: NodeRecord
    ) -> Generator[Call, Any, tuple[dict[str, StatRecord], dict[str, float]]]:
        """What the completions of each candidate reached, and what they cost; never raises.

        Args:
            candidates: Those to verify, at least one.
            root: The root of the tree: it has the facts of the run.
        """
        asked = [request for each in candidates for request in self._requests(each, root)]
        found = [request for request in asked if request is not None]
        completions, usage = yield from completions_of(self.policy, found)
        answered = iter(zip(found, completions, strict=True))
        most = self.settings.completions_per_mask
        reached: list[list[str | None] | None] = [
            [None] * most if request is None else _answers(self.task, *next(answered))
            for request in asked
        ]
        each = len(asked) // len(candidates)
        learnt: dict[str, StatRecord] = {}
        for number, candidate in enumerate(candidates):
            masks = reached[number * each : (number + 1) * each]
            if any(mask is None for mask in masks):
                continue  # a budget cut it short, which says nothing about the candidate
            learnt[candidate.id] = {
                "completed": [answer for mask in masks for answer in mask or ()]
            }
        return learnt, usage

    def _requests(self, candidate: Candidate, root: NodeRecord) -> list[SampleRequest | None]:
        """One request a mask; None where the verifier has no room for it."""
        settings, run = self.settings, root["run"]
        own = question_seed(run["seed"], run["question"])
        shown = prefixes(
            candidate.segments,
            unit=settings.mask_unit,
            masks=settings.masks,
            random_mask=settings.random_mask,
            seed=sample_seed(own, f"mask of {candidate.id}", 0),
        )
        place, each = f"completion of {candidate.id}", settings.completions_per_mask
        return [
            self._request(
                root,
                prefix,
                [sample_seed(own, place, mask * each + number) for number in range(each)],
            )
            for mask, prefix in enumerate(shown)
        ]

    def _request(self, root: NodeRecord, prefix: str, seeds: Sequence[int]) -> SampleRequest | None:
        opening = self.forms.completing(root["run"]["question"], prefix)
        opening = replace(opening, state=prefaced(opening.state, preface_of(root)))
        room = room_for(opening, self.policy)
        if room < 1:
            return None
        return SampleRequest(
            state=opening.state,
            seeds=tuple(seeds),
            stop=opening.stop,
            ends=ends_of(opening, self.task),
            max_tokens=room,
            temperature=self.settings.verifier_temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            prefill=opening.prefill,
            repetition_penalty=self.repetition_penalty,
        )

    def event(
        self, candidates: Sequence[Candidate], learnt: Mapping[str, StatRecord]
    ) -> VerifiedEvent:
        """What is told of completed candidates."""
        rule, equivalent = self.settings.agreement, self.task.equivalent
        return {
            "type": "verified",
            "nodes": [
                {
                    "id": each.id,
                    "answer": each.answer,
                    "completed": learnt[each.id]["completed"],
                    "survived": survives(
                        rule, each.answer, learnt[each.id]["completed"], equivalent
                    ),
                }
                for each in candidates
                if each.id in learnt
            ],
        }


def _answers(
    task: Task, request: SampleRequest, completions: Sequence[Completion]
) -> list[str | None] | None:
    """The answer of each completion that was asked for; None for one that has none.

    None as a whole where a budget cut one short.
    """
    if cutting() is not None and (
        len(completions) < len(request.seeds)
        or any(each.finish == "cancelled" for each in completions)
    ):
        return None
    answers = [_answer(task, request, each) for each in completions[: len(request.seeds)]]
    return answers + [None] * (len(request.seeds) - len(answers))


def _answer(task: Task, request: SampleRequest, completion: Completion) -> str | None:
    own = completion.text.removeprefix(request.prefill)
    ended = completion.finish in {"stop", "eos"} or task.is_terminal(own)
    failed = completion.finish in {"cancelled", "error"}
    return task.read(own)[0] if ended and not failed else None
