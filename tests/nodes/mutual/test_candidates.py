from __future__ import annotations

from langchain_qstar.actions import forms_of
from langchain_qstar.nodes.mutual.candidates import candidates_of, has_failed
from langchain_qstar.tree import StatRecord

ADD = "3 and 4 is 7.\n"
SEVEN = "The answer is 7."
EIGHT = "The answer is 8."


def found(nodes, task, stats=None, ended=(), *, pruned=False):
    return candidates_of(nodes, stats or {}, ended, forms_of(task), pruned=pruned)


def test_statement_59_a_solution_that_j_rollouts_ended_in_weighs_1_plus_j(tree, task):
    nodes = tree(
        {
            "0.0": ("finish", SEVEN, "7"),
            "0.1": ("propose_step", ADD),
            "0.1.0": ("finish", EIGHT, "8"),
        }
    )
    seven, eight = found(nodes, task, ended=["0.0", "0.1.0", "0.0"])
    assert (seven.weight, eight.weight) == (3, 2)
    assert [each.weight for each in found(nodes, task)] == [1, 1]


def test_statement_59_trajectories_that_read_the_same_are_one_candidate(tree, task):
    nodes = tree(
        {
            "0.0": ("propose_step", ADD),
            "0.1": ("finish", ADD + SEVEN, "7"),
            "0.0.0": ("finish", SEVEN, "7"),
        }
    )
    (one,) = found(nodes, task, ended=["0.0.0"])
    assert (one.ids, one.weight) == (("0.1", "0.0.0"), 3)
    assert "".join(one.segments) == ADD + SEVEN


def test_statement_54_what_states_no_answer_is_no_candidate(tree, task):
    nodes = tree(
        {"0.0": ("propose_step", ADD), "0.1": ("finish", "?"), "0.2": ("finish", SEVEN, "7" * 101)}
    )
    assert found(nodes, task, ended=["0.0", "0.1", "0.2"]) == []


def test_below_a_solution_only_ends_of_rollouts_count(tree, task):
    nodes = tree(
        {
            "0.0": ("propose_step", SEVEN + "\n", "7"),
            "0.0.0": ("finish", EIGHT, "8"),
            "0.0.1": ("finish", "So " + EIGHT, "8"),
        }
    )
    seven, eight = found(nodes, task, ended=["0.0.1"])
    assert (seven.id, seven.weight) == ("0.0", 1)
    assert (eight.id, eight.weight) == ("0.0.1", 1)


def test_candidates_stand_in_the_order_of_their_nodes(tree, task):
    nodes = tree({"0.1": ("finish", EIGHT, "8"), "0.0": ("finish", SEVEN, "7")})
    assert [each.id for each in found(nodes, task)] == ["0.1", "0.0"]


def test_reward_confidence_and_completions_are_those_of_the_node(tree, task):
    nodes = tree({"0.0": ("finish", SEVEN, "7"), "0.1": ("propose_step", EIGHT, "8")})
    nodes["0.0"]["confidence"] = 0.75
    stats = {
        "0.0": {"value": 1.5, "reward": 0.5, "completed": ["7", None], "belief": 0.9},
        "0.1": {"reward": 0.25},
    }
    voted, thought = found(nodes, task, stats)
    assert (voted.reward, voted.confidence, voted.belief) == (1.5, 0.75, 0.9)
    assert voted.completed == ("7", None)
    assert (thought.reward, thought.confidence, thought.completed) == (0.0, 0.25, None)


def test_a_failed_check_keeps_a_candidate_out_where_that_is_asked(tree, task):
    nodes = tree({"0.0": ("propose_step", ADD), "0.0.0": ("finish", SEVEN, "7")})
    stats = {"0.0": {"checks": [{"name": "arithmetic", "verdict": "failed", "reason": ""}]}}
    assert len(found(nodes, task, stats)) == 1
    assert found(nodes, task, stats, pruned=True) == []


def test_an_answer_that_was_given_again_fails_no_check(tree):
    nodes = tree(
        {
            "0.1": ("subquestion", "5"),
            "0.1.0": ("re_answer", "7"),
            "0.1.0.0": ("finish", SEVEN, "7"),
        }
    )
    failed: StatRecord = {"checks": [{"name": "arithmetic", "verdict": "failed", "reason": ""}]}
    assert not has_failed(nodes, {"0.1": failed}, "0.1.0.0")
    assert has_failed(nodes, {"0.1.0": failed}, "0.1.0.0")
