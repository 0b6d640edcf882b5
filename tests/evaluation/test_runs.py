"""Running a chain over problems: graded rows, resumed where they stopped."""

from __future__ import annotations

from pathlib import Path

from langchain_qstar.chains import GreedyChain
from langchain_qstar.evaluation.runs import run_chain
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.problems.generator import make_problems


def test_each_question_gets_one_graded_row(tmp_path: Path) -> None:
    problems = make_problems("train", 4)
    gold = problems[1].answer
    policy = ScriptedPolicy({"": [f"The answer is {gold}.\n"]})
    rows = run_chain("greedy", GreedyChain(policy, task="nano"), problems)
    assert [row.number for row in rows] == [0, 1, 2, 3]
    assert [row.right for row in rows] == [p.answer == gold for p in problems]
    assert all(row.tokens > 0 and row.completions == 1 for row in rows)


def test_finished_rows_are_not_run_again(tmp_path: Path) -> None:
    problems, done = make_problems("train", 5), tmp_path / "rows.jsonl"
    policy = ScriptedPolicy({"": ["The answer is 1.\n"]})
    first = run_chain("greedy", GreedyChain(policy, task="nano"), problems[:3], done=done)
    asked = len(policy.calls)
    with done.open("a") as file:
        file.write('{"method": "greedy", "number": 3, "cut off')
    again = run_chain("greedy", GreedyChain(policy, task="nano"), problems, done=done)
    assert again[:3] == first
    assert sum(len(call) for call in policy.calls[asked:]) == 2
