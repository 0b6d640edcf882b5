from __future__ import annotations

import pytest

from langchain_qstar.report.progress import WIDTH, SearchProgress


def told(*events) -> list[str]:
    lines: list[str] = []
    progress = SearchProgress(lines.append)
    for event in events:
        progress(event)
    return lines


def selected(text="3+4=7\n", f: float | None = 0.75, *, terminal=False):
    return {
        "type": "selected",
        "nodes": [{"id": "0", "text": text, "f": f, "terminal": terminal}],
        "open": 2,
    }


def scored(*pairs, closed=()):
    nodes = [
        {"id": "0.0", "text": t, "q": f, "reward": None, "f": f, "closed": None} for t, f in pairs
    ]
    nodes += [
        {"id": "0.1", "text": t, "q": 0.9, "reward": None, "f": 0.9, "closed": "sums: wrong"}
        for t in closed
    ]
    return {"type": "scored", "nodes": nodes}


def test_pops_are_numbered_and_the_root_is_the_question():
    assert told(selected("", None), selected()) == [
        "#0 expand  the question\n",
        "#1 expand f=0.75  3+4=7\n",
    ]


def test_a_complete_solution_is_collected_not_expanded():
    assert told(selected("The answer is 7.\n", terminal=True))[0].startswith("#0 collect")


def test_of_the_new_steps_the_best_is_shown():
    assert told(scored(("a", 0.25), ("b", 0.5))) == ["   2 steps, best f=0.50  b\n"]


def test_steps_that_have_no_value_are_shown_too():
    assert told(scored(("a", None))) == ["   1 step, best  a\n"]


def test_closed_steps_are_counted_and_are_not_the_best():
    assert told(scored(("a", 0.25), closed=["b"])) == [
        "   2 steps (1 closed by checks), best f=0.25  a\n"
    ]
    assert told(scored(closed=["b"])) == ["   1 step, closed by checks  b\n"]


def test_an_expansion_without_steps_says_nothing():
    assert told(scored()) == []


def test_proposed_steps_are_told_when_they_are_scored():
    assert told({"type": "proposed", "parents": ["0"], "nodes": []}) == []


@pytest.mark.parametrize(
    ("answer", "stopped", "line"),
    [
        ("7", "complete", "answer  7 (the search ended as asked)\n"),
        (None, "tokens", "answer  no answer (the budget of tokens ended)\n"),
    ],
)
def test_the_end_says_the_answer_and_why(answer, stopped, line):
    event = {"type": "answered", "id": "0.0", "answer": answer, "stopped": stopped}
    assert told(event) == [line]


def test_a_hostile_step_stays_one_harmless_line():
    (line,) = told(selected("\x1b[2J\r\nsecond" + "x" * 500))
    assert "\x1b" not in line
    assert line.count("\n") == 1
    assert len(line) == WIDTH + 1
