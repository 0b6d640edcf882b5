from __future__ import annotations

import json
from html import escape
from html.parser import HTMLParser

import pytest

from langchain_qstar.rendering import (
    MAX_ROWS,
    path_ids,
    plain,
    plain_lines,
    refutation,
    solution_html,
    verdict_of,
)
from langchain_qstar.solution import Solution, SolutionStep, Vote

HOSTILE = '<script>alert("x")</script>\x1b]0;owned\x07[bold]\u202e\ud800'


def html(value: Solution) -> str:
    return solution_html(value.model_dump(mode="json"))


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x2028])
def test_plain_text_holds_no_control_character(code):
    shown = plain(f"a{chr(code)}b")
    assert chr(code) not in shown
    assert shown[0] == "a"
    assert shown[-1] == "b"


HIDDEN = [0xAD, 0x115F, 0x200B, 0x2062, 0x3164, 0xFEFF, 0xE0041, 0x2800, 0x180E, 0xFFA0]


@pytest.mark.parametrize("code", HIDDEN)
def test_nothing_is_hidden_in_plain_text(code):
    assert plain(f"a{chr(code)}b") == plain_lines(f"a{chr(code)}b") == "a\ufffdb"


def test_joiners_and_selectors_that_scripts_and_emoji_need_stay():
    for text in ("👩\u200d🚀", "نمی\u200cدانم", "❤\ufe0f"):
        assert plain(text) == text


def test_a_printed_solution_keeps_its_lines_and_moves_no_cursor(solution):
    hostile = "a\x1b]0;x\x07\tb\r\nc\u202e\n"
    steps = (SolutionStep(text=hostile),)
    printed = str(solution(answer=f"{hostile}\x1b[2J", steps=steps))
    assert all(each.isprintable() or each == "\n" for each in printed)
    assert printed.startswith("a")
    assert printed.count("\n") == 2
    assert "\nc" in printed


def test_a_page_of_a_file_that_lies_about_depths_holds_no_attribute_of_its_own(solution):
    foreign = solution().model_dump(mode="json")
    foreign["tree"][1]["depth"] = '0em" onmouseover="alert(1)'
    assert "onmouseover" not in solution_html(foreign)


def test_plain_text_can_always_be_written_as_utf8():
    assert plain(HOSTILE).encode()


def test_plain_text_leaves_other_languages_alone():
    assert plain(" Сколько?  多少 ñ 😀\n") == "Сколько? 多少 ñ 😀"


def test_the_path_is_found_by_the_texts_of_its_steps():
    nodes: list[tuple[str, str | None, str]] = [
        ("0", None, ""),
        ("0.0", "0", "a"),
        ("0.0.0", "0.0", "a"),
        ("0.1", "0", "b"),
        ("0.1.0", "0.1", "a"),
    ]
    assert path_ids(nodes, ["b", "a"]) == ("0", "0.1", "0.1.0")


def test_a_path_that_is_not_in_the_tree_is_empty():
    assert path_ids([("0", None, ""), ("0.0", "0", "a")], ["a", "b"]) == ()


def test_html_escapes_what_the_model_wrote(node, solution):
    page = html(
        solution(
            question=HOSTILE.replace("\ud800", ""),
            answer="<img src=x onerror=alert(1)>",
            steps=(SolutionStep(text="<script>1</script>\n"),),
            tree=(node("0", ""), node("0.0", "<iframe>", answer="<p>")),
            votes=(Vote(answer="<i>", count=1, weight=1.0),),
        )
    )
    assert set(Tags(page).seen) <= {"div", "p", "b", "ol", "li", "details", "summary"}
    assert "\x1b" not in page


def test_html_marks_the_chosen_path(solution):
    rows = html(solution()).split("<div ")
    bold = [row for row in rows if "font-weight:bold" in row]
    assert len(bold) == 3
    assert "3+5=8" not in "".join(bold)


def test_html_says_why_a_search_without_an_answer_stopped(solution):
    page = html(solution(answer=None, steps=(), stopped="tokens"))
    assert "no answer" in page
    assert "the budget of tokens ended" in page


def test_html_of_a_huge_tree_is_cut_and_says_so(node, solution):
    nodes = (node("0", ""), *(node(f"0.{i}", f"step {i}") for i in range(MAX_ROWS + 9)))
    assert "and 10 more" in html(solution(tree=nodes))


