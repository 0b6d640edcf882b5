"""How much a policy can still write."""

from __future__ import annotations

import pytest

from langchain_qstar.actions import Opening
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.nodes.room import TEMPLATE_TOKENS, room_for
from langchain_qstar.protocols import State, Step

OPENING = Opening(
    state=State("How many?", (("user", "How many pens?"),), (Step("Tom has four. "),)),
    stop=(),
    max_tokens=50,
    prefill="The answer",
)
TAKEN = 3 + 3 + 2 + TEMPLATE_TOKENS


@pytest.mark.parametrize(
    ("window", "room"),
    [(None, 50), (1000, 50), (TAKEN + 50, 50), (TAKEN + 7, 7), (TAKEN, 0), (TAKEN - 1, -1)],
)
def test_the_room_is_what_the_window_leaves_and_never_more_than_is_asked_for(window, room):
    assert room_for(OPENING, ScriptedPolicy({}, window=window)) == room
