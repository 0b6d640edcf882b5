"""What every action of the machine is made of, and how it asks the policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from langchain_qstar.actions import ActionForms, Opening
from langchain_qstar.nodes.rstar.slots import Rules, Slots
from langchain_qstar.protocols import Action, Completion, Policy, SampleRequest, Task
from langchain_qstar.settings.rstar import RStarSettings
from langchain_qstar.state.rstar import Expansion, Work

TEMPLATE_TOKENS: Final = 16
"""More than what a chat template adds to a message, which nobody can count beforehand."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an action is made of.

    Attributes:
        policy: Who writes.
        task: Where answers are and when two are the same.
        forms: How the actions are asked for.
        settings: How many children and votes, and how they are sampled.
    """

    policy: Policy
    task: Task
    forms: ActionForms
    settings: RStarSettings

    @property
    def rules(self) -> Rules:
        """Which actions may follow which."""
        return Rules(self.forms.actions, self.settings)

    def places(self, work: Work, action: Action) -> Iterator[tuple[Expansion, Slots]]:
        """The expansions in which `action` takes part, and the slots it fills there."""
        for expansion in work["expansions"]:
            after = expansion["path"][-1]["action"] if expansion["path"] else "root"
            for slots in self.rules.slots_after(after):
                if slots.action == action:
                    yield expansion, slots

    def request(self, opening: Opening, seeds: Sequence[int]) -> SampleRequest | None:
        """The request that asks for `opening`, or None when the policy has no room for it."""
        room = self._room(opening)
        if room < 1:
            return None
        settings = self.settings
        return SampleRequest(
            state=opening.state,
            seeds=tuple(seeds),
            stop=opening.stop,
            max_tokens=min(opening.max_tokens, room),
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            prefill=opening.prefill,
            repetition_penalty=settings.repetition_penalty,
        )

    def _room(self, opening: Opening) -> int:
        """How many tokens the policy can write after what it is asked to continue."""
        if self.policy.window is None:
            return opening.max_tokens
        texts = [content for _, content in opening.state.messages]
        texts += [opening.state.text, opening.prefill]
        added = TEMPLATE_TOKENS * len(opening.state.messages)
        # No text has more tokens than bytes, and most prompts are far from the window.
        most = sum(len(text.encode(errors="replace")) for text in texts) + added
        if most + opening.max_tokens <= self.policy.window:
            return opening.max_tokens
        return self.policy.window - added - sum(map(self.policy.count_tokens, texts))

    def is_step(self, action: Action, completion: Completion) -> bool:
        """Whether a completion is a step of `action`; an empty or failed one is none."""
        if completion.finish in {"cancelled", "error"} or not completion.text.strip():
            return False
        return self.forms.reads(action, completion.text)
