"""How strict the suite is: checkpoints hold plain data only, and a warning is an error."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from langgraph.checkpoint.serde import _msgpack
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

HOUSE = Path(__file__).parent.parent


@dataclass
class Own:
    """A type of ours, as no checkpoint may hold one."""

    value: int


def test_checkpoints_are_read_strictly():
    assert _msgpack.STRICT_MSGPACK_ENABLED
    serializer = JsonPlusSerializer()
    assert serializer.loads_typed(serializer.dumps_typed(Own(7))) != Own(7)


def test_a_warning_is_an_error():
    with pytest.raises(UserWarning, match="mind the gap"):
        warnings.warn("mind the gap", stacklevel=1)


def test_every_warning_that_is_let_pass_has_a_reason():
    lines = (HOUSE / "pyproject.toml").read_text().splitlines()
    passed = [line for line in lines if line.strip().startswith('"ignore:')]
    assert passed
    assert all(", # " in line for line in passed)