def test_html_draws_a_tree_deeper_than_the_call_stack(node, solution):
    deep = tuple(node(".".join(["0"] * n), f"step {n}") for n in range(1, 1200))
    assert "tree of 1199 nodes" in html(solution(tree=deep))


def test_html_is_the_same_for_a_solution_read_from_a_file(solution):
    assert solution_html(json.loads(solution().model_dump_json())) == html(solution())


def test_verdicts_stand_beside_steps_and_the_answer(solution, node):
    failed = {"name": "sums", "verdict": "failed", "reason": "3+5=9: 3+5 is <8>"}
    passed = {"name": "sums", "verdict": "passed", "reason": "1 equation holds"}
    unknown = {"name": "sums", "verdict": "not_checkable", "reason": "no equation"}
    page = html(
        solution(
            verified=True,
            verified_by=("sums",),
            steps=(
                SolutionStep(text="3+4=7\n", checks=(passed, unknown)),
                SolutionStep(text="The answer is 7.\n", checks=(unknown,)),
            ),
            tree=(
                node("0", "", popped=0),
                node("0.0", "3+5=9\n", checks=(failed,), closed="sums: 3+5=9"),
            ),
        )
    )
    assert "3+4=7 ✓</li>" in page
    assert "The answer is 7.</li>" in page
    assert "7</b> (verified by sums)" in page
    assert "3+5=9 ✗ 3+5=9: 3+5 is &lt;8&gt;" in page
    assert "line-through" in page


FAILED = {"name": "sums", "verdict": "failed", "reason": "3+4 is <7>"}
PASSED = {"name": "sums", "verdict": "passed", "reason": ""}


def refuted(solution, *steps):
    return solution(
        verified=False,
        verified_by=("sums",),
        steps=tuple(SolutionStep(text=text, action=action, checks=c) for text, action, c in steps),
    )


def test_what_refutes_a_solution_is_a_line_of_its_own(solution):
    value = refuted(
        solution,
        ("2+2=4\n", "propose_step", (PASSED,)),
        ("3+4=8\n", "propose_step", (FAILED,)),
        ("8+1=8\n", "propose_step", (FAILED, PASSED)),
    )
    line = "check sums failed step 2 of 3, '3+4=8': 3+4 is <7> (and 1 more)"
    assert refutation(value.model_dump(mode="json")) == line
    assert f"<b>{escape(line)}</b></p>" in html(value)
    assert str(value).splitlines()[-1] == f"!! {line}"
    assert refutation(solution().model_dump(mode="json")) == ""
    assert "!!" not in str(solution())


def test_what_was_answered_again_refutes_nothing(solution):
    value = refuted(
        solution,
        ("A: 3+4=8\n", "subquestion", (FAILED,)),
        ("A: 3+4=9\n", "re_answer", (FAILED,)),
    )
    assert refutation(value.model_dump()).startswith("check sums failed step 2 of 2")
    assert "more" not in refutation(value.model_dump())


def test_the_line_that_refutes_is_short_and_safe_to_show(solution):
    long = FAILED | {"name": "a\nb", "reason": "\x1b[2J" + "x" * 1000}
    value = refuted(solution, ("3 " * 1000, "propose_step", (long,)))
    line = refutation(value.model_dump())
    assert len(line) < 300
    assert line == plain(line)
    empty = refuted(solution, ("3\n", "propose_step", (FAILED | {"reason": ""},)))
    assert refutation(empty.model_dump()).endswith("'3': no reason given")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"calculations": "hold"}, " (not verified; its calculations hold)"),
        ({"agreed": True}, " (a second model agrees)"),
        (
            {"verified": True, "verified_by": ("mine",), "calculations": "hold", "agreed": False},
            " (verified by mine; a second model disagrees)",
        ),
        ({}, ""),
    ],
)
def test_what_is_known_stands_after_the_answer(solution, known, said):
    assert verdict_of(solution(**known).model_dump()) == said


def test_a_file_without_verdicts_renders_too(solution):
    value = solution().model_dump(mode="json")
    for part in (*value["steps"], *value["tree"]):
        part.pop("checks", None)
        part.pop("closed", None)
    assert "3+4=7" in solution_html(value)
