from __future__ import annotations

import io
import re
from typing import Literal

from rich.console import Console

from langchain_qstar.report.terminal import MAX_LEVELS, print_solution
from langchain_qstar.solution import Check, Solution, SolutionStep, Usage, Vote


def shown(value: Solution, *, colour: bool = False) -> str:
    page = io.StringIO()
    system: Literal["standard"] | None = "standard" if colour else None
    print_solution(value, Console(file=page, width=120, force_terminal=True, color_system=system))
    return page.getvalue()


def test_the_tree_shows_pops_in_order_with_their_values(solution):
    assert re.search(r"#1 q=0\.75 f=0\.75 +3\+4=7", shown(solution()))


def test_candidates_that_were_not_popped_are_counted_with_the_best_of_them(solution):
    text = shown(solution())
    assert "2 candidates not popped, best f=0.50" in text
    assert "3+5=8" not in text


def test_the_chosen_path_is_highlighted(solution):
    assert "\x1b[1;32m3+4=7" in shown(solution(), colour=True)


def test_the_answer_comes_last_with_the_reason_for_stopping(solution):
    last = shown(solution()).strip().splitlines()[-1]
    assert last == "answer  7  [qstar: the search ended as asked]"


def test_a_search_without_an_answer_says_so(solution):
    value = solution(answer=None, stopped="tokens", steps=())
    assert "answer  none  [qstar: the budget of tokens ended]" in shown(value)


def test_what_judged_an_answer_is_named(solution):
    failed = Check(name="arithmetic", verdict="failed", reason="3+4 is 7")
    steps = (SolutionStep(text="3+4=8\n", checks=(failed,)),)
    value = solution(verified=False, verified_by=("arithmetic",), steps=steps)
    assert "(refuted by arithmetic)" in shown(value)
    assert shown(value).splitlines()[-1] == (
        "refuted check arithmetic failed step 1 of 1, '3+4=8': 3+4 is 7"
    )
    assert "not verified; its calculations hold" in shown(solution(calculations="hold"))


def test_votes_and_trajectories_without_an_answer_are_counted(solution):
    value = solution(votes=(Vote(answer="7", count=3, weight=0.75),), unparsed=1)
    assert "votes   7 x3 (75%), no answer x1" in shown(value)


def test_the_cost_is_told(solution):
    (line,) = [line for line in shown(solution()).splitlines() if line.startswith("cost")]
    assert "40 tokens generated, 50 read (0 from cache)" in line
    assert line.endswith("completions: 6, model calls: 2, 1.25 s")


def test_what_fell_short_is_shown_under_the_cost(solution):
    short = "values: alike in 2 of 2 expansions; the search was not guided there"
    usage = Usage(calls=2, completions=6, shortfalls=(short,))
    assert f"\n        {short}\n" in shown(solution(usage=usage))


def test_a_solution_without_a_tree_shows_its_steps(solution):
    text = shown(solution(tree=(), method="greedy"))
    assert "  3+4=7\n  The answer is 7.\n" in text


def test_model_output_is_neither_markup_nor_a_terminal_command(node, solution):
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


def test_a_tree_deeper_than_the_terminal_is_drawn_flush_and_whole(node, solution):
    deep = tuple(node(".".join(["0"] * n), f"step {n}.", popped=n) for n in range(1, 1200))
    drawn = [line for line in shown(solution(tree=deep)).splitlines() if "step" in line]
    assert len(drawn) == 1198
    assert "step 1199." in drawn[-1]
    assert drawn[-1].index("#") == drawn[MAX_LEVELS].index("#")
