"""Training documents: every format ends in the right answer, and all actions are taught."""

from __future__ import annotations

import random

from langchain_qstar.problems.equations import false_equation
from langchain_qstar.problems.generator import make_problem
from langchain_qstar.tasks import NANO
from langchain_qstar.training.documents import (
    ANSWER,
    REPHRASE,
    SUBQUESTION,
    make_document,
    write_completion,
)


def test_the_same_seed_gives_the_same_document() -> None:
    assert make_document(3) == make_document(3)
    assert make_document(3) != make_document(4)


def test_every_document_ends_in_one_answer_and_holds_no_false_equation() -> None:
    for seed in range(200):
        text = make_document(seed).completion
        assert NANO.is_terminal(text)
        assert text.count("The answer is") == 1
        assert text.endswith(".\n")
        assert false_equation(text.split(f"{REPHRASE} ")[-1]) is None


def test_every_format_of_a_problem_has_its_answer() -> None:
    problem = make_problem("train", 4, 11)
    for seed in range(60):
        assert NANO.answer(write_completion(problem, random.Random(seed))) == str(problem.answer)


def test_all_five_actions_are_taught() -> None:
    texts = [make_document(seed).completion for seed in range(300)]
    plain = [t for t in texts if not t.startswith((SUBQUESTION, REPHRASE))]
    assert len(plain) > 150
    assert sum(t.startswith(f"{REPHRASE} 1) ") for t in texts) > 10
    mixed = [t for t in texts if f"\n{SUBQUESTION} " in t and not t.startswith(SUBQUESTION)]
    assert mixed
    for text in texts:
        assert text.count(f"{SUBQUESTION} ") == text.count(f"\n{ANSWER} ")


def test_the_last_sub_question_says_so() -> None:
    asked = [
        line
        for seed in range(200)
        for line in make_document(seed).completion.splitlines()
        if line.startswith(f"{SUBQUESTION} Now we can answer:")
    ]
    assert asked
