from __future__ import annotations

import io
import re
from typing import Literal

from rich.console import Console

from langchain_qstar.report.terminal import MAX_LEVELS, print_solution
from langchain_qstar.solution import Solution, SolutionStep, TreeNode, Usage, Vote


def node(identity: str, text: str, **fields) -> TreeNode:
    return TreeNode(
        id=identity,
        parent=identity.rpartition(".")[0] or None,
        text=text,
        action="propose_step",
        depth=identity.count("."),
        **fields,
    )


def solution(**fields) -> Solution:
    given = {
        "question": "How many?",
        "answer": "7",
        "method": "qstar",
        "steps": (SolutionStep(text="3+4=7\n"), SolutionStep(text="The answer is 7.\n")),
        "tree": (
            node("0", "", popped=0),
            node("0.0", "3+5=8\n", q=0.25, f=0.25),
            node("0.1", "3+4=7\n", q=0.75, f=0.75, popped=1),
            node("0.2", "4-3=1\n", q=0.5, f=0.5),
            node("0.1.0", "The answer is 7.\n", popped=2, terminal=True, answer="7"),
        ),
        "usage": Usage(calls=2, completions=6, prompt_tokens=50, completion_tokens=40),
        "seconds": 1.25,
    }
    return Solution.model_validate(given | fields)


def shown(value: Solution, *, colour: bool = False) -> str:
    page = io.StringIO()
    system: Literal["standard"] | None = "standard" if colour else None
    print_solution(value, Console(file=page, width=120, force_terminal=True, color_system=system))
    return page.getvalue()


def test_the_tree_shows_pops_in_order_with_their_values():
    assert re.search(r"#1 q=0\.75 f=0\.75 +3\+4=7", shown(solution()))


def test_candidates_that_were_not_popped_are_counted_with_the_best_of_them():
    text = shown(solution())
    assert "2 candidates not popped, best f=0.50" in text
    assert "3+5=8" not in text


def test_the_chosen_path_is_highlighted():
    assert "\x1b[1;32m3+4=7" in shown(solution(), colour=True)


def test_the_answer_comes_last_with_the_reason_for_stopping():
    last = shown(solution()).strip().splitlines()[-1]
    assert last == "answer  7  [qstar: the search ended as asked]"


def test_a_search_without_an_answer_says_so():
    value = solution(answer=None, stopped="tokens", steps=())
    assert "answer  none  [qstar: the budget of tokens ended]" in shown(value)


def test_what_judged_an_answer_is_named():
    value = solution(verified=False, verified_by=("arithmetic",))
    assert "(refuted by arithmetic)" in shown(value)


def test_votes_and_trajectories_without_an_answer_are_counted():
    value = solution(votes=(Vote(answer="7", count=3, weight=0.75),), unparsed=1)
    assert "votes   7 x3 (75%), no answer x1" in shown(value)


def test_the_cost_is_told():
    (line,) = [line for line in shown(solution()).splitlines() if line.startswith("cost")]
    assert "40 tokens generated, 50 read (0 from cache)" in line
    assert line.endswith("completions: 6, model calls: 2, 1.25 s")


def test_a_solution_without_a_tree_shows_its_steps():
    text = shown(solution(tree=(), method="greedy"))
    assert "  3+4=7\n  The answer is 7.\n" in text


def test_model_output_is_neither_markup_nor_a_terminal_command():
    hostile = "[red]x[/red] \x1b[2J\x1b]0;owned\x07"
    value = solution(
        question=hostile,
        answer=hostile,
        steps=(SolutionStep(text=hostile),),
        tree=(node("0", ""), node("0.0", hostile, popped=1, terminal=True, answer=hostile)),
        votes=(Vote(answer=hostile, count=1, weight=1.0),),
    )
    text = shown(value)
    assert text.count("[red]x[/red]") == 5
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_tree_deeper_than_the_terminal_is_drawn_flush_and_whole():
    deep = tuple(node(".".join(["0"] * n), f"step {n}.", popped=n) for n in range(1, 1200))
    drawn = [line for line in shown(solution(tree=deep)).splitlines() if "step" in line]
    assert len(drawn) == 1198
    assert "step 1199." in drawn[-1]
    assert drawn[-1].index("#") == drawn[MAX_LEVELS].index("#")
