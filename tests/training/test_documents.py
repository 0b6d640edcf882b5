"""Training documents: every format ends in the right answer, and all actions are taught."""

from __future__ import annotations

import random
import re

from langchain_qstar.problems.equations import false_equation
from langchain_qstar.problems.generator import Problem, make_problem
from langchain_qstar.problems.story import Ref, Story
from langchain_qstar.tasks import NANO
from langchain_qstar.training.documents import (
    ANSWER,
    READ,
    REPHRASE,
    SUBQUESTION,
    make_document,
    read_document,
    write_completion,
)


def test_the_same_seed_gives_the_same_document() -> None:
    assert make_document(3) == make_document(3)
    assert make_document(3) != make_document(4)


def solved(seeds: range) -> list[str]:
    documents = [make_document(seed) for seed in seeds]
    return [each.completion for each in documents if not each.question.endswith(READ)]


def test_every_document_that_solves_ends_in_one_answer_and_holds_no_false_equation() -> None:
    texts = solved(range(280))
    assert len(texts) > 150
    for text in texts:
        assert NANO.is_terminal(text)
        assert text.count("The answer is") == 1
        assert text.endswith(".\n")
        assert false_equation(text.split(f"{REPHRASE} ")[-1]) is None


def test_every_format_of_a_problem_has_its_answer() -> None:
    problem = make_problem("train", 4, 11)
    for seed in range(60):
        assert NANO.answer(write_completion(problem, random.Random(seed))) == str(problem.answer)


def test_all_five_actions_are_taught() -> None:
    texts = solved(range(420))
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
        for text in solved(range(280))
        for line in text.splitlines()
        if line.startswith(f"{SUBQUESTION} Now we can answer:")
    ]
    assert asked


def test_what_a_document_reads_is_what_the_text_says_and_nothing_is_computed() -> None:
    read = [d for d in map(make_document, range(450)) if d.question.endswith(READ)]
    assert len(read) > 60
    words = {"2": "twice half double", "3": "three third", "4": "four quarter", "5": "five"}
    forms = set()
    for document in read:
        text = document.completion.replace(f"?\n{ANSWER} ", ": ")
        forms.add(text == document.completion)
        assert text.count("\n") >= 2
        for line in text.splitlines():
            said = re.fullmatch(r"[^:]+(?:: [^:]+)?: ((?:\d+|\?)(?:[-+*/](?:\d+|\?))*)\.", line)
            assert said, line
            for number in re.findall(r"\d+", said[1]):
                told = [number, *words.get(number, "").split()]
                assert any(re.search(rf"\b{each}\b", document.question) for each in told)
    assert forms == {True, False}


def test_a_reading_tells_numbers_and_what_must_be_computed_first() -> None:
    story = Story(random.Random(0))
    story.kind = "shopping"
    pen = story.given(3, "What does a pen cost?")
    story.tell(pen, "A pen costs 3 dollars.")
    cup = story.derive("+", [Ref(pen), 4], ("{eq}",), ("What does a cup cost?",))
    story.tell(cup, "A cup costs 4 dollars more than a pen.")
    cups = story.derive("*", [2, Ref(cup)], ("{eq}",), ("What do the cups cost?",))
    story.tell(cups, "Tom buys 2 cups.")
    left = story.derive("-", [20, Ref(cups)], ("{eq}",), ("What is left?",))
    story.tell(left, "Tom has 20 dollars.", event=True)
    problem = Problem(
        story, left, tuple(story.facts), "A. What is left?", "What is left?", "train", 0
    )
    documents = [read_document(problem, random.Random(seed)) for seed in range(20)]
    assert {each.question for each in documents} == {f"A. {READ}"}
    assert {
        frozenset(each.completion.replace("?\nA:", ":").splitlines()) for each in documents
    } == {
        frozenset(
            {
                "Q: What does a pen cost: 3.",
                "Q: What does a cup cost: 3+4.",
                "Q: What do the cups cost: 2*?.",
            }
        ),
        frozenset({"pen cost: 3.", "cup cost: 3+4.", "cups cost: 2*?."}),
    }
