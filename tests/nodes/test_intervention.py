"""What decisions write, whatever machine they are about."""

from __future__ import annotations

from typing import Any

from langchain_qstar.decisions import Decision
from langchain_qstar.nodes.intervention import ended, intervene, is_refused, unapproved, undecided

NODES: Any = {
    "0": {"id": "0", "parent": None, "text": ""},
    "0.0": {"id": "0.0", "parent": "0", "text": "a\n"},
    "0.3": {"id": "0.3", "parent": "0", "text": "b\n"},
    "0.5": {"id": "0.5", "parent": "0", "text": "a\n"},
    "0.0.2": {"id": "0.0.2", "parent": "0.0", "text": "c\n"},
    "0.5.2": {"id": "0.5.2", "parent": "0.5", "text": "c\n"},
    "0.3.0": {"id": "0.3.0", "parent": "0.3", "text": "c\n"},
}


def author(nodes: Any, replaced: str, text: str, order: int) -> Any:
    return {"id": f"{NODES[replaced]['parent']}.{len(nodes)}", "text": text, "order": order}


def decided(forbid: Any = (), edit: Any = None, asked: Any = ()) -> Any:
    return intervene(NODES, Decision(tuple(forbid), edit or {}), asked, author, order=40)


def test_a_decision_is_about_all_steps_that_read_the_same_after_the_same_steps():
    assert set(decided(asked=["0.0"])["stats"]) == {"0.0", "0.5"}
    assert set(decided(forbid=["0.0.2"])["stats"]) == {"0.0.2", "0.5.2"}  # not below b


def test_what_is_forbidden_is_closed_with_all_below_it_also_where_numbers_are_left_out():
    stats = decided(forbid=["0.0"])["stats"]
    assert set(stats) == {"0.0", "0.0.2", "0.5", "0.5.2"}
    assert {each["decision"] for each in stats.values()} == {"forbidden"}


def test_what_is_written_names_what_it_replaces_and_is_approved_in_order():
    update = decided(edit={"0.0": "x", "0.3": "y"}, asked=["0.0", "0.3"])
    assert [each["order"] for each in update["nodes"].values()] == [40, 41]
    assert [each["replaces"] for each in update["nodes"].values()] == ["0.0", "0.3"]
    first, second = update["nodes"]
    assert update["stats"][first] == update["stats"][second] == {"decision": "approved"}
    assert update["stats"]["0.5.2"]["closed"] == f"a person wrote {first} in its place"


def test_a_text_is_refused_when_a_person_closed_a_step_that_it_begins_with():
    stats: Any = {"0.3": {"decision": "forbidden"}, "0.0": {"decision": "approved"}}
    assert is_refused(NODES, stats, "b\nc\n")
    assert not is_refused(NODES, stats, "a\nb\n")
    assert not is_refused(NODES, {"0.3": {"closed": "a check failed"}}, "b\nc\n")


def test_a_persons_text_ends_as_steps_do():
    assert (ended("x", ("\n",)), ended("x\n", ("\n",)), ended("x", ())) == ("x\n", "x\n", "x")


def test_who_has_still_to_be_asked():
    failed = {"checks": [{"verdict": "failed"}]}
    stats: Any = {"0.0": failed, "0.3": {**failed, "decision": "approved"}}
    assert list(undecided(stats)) == ["0.0"]
    assert unapproved(stats, ["0", "0.0", "0.3", "0.5"]) == ["0.0", "0.5"]
