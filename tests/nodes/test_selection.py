from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar.nodes.selection import Rule, best_popped, choose, open_terminals, votes


def table(*rows: tuple[float, str | None]) -> tuple[Any, Any, list[str]]:
    """Popped terminal children of the root with these f and answers."""
    nodes: dict[str, Any] = {"0": {"id": "0", "parent": None, "order": 0, "terminal": False}}
    stats: dict[str, Any] = {"0": {"f": 0.0, "popped": 0}}
    for number, (f, answer) in enumerate(rows):
        nodes[f"0.{number}"] = {
            "id": f"0.{number}",
            "parent": "0",
            "action": "propose_step",
            "order": number + 1,
            "terminal": True,
            "answer": answer,
        }
        stats[f"0.{number}"] = {"f": f, "popped": number + 1}
    return nodes, stats, [f"0.{number}" for number in range(len(rows))]


def same(one: str, other: str) -> bool:
    return float(one) == float(other)


@pytest.mark.parametrize(
    ("rule", "chosen"), [("max_f", "0.0"), ("majority", "0.3"), ("weighted_majority", "0.3")]
)
def test_rules_choose_the_best_of_the_answer_they_prefer(rule: Rule, chosen: str):
    rows = ((0.9, "7"), (0.3, "8"), (0.2, "8.0"), (0.5, "8"))
    assert choose(*table(*rows), rule, same) == chosen


def test_a_tie_of_votes_goes_to_the_answer_with_the_best_trajectory():
    assert choose(*table((0.2, "7"), (0.6, "8")), "majority", same) == "0.1"


def test_equal_f_goes_to_the_earlier():
    assert choose(*table((0.5, "7"), (0.5, "8")), "max_f", same) == "0.0"


def refuted(found: tuple[Any, Any, list[str]], *ids: str) -> tuple[Any, Any, list[str]]:
    """The same, of which a check failed some."""
    for each in ids:
        found[1][each]["checks"] = [{"name": "arithmetic", "verdict": "failed"}]
    return found


@pytest.mark.parametrize("rule", ["max_f", "majority", "weighted_majority"])
def test_among_equals_the_answer_that_no_check_failed_wins(rule: Rule):
    equal = table((0.5, "7"), (0.5, "8"))
    assert choose(*equal, rule, same) == "0.0"
    assert choose(*refuted(equal, "0.0"), rule, same) == "0.1"
    assert votes(*equal, rule, same)[0].answer == "8"
    assert choose(*refuted(equal, "0.1"), rule, same) == "0.0"


def test_of_as_many_votes_a_failed_check_outweighs_f():
    rows = refuted(table((0.9, "7"), (0.5, "8")), "0.0")
    assert choose(*rows, "majority", same) == "0.1"
    assert votes(*rows, "majority", same)[0].answer == "8"


@pytest.mark.parametrize(
    ("rule", "chosen"), [("max_f", "0.0"), ("majority", "0.2"), ("weighted_majority", "0.0")]
)
def test_a_failed_check_decides_between_equals_only(rule: Rule, chosen: str):
    rows = refuted(table((0.9, "7"), (0.3, "8"), (0.2, "8")), "0.0", "0.1")
    assert choose(*rows, rule, same) == chosen


@pytest.mark.parametrize("rule", ["max_f", "majority", "weighted_majority"])
def test_answers_that_do_not_parse_have_no_vote(rule: Rule):
    assert choose(*table((0.9, None), (0.1, "8")), rule, same) == "0.1"
    assert choose(*table((0.9, None)), rule, same) is None
    assert choose(*table(), rule, same) is None


def test_weights_below_0_count_as_0_and_all_zero_weights_as_one_each():
    (seven, eight) = votes(*table((0.4, "7"), (-3.0, "8")), "weighted_majority", same)
    assert (seven.answer, seven.weight, eight.weight) == ("7", 1.0, 0.0)
    shares = votes(*table((0.0, "7"), (-1.0, "8")), "weighted_majority", same)
    assert [vote.weight for vote in shares] == [0.5, 0.5]


def test_votes_come_heaviest_first_and_add_up():
    first, second = votes(*table((0.9, "7"), (0.3, "8"), (0.2, "8.0")), "majority", same)
    assert (first.answer, first.count, second.answer) == ("8", 2, "7")
    assert first.weight + second.weight == pytest.approx(1.0)


def test_open_terminals_are_those_that_were_never_popped_best_first():
    nodes, stats, _ = table((0.1, "7"), (0.9, "8"), (0.5, "9"))
    del stats["0.0"]["popped"], stats["0.2"]["popped"]
    assert open_terminals(nodes, stats) == ["0.2", "0.0"]


def test_the_state_to_complete_is_the_best_popped_one_and_the_root_only_if_alone():
    nodes, stats, _ = table((0.9, "7"))
    assert best_popped(nodes, stats) == "0"
    nodes["0.1"] = {"order": 2, "terminal": False}
    stats["0.1"] = {"f": -0.5, "popped": 2}
    nodes["0.2"] = {"order": 3, "terminal": False}
    stats["0.2"] = {"f": 0.5}
    assert best_popped(nodes, stats) == "0.1"
