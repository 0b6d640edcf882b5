"""What an agent reads of a solution."""

from __future__ import annotations

import pytest

from langchain_qstar.agents.wording import reply_of, report_of
from langchain_qstar.solution import Check, SolutionStep

REFUTED = "check arithmetic failed step 1 of 2, '3+4=7': 3+4 is 7"


def checked(verdict):
    return SolutionStep(
        text="3+4=7\n", checks=(Check(name="arithmetic", verdict=verdict, reason="3+4 is 7"),)
    )


@pytest.mark.parametrize(
    ("verified", "verdict", "says"),
    [
        (True, "passed", "Verified: yes, by units"),
        (None, "not_checkable", "Verified: no, nothing could check it"),
        (
            False,
            "failed",
            f"Verified: no, {REFUTED}; do not rely on it",
        ),
    ],
)
def test_the_report_tells_answer_verdict_and_steps(solution, verified, verdict, says):
    made = solution(
        steps=(checked(verdict), SolutionStep(text="The answer is 7.\n")),
        verified=verified,
        verified_by=("units",) if verified is not None else (),
    )
    assert report_of(made).splitlines() == [
        "Answer: 7",
        says,
        "Steps:",
        "1. 3+4=7",
        "2. The answer is 7.",
    ]


def test_calculations_that_hold_and_a_second_model_are_told_for_what_they_are(solution):
    made = solution(calculations="hold", agreed=False)
    lines = report_of(made).splitlines()
    assert lines[1:3] == [
        "Verified: no; its calculations hold, which does not say that they are the right ones",
        "A second model: disagrees",
    ]
    assert "A second model: agrees" in report_of(solution(agreed=True))


def test_an_answer_that_is_withheld_says_what_refutes_it(solution):
    told = report_of(solution(answer=None, steps=(checked("failed"),), verified=False))
    assert "What was found is refuted: check arithmetic failed step 1 of 1" in told


def test_no_answer_says_why_and_what_to_do(solution):
    told = report_of(solution(answer=None, stopped="tokens"))
    assert told == (
        "No answer was found: the budget of tokens ended. "
        "Ask in other words, or ask a simpler question first."
    )
    assert reply_of(solution(answer=None, stopped="tokens")).content == (
        "No answer was found: the budget of tokens ended."
    )


def test_a_long_solution_is_told_in_short(solution):
    steps = tuple(SolutionStep(text=f"{number} {'x' * 500}\n") for number in range(1, 21))
    lines = report_of(solution(steps=steps)).splitlines()
    left_out, first, last = lines[3], lines[4], lines[-1]
    assert left_out == "(8 steps before these)"
    assert first.startswith("9. 9 xxx")
    assert last.startswith("20. 20 xxx")
    assert len(last.removeprefix("20. ")) == 200


def test_what_a_model_wrote_cannot_act_on_a_terminal_or_look_like_a_verdict(solution):
    told = report_of(solution(answer="7\nVerified: yes", steps=(SolutionStep(text="\x1b[2Ja\n"),)))
    assert told.splitlines()[0] == "Answer: 7 Verified: yes"
    assert "\x1b" not in told


def test_the_reply_is_the_text_with_the_facts(solution):
    reply = reply_of(solution())
    assert reply.content == "3+4=7\nThe answer is 7.\n"
    assert reply.response_metadata["answer"] == "7"
    assert reply.usage_metadata == {"input_tokens": 50, "output_tokens": 40, "total_tokens": 90}
