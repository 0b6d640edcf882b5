"""How much a policy can still write after what it is asked to continue."""

from __future__ import annotations

from typing import Final

from langchain_qstar.actions import Opening
from langchain_qstar.protocols import Policy

TEMPLATE_TOKENS: Final = 16
"""More than what a chat template adds to a message, which nobody can count beforehand."""


def room_for(opening: Opening, policy: Policy) -> int:
    """The tokens that `policy` can write after `opening`, at most those asked for; may be < 1."""
    if policy.window is None:
        return opening.max_tokens
    texts = [content for _, content in opening.state.messages]
    texts += [opening.state.text, opening.prefill]
    added = TEMPLATE_TOKENS * len(opening.state.messages)
    # No text has more tokens than bytes, and most prompts are far from the window.
    most = sum(len(text.encode(errors="replace")) for text in texts) + added
    if most + opening.max_tokens <= policy.window:
        return opening.max_tokens
    left = policy.window - added - sum(map(policy.count_tokens, texts))
    return min(opening.max_tokens, left)
