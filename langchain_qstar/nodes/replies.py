"""What a policy replied to a batch: checked, and counted."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_qstar.errors import ModelError
from langchain_qstar.protocols import Completion
from langchain_qstar.spending.allowance import cutting


def checked(answers: object, asked: int, name: str) -> list[list[Completion]]:
    """The completions a policy returned; `ModelError` when they are not one list a request."""
    if not isinstance(answers, Sequence) or len(answers) != asked:
        count = len(answers) if isinstance(answers, Sequence) else type(answers).__name__
        raise ModelError(f"policy {name} returned {count} results for {asked} requests")
    return [list(answer) for answer in answers]


def is_cut(completion: Completion) -> bool:
    """Whether a completion is the beginning of a text that a budget cut short."""
    begun = completion.finish == "cancelled" and bool(completion.text.strip())
    return begun and cutting() is not None


def used(completions: Sequence[Sequence[Completion]]) -> dict[str, float]:
    """What one batch of completions cost."""
    flat = [completion for group in completions for completion in group]
    return {
        "calls": 1,
        "completions": len(flat),
        "prompt_tokens": sum(each.prompt_tokens for each in flat),
        "completion_tokens": sum(each.generated for each in flat),
        "reused_tokens": sum(each.reused_tokens for each in flat),
    }
