"""Where rollouts go: fresh children first, then UCT; simulations at random, by the seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from langchain_qstar.nodes.rstar.descent import Descent, seeded_choice
from langchain_qstar.nodes.rstar.slots import Rules
from langchain_qstar.settings.rstar import RStarSettings


def descent(stats: dict[str, Any], **settings: Any) -> Descent:
    """A root with the children 0.0, 0.1 and 0.2, of which the last has 0.2.0."""
    used = RStarSettings(actions=("propose_step",), **settings)
    nodes: Any = {
        each: {
            "action": "propose_step" if "." in each else "root",
            "terminal": False,
            "truncated": each == "0.2.0",
        }
        for each in ("0", "0.0", "0.1", "0.2", "0.2.0")
    }
    choose = seeded_choice if settings else lambda *_: 0
    return Descent(nodes, stats, Rules(("propose_step",), used), 0, choose)


SEEN: dict[str, Any] = {
    "0": {"visits": 3, "value": 1.5, "expanded": 0},
    "0.0": {"visits": 1, "value": 0.9},
    "0.1": {"visits": 1, "value": 0.1},
    "0.2": {"visits": 1, "value": 0.5, "expanded": 2},
}


def test_32_a_child_that_no_rollout_went_through_comes_before_any_uct():
    unseen = {each: known for each, known in SEEN.items() if each != "0.1"}
    assert descent(unseen).leaf(3, 2.0) == "0.1"


def test_a_child_that_another_rollout_is_at_is_not_fresh():
    at = descent({"0": {"visits": 0, "expanded": 0}})
    places: list[Any] = []
    for number in range(3):
        places.append({"number": number, "tip": at.leaf(number, 2.0, places)})
    assert [each["tip"] for each in places] == ["0.0", "0.1", "0.2"]


def test_among_seen_children_the_one_of_highest_uct_is_followed_the_earlier_of_equals():
    assert descent(SEEN).leaf(3, 0.0) == "0.0"
    equal = {**SEEN, "0.1": {"visits": 1, "value": 0.9}}
    assert descent(equal).leaf(3, 0.0) == "0.0"


def test_rollouts_in_flight_lead_a_new_one_elsewhere():
    places: list[Any] = [{"number": 3, "tip": "0.0"}, {"number": 4, "tip": "0.0"}]
    assert descent(SEEN).leaf(5, 2.0) == "0.0"
    assert descent(SEEN).leaf(5, 2.0, places) == "0.2.0"


def test_a_simulation_goes_on_to_what_waits_for_an_expansion_or_is_an_end():
    at = descent(SEEN)
    assert at.simulate({"number": 0, "tip": "0"})["tip"] == "0.0"
    assert at.simulate({"number": 0, "tip": "0.2"})["tip"] == "0.2.0"
    assert at.is_end("0.2.0")
    assert not at.is_end("0.0")
    assert descent({**SEEN, "0.0": {"expanded": 4}}).is_end("0.0")  # it got no children


def test_without_a_prior_all_children_are_as_likely_and_with_one_as_they_are_valued():
    valued = {**SEEN, "0.0": {"q": 0.0}, "0.1": {"q": 0.75}, "0.2": {"q": 0.25, "visits": 1}}

    def places(prior: str) -> Counter[str]:
        at = descent(valued, prior=prior)
        return Counter(at.simulate({"number": n, "tip": "0"})["tip"] for n in range(2000))

    uniform, weighed = places("uniform"), places("q_model")
    assert all(600 < uniform[each] < 740 for each in ("0.0", "0.1", "0.2"))
    assert weighed["0.0"] == 0
    assert 1420 < weighed["0.1"] < 1580


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, 1.0]])
def test_a_choice_is_a_function_of_seed_rollout_and_depth(weights: list[float]):
    drawn = [seeded_choice(1, rollout, 0, weights) for rollout in range(200)]
    assert drawn == [seeded_choice(1, rollout, 0, weights) for rollout in range(200)]
    assert drawn != [seeded_choice(1, rollout, 1, weights) for rollout in range(200)]
    assert drawn != [seeded_choice(2, rollout, 0, weights) for rollout in range(200)]
    assert 70 < sum(drawn) < 130


CLOSED: Any = {"closed": "forbidden by a person", "decision": "forbidden"}


def test_a_closed_child_is_never_gone_to():
    without = {**SEEN, "0.0": {**SEEN["0.0"], **CLOSED}}
    assert descent(without).children("0") == ["0.1", "0.2"]
    assert descent(without).leaf(3, 0.0) == "0.2.0"
    every = {each: {**SEEN.get(each, {}), **CLOSED} for each in ("0.0", "0.1", "0.2")}
    assert descent({**SEEN, **every}).is_end("0")


def test_a_rollout_at_or_below_a_closed_step_goes_on_from_the_one_above():
    closed = {**SEEN, "0.2": {**SEEN["0.2"], **CLOSED}, "0.2.0": CLOSED}
    for tip in ("0.2", "0.2.0"):
        assert descent(closed).simulate({"number": 3, "tip": tip}) == {"number": 3, "tip": "0.0"}


def test_a_rollout_at_a_replaced_step_goes_on_from_what_was_written_in_its_place():
    at = descent({**SEEN, "0.2": {**SEEN["0.2"], **CLOSED}, "0.2.0": CLOSED})
    written = at.rules.next_written(at.nodes, "0")
    at.nodes[written] = {  # type: ignore[index]
        "action": "propose_step",
        "terminal": False,
        "truncated": False,
        "replaces": "0.2",
    }
    assert at.simulate({"number": 3, "tip": "0.2.0"})["tip"] == written
    again = {**at.stats, written: CLOSED}
    assert replace(at, stats=again).simulate({"number": 3, "tip": "0.2.0"})["tip"] == "0.0"
