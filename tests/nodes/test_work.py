"""What is left to do around popped states: the table that resuming stands on."""

from __future__ import annotations

from typing import Any

from langchain_qstar.nodes.work import (
    Work,
    around,
    new_work,
    record_of,
    state_of,
    step_of,
    to_insert,
    to_sample,
    to_score,
    unfinished,
)
from langchain_qstar.protocols import Completion, Step, Task

TASK = Task(
    name="t",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.strip(),
    is_terminal=lambda text: "7" in text,
    step_tokens=4,
)


def node(node_id: str, *, terminal: bool = False, truncated: bool = False) -> Any:
    parent, dot, _ = node_id.rpartition(".")
    return {
        "id": node_id,
        "parent": parent if dot else None,
        "text": f"{node_id}\n" if dot else "",
        "action": "propose_step",
        "token_ids": [1, 2],
        "logprobs": [-0.5, -1.0],
        "terminal": terminal,
        "truncated": truncated,
        "length": 3,
        "run": {"question": "q", "seed": 0},
    }


def tree(*ids: str, terminal: str = "", truncated: str = "") -> Any:
    return {
        each: node(each, terminal=each == terminal, truncated=each == truncated) for each in ids
    }


def work(nodes: Any, stats: Any, *popped: str) -> Work:
    return new_work(nodes, stats, popped, {}, 0)


def test_work_holds_the_paths_and_what_is_below_and_nothing_else():
    nodes = tree("0", "0.0", "0.1", "0.0.0", "0.1.0", "0.1.0.0")
    near, known = around(nodes, {"0": {"f": 0.0}, "0.0": {"f": 0.1}}, ["0.1"])
    assert list(near) == ["0", "0.1", "0.1.0", "0.1.0.0"]
    assert list(known) == ["0"]


def test_a_popped_state_is_sampled_once():
    nodes = tree("0", "0.0")
    assert to_sample(work(nodes, {"0": {}}, "0"), lookahead=False) == ["0"]
    assert to_sample(work(nodes, {"0": {"expanded": 0}}, "0"), lookahead=False) == []


def test_in_lookahead_the_children_are_sampled_next_but_not_those_that_end():
    nodes = tree("0", "0.0", "0.1", "0.2", terminal="0.1", truncated="0.2")
    assert to_sample(work(nodes, {"0": {}}, "0"), lookahead=True) == ["0"]
    assert to_sample(work(nodes, {"0": {"expanded": 0}}, "0"), lookahead=True) == ["0.0"]


def test_steps_without_a_score_are_scored_by_parent():
    nodes = tree("0", "0.0", "0.1", "0.1.0")
    stats = {"0": {}, "0.0": {"q": None}}
    assert to_score(work(nodes, stats, "0")) == {"0": ["0.1"], "0.1": ["0.1.0"]}


def test_children_without_f_are_inserted():
    stats = {"0.0": {"q": 0.5, "f": 0.5}, "0.1": {"q": 0.5}}
    assert to_insert(work(tree("0", "0.0", "0.1"), stats, "0")) == ["0.1"]


def test_a_popped_state_is_unfinished_until_all_its_children_have_f():
    nodes = tree("0", "0.0", "0.1", terminal="0.1")
    assert unfinished(nodes, {"0": {"popped": 0}}) == ["0"]
    assert unfinished(nodes, {"0": {"popped": 0, "expanded": 0}, "0.0": {"f": 1.0}}) == ["0"]
    done: Any = {"0": {"popped": 0, "expanded": 0}, "0.0": {"f": 1.0}, "0.1": {"f": 1.0}}
    assert unfinished(nodes, done) == []
    done["0.1"]["popped"] = 1  # a terminal has nothing left to do
    assert unfinished(nodes, done) == []


def test_a_state_carries_token_ids_and_logprobs_as_they_were_generated():
    state = state_of(tree("0", "0.0"), "0.0", (("user", "q"),))
    assert state.steps == (Step("0.0\n", "propose_step", (1, 2), (-0.5, -1.0)),)
    assert step_of(node("0.0") | {"token_ids": None}).token_ids is None


def made(completion: Completion, *, window: int | None = None, max_depth: int = 9) -> Any:
    return record_of(
        completion,
        "0.0.1",
        tree("0", "0.0"),
        order=5,
        action="propose_step",
        task=TASK,
        window=window,
        max_depth=max_depth,
    )


def test_a_record_keeps_what_the_policy_returned():
    record = made(Completion("x\n", (4, 5), (-1.0, -2.0), generated=2))
    assert (record["text"], record["token_ids"], record["logprobs"]) == (
        "x\n",
        [4, 5],
        [-1.0, -2.0],
    )
    assert (record["parent"], record["order"], record["samples"]) == ("0.0", 5, 1)
    assert record["length"] == 5
    assert not record["terminal"]
    assert not record["truncated"]
    assert record["answer"] is None


def test_a_record_is_terminal_when_the_task_says_so_or_the_policy_ended_its_text():
    assert made(Completion("7\n"))["answer"] == "0.0\n7"
    assert made(Completion("x", finish="eos"))["terminal"]
    assert not made(Completion("x\n", finish="eos"))["terminal"]


def test_a_record_is_truncated_when_too_deep_or_too_long_but_not_when_terminal():
    assert made(Completion("x\n"), max_depth=2)["truncated"]
    assert not made(Completion("7\n"), max_depth=2)["truncated"]
    assert made(Completion("x\n", generated=2), window=8)["truncated"]
    assert not made(Completion("x\n", generated=2), window=9)["truncated"]


def test_the_policy_knows_the_length_of_a_prompt_better_than_the_tree():
    assert made(Completion("x\n", generated=2, prompt_tokens=20))["length"] == 22
