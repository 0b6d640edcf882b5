"""Asking a verifier for completions when it may fail: in parts, and never raising.

A completion that failed is a disagreement, not the end of a search.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from langchain_qstar.errors import ModelError, QuestionError
from langchain_qstar.nodes.phase import Call, attempted, sample
from langchain_qstar.nodes.replies import checked, used
from langchain_qstar.protocols import Completion, Policy, SampleRequest
from langchain_qstar.state.channels import add_usage

FAILURES: Final = (ModelError, QuestionError, TimeoutError, ConnectionError)
"""What a verifier may raise; anything else is a fault in a program."""

MOST_FAILURES: Final = 12
"""Calls that may fail before the rest is given up: one bad request among a thousand is found
by halving in ten."""


def completions_of(
    verifier: Policy, requests: Sequence[SampleRequest]
) -> Generator[Call, Any, tuple[list[list[Completion]], dict[str, float]]]:
    """Completions for every request, as one batch; of a batch that fails, by its halves.

    Args:
        verifier: Who completes.
        requests: What it is asked.

    Returns:
        The completions of each request, none where the verifier failed; and what they cost.
    """
    answers: list[list[Completion]] = [[] for _ in requests]
    usage: dict[str, float] = {}
    parts = [(0, len(requests))] if requests else []
    failures = 0
    while parts and failures < MOST_FAILURES:
        start, end = parts.pop(0)
        given = yield attempted(sample(verifier, requests[start:end]), FAILURES)
        found = _checked(given, end - start, verifier.name)
        if found is not None:
            answers[start:end] = found
            usage = add_usage(usage, used(found))
            continue
        failures += 1
        if end - start > 1:
            middle = (start + end) // 2
            parts += [(start, middle), (middle, end)]
    return answers, usage


def _checked(given: object, asked: int, name: str) -> list[list[Completion]] | None:
    try:
        return None if isinstance(given, Exception) else checked(given, asked, name)
    except ModelError:
        return None
