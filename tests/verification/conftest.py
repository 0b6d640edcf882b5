from __future__ import annotations

import pytest

from langchain_qstar.verification.candidates import Candidate


@pytest.fixture
def candidate():
    """Makes a candidate; its text is its number, so that no two are the same."""
    made = 0

    def make(answer="7", weight=1, agreeing=None, of=4, **fields):
        nonlocal made
        made += 1
        if agreeing is not None:
            fields["completed"] = (answer,) * agreeing + (None,) * (of - agreeing)
        given = {"ids": (f"0.{made}",), "segments": (f"text {made}",)} | fields
        return Candidate(answer=answer, weight=weight, **given)

    return make
