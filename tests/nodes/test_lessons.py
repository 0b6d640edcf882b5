"""What a search learnt: where the line lies between what is worth remembering and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar.nodes.lessons import path_lessons, refusals, voted_lessons
from langchain_qstar.nodes.remembering import Subquestion
from langchain_qstar.solution import Solution, SolutionStep, Vote
from langchain_qstar.tasks import NANO

ROOT: Any = {"id": "0", "parent": None, "action": "root", "text": "", "run": {"question": "?"}}
PENS = " How many pens are there?\n"
TWELVE = " There are 3*4=12 pens.\n"


def solution(**given: Any) -> Solution:
    return Solution(**{"question": "?", "answer": "12", "method": "rstar", **given})


def voted(tally: dict[str, int], **more: Any) -> dict[str, Any]:
    """A tree of rStar with one sub-question, and how its answers were voted on."""
    votes = sum(tally.values())
    record: dict[str, Any] = {
        "id": "0.0",
        "parent": "0",
        "action": "subquestion",
        "text": TWELVE,
        "terminal": False,
        "subquestion": {"text": PENS},
        "tally": tally,
        "votes": votes,
        "confidence": max(tally.values(), default=0) / max(1, votes),
        **more,
    }
    return {"0": ROOT, "0.0": record}


def inline(number: int, text: str = PENS + TWELVE, parent: str = "0", **more: Any) -> Any:
    """A sub-question of Q*, which holds its answer."""
    return {
        "id": f"{parent}.{number}",
        "parent": parent,
        "action": "subquestion",
        "text": text,
        "terminal": False,
        **more,
    }


@pytest.mark.parametrize(
    ("tally", "evidence"),
    [
        ({"12": 2}, ["2 of 2 votes"]),
        ({"12": 2, "7": 1}, ["2 of 3 votes"]),
        ({"12": 1}, []),
        ({"12": 1, "7": 1}, []),
        ({"12": 1, "7": 1, "8": 1}, []),
        ({}, []),
    ],
)
def test_a_majority_of_at_least_two_votes_is_worth_remembering(
    tally: dict[str, int], evidence: list[str]
):
    lessons = voted_lessons(voted(tally), {}, solution())
    assert [each.evidence for each in lessons] == evidence
    assert all((each.answer, each.text) == ("12", TWELVE) for each in lessons)


@pytest.mark.parametrize("chosen", ["0.0", "0.1"])
def test_without_a_majority_it_must_lie_on_the_path_of_a_verified_solution(chosen: str):
    step = SolutionStep(id=chosen, text=TWELVE, action="subquestion")
    found = solution(verified=True, verified_by=("units",), steps=(step,))
    lessons = voted_lessons(voted({"12": 1, "7": 1}), {}, found)
    assert [each.evidence for each in lessons] == ["verified by units"] * (chosen == "0.0")


@pytest.mark.parametrize(
    ("known", "evidence"),
    [
        ({"verified": True, "verified_by": ("units",), "agreed": True}, ["verified by units"]),
        ({"agreed": True, "calculations": "hold"}, ["a second model agrees"]),
        ({"calculations": "hold"}, ["calculations hold"]),
        ({"agreed": False, "calculations": "hold"}, []),
        ({"verified": False, "agreed": True}, []),
        ({}, []),
    ],
)
def test_a_supported_solution_says_what_supports_it_and_a_doubted_one_teaches_nothing(
    known: Any, evidence: list[str]
):
    step = SolutionStep(id="0.0", text=TWELVE, action="subquestion")
    tied, found = voted({"12": 1, "7": 1}), solution(steps=(step,), **known)
    assert [each.evidence for each in voted_lessons(tied, {}, found)] == evidence
    lessons = path_lessons({"0": ROOT, "0.0": inline(0)}, {}, "0.0", found, NANO)
    assert [each.evidence for each in lessons] == evidence


@pytest.mark.parametrize(
    "learnt",
    [
        {"closed": "too deep"},
        {"checks": [{"verdict": "failed"}]},
    ],
)
def test_what_is_closed_or_fails_a_check_is_not_unless_a_person_approved_it(learnt: Any):
    nodes = voted({"12": 3})
    assert not voted_lessons(nodes, {"0.0": learnt}, solution())
    assert voted_lessons(nodes, {"0.0": learnt | {"decision": "approved"}}, solution())


@pytest.mark.parametrize(
    ("votes", "evidence"),
    [
        ([("7", 1), ("12", 2)], "2 of 3 trajectories"),
        ([("12", 2)], "2 of 2 trajectories"),
        ([("12", 1)], None),
        ([("7", 2), ("12", 2)], None),
        ([("7", 3), ("12", 2)], None),
    ],
)
def test_of_q_star_the_votes_for_the_answer_that_was_given_count(votes: Any, evidence: str | None):
    nodes = {"0": ROOT, "0.0": inline(0), "0.1": inline(1)}
    counted = tuple(Vote(answer=answer, count=count, weight=0.5) for answer, count in votes)
    lessons = path_lessons(nodes, {}, "0.0", solution(votes=counted), NANO)
    assert [each.evidence for each in lessons] == ([evidence] if evidence else [])
    assert all((each.asked.text, each.answer) == (PENS, "12") for each in lessons)


def test_of_q_star_what_is_verified_needs_no_votes_and_what_was_remembered_is_not_learnt_again():
    found = solution(verified=True, verified_by=("units",))
    (lesson,) = path_lessons({"0": ROOT, "0.0": inline(0)}, {}, "0.0", found, NANO)
    assert (lesson.evidence, lesson.confidence) == ("verified by units", 1.0)
    told = {"0": ROOT, "0.0": inline(0, remembered={"key": "k", "text": TWELVE})}
    assert not path_lessons(told, {}, "0.0", found, NANO)
    thought = {"0": ROOT, "0.0": inline(0, action="propose_step")}
    assert not path_lessons(thought, {}, "0.0", found, NANO)


def test_of_q_star_what_a_check_failed_is_not_saved_by_votes():
    nodes = {"0": ROOT, "0.0": inline(0)}
    votes = (Vote(answer="12", count=5, weight=1.0),)
    assert path_lessons(nodes, {}, "0.0", solution(votes=votes), NANO)
    for doubt in ({"verified": False}, {"agreed": False}):
        assert not path_lessons(nodes, {}, "0.0", solution(votes=votes, **doubt), NANO)


def test_a_refusal_names_the_answer_under_what_it_would_be_stored():
    own, remembered = voted({"12": 3}), {"key": "a key", "text": " It was 9.\n"}
    asked = Subquestion(PENS, last=False)
    forbidden: Any = {"0.0": {"decision": "forbidden"}}
    assert refusals(own, forbidden, NANO) == {(asked.key, TWELVE)}
    assert refusals({"0": ROOT, "0.0": inline(0)}, forbidden, NANO) == {(asked.key, TWELVE)}
    told = {"0": ROOT, "0.0": inline(0, remembered=remembered)}
    assert refusals(told, forbidden, NANO) == {("a key", " It was 9.\n")}
    assert refusals(told, {"0.0": {"decision": "approved"}}, NANO) == set()


def test_what_lies_below_a_refused_step_is_not_refused_itself():
    nodes = {
        "0": ROOT,
        "0.0": inline(0),
        "0.0.0": inline(0, " How many boxes?\n It is 3.\n", "0.0"),
    }
    stats: Any = {"0.0": {"decision": "replaced"}, "0.0.0": {"decision": "forbidden"}}
    assert {text for _, text in refusals(nodes, stats, NANO)} == {TWELVE}
    assert len(refusals(nodes, {"0.0.0": {"decision": "forbidden"}}, NANO)) == 1
