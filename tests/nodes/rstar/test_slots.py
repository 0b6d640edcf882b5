"""Statements 26 to 31: which actions may follow which."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar.nodes.rstar.slots import Rules
from langchain_qstar.settings.rstar import ACTIONS, RStarSettings


def after(action: str, **settings: Any) -> list[str]:
    rules = Rules(ACTIONS, RStarSettings(**settings))
    return [each.action for each in rules.slots_after(action) for _ in range(each.count)]


STEPS, QUESTIONS = ["propose_step"] * 3, ["subquestion"] * 3


@pytest.mark.parametrize(
    ("action", "children"),
    [
        ("root", [*STEPS, "finish", *QUESTIONS, "rephrase"]),
        ("rephrase", [*STEPS, "finish", *QUESTIONS]),
        ("subquestion", [*STEPS, "finish", *QUESTIONS, "re_answer"]),
        ("re_answer", [*STEPS, "finish", *QUESTIONS]),
        ("propose_step", [*STEPS, "finish"]),
        ("finish", []),
    ],
)
def test_26_the_children_of_each_kind_of_node_in_the_order_of_creation(
    action: str, children: list[str]
):
    assert after(action) == children


def test_27_a_re_answer_follows_only_a_sub_question():
    assert [each for each in ("root", *ACTIONS) if "re_answer" in after(each)] == ["subquestion"]


def test_28_a_rephrasing_follows_only_the_root():
    assert [each for each in ("root", *ACTIONS) if "rephrase" in after(each)] == ["root"]


def test_29_a_sub_question_follows_a_thought_in_the_paper_and_not_in_the_official_code():
    paper, official = RStarSettings.profile("paper"), RStarSettings.profile("official")
    assert not Rules(ACTIONS, official).follows("subquestion", "propose_step")
    assert Rules(ACTIONS, paper).follows("subquestion", "propose_step")


def test_30_without_an_action_its_children_are_missing_and_the_rest_is_the_same():
    kept = [each for each in ACTIONS if each not in {"propose_step", "rephrase"}]
    assert after("root", actions=kept) == ["finish", *QUESTIONS]
    assert after("propose_step", actions=kept) == ["finish"]


def test_actions_that_the_task_has_no_forms_for_are_not_taken():
    rules = Rules(("propose_step", "finish"), RStarSettings())
    assert [each.action for each in rules.slots_after("root")] == ["propose_step", "finish"]


def test_a_child_that_was_dropped_leaves_its_slot_empty():
    nodes: Any = {
        "0": {"action": "root", "terminal": False, "truncated": False},
        "0.1": {"action": "propose_step"},
        "0.3": {"action": "finish"},
        "0.6": {"action": "subquestion"},
    }
    rules = Rules(ACTIONS, RStarSettings())
    assert rules.children(nodes, "0") == ["0.1", "0.3", "0.6"]
    assert rules.siblings(nodes, "0.1", "finish") == ["0.3"]


def test_what_a_person_writes_stands_after_all_slots_and_the_spare_one():
    nodes: Any = {
        "0": {"action": "root", "terminal": False, "truncated": False},
        "0.0": {"action": "propose_step"},
        "0.8": {"action": "finish"},  # the completion of a search that found nothing
    }
    rules = Rules(ACTIONS, RStarSettings())
    assert rules.spare("root") == 8
    assert rules.next_written(nodes, "0") == "0.9"
    nodes["0.9"] = {"action": "propose_step", "replaces": "0.0"}
    assert rules.next_written(nodes, "0") == "0.10"
    assert rules.children(nodes, "0") == ["0.0", "0.9"]
    assert rules.siblings(nodes, "0.0", "propose_step") == ["0.0"]  # the policy's alone
