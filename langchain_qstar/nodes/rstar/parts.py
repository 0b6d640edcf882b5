"""What every action of the machine is made of, and how it asks the policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_qstar.actions import ActionForms, Opening
from langchain_qstar.nodes.endings import ends_of
from langchain_qstar.nodes.preface import prefaced
from langchain_qstar.nodes.replies import is_cut
from langchain_qstar.nodes.retrieving import Retrieval
from langchain_qstar.nodes.room import room_for
from langchain_qstar.nodes.rstar.slots import Rules, Slots
from langchain_qstar.protocols import Action, Completion, Policy, SampleRequest, Task
from langchain_qstar.settings.rstar import RStarSettings
from langchain_qstar.spending.allowance import cutting
from langchain_qstar.state.rstar import Expansion, Work


@dataclass(frozen=True, slots=True)
class Parts:
    """What an action is made of.

    Attributes:
        policy: Who writes.
        task: Where answers are and when two are the same.
        forms: How the actions are asked for.
        settings: How many children and votes, and how they are sampled.
        preface: What the prompts of a run hold beside its question.
        retrieval: How passages are found; None where that is no action.
    """

    policy: Policy
    task: Task
    forms: ActionForms
    settings: RStarSettings
    preface: Mapping[str, Any] = field(default_factory=dict)
    retrieval: Retrieval | None = None

    def with_preface(self, view: Mapping[str, Any]) -> Parts:
        """The parts for one run, from what a node reads of its state."""
        return replace(self, preface=view.get("preface", {}))

    @property
    def rules(self) -> Rules:
        """Which actions may follow which."""
        return Rules(self.actions, self.settings)

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions that can be taken."""
        known = self.forms.actions
        return known if self.retrieval is None else (*known, "retrieve")

    def places(self, work: Work, action: Action) -> Iterator[tuple[Expansion, Slots]]:
        """The expansions in which `action` takes part, and the slots it fills there."""
        for expansion in work["expansions"]:
            after = expansion["path"][-1]["action"] if expansion["path"] else "root"
            for slots in self.rules.slots_after(after):
                if slots.action == action:
                    yield expansion, slots

    def request(self, opening: Opening, seeds: Sequence[int]) -> SampleRequest | None:
        """The request that asks for `opening`, or None when the policy has no room for it."""
        opening = replace(opening, state=prefaced(opening.state, self.preface))
        room = room_for(opening, self.policy)
        if room < 1:
            return None
        settings = self.settings
        return SampleRequest(
            state=opening.state,
            seeds=tuple(seeds),
            stop=opening.stop,
            max_tokens=room,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            prefill=opening.prefill,
            repetition_penalty=settings.repetition_penalty,
            ends=ends_of(opening, self.task),
        )

    @staticmethod
    def cut_of(completion: Completion) -> str | None:
        """The budget that cut a completion short, None where none did."""
        return cutting() if is_cut(completion) else None

    def is_step(self, action: Action, completion: Completion) -> bool:
        """Whether a completion is a step of `action`; an empty or failed one is none."""
        if completion.finish in {"cancelled", "error"} or not completion.text.strip():
            return False
        return self.forms.reads(action, completion.text)
