"""The generator: exact answers, valid solutions, disjoint splits, the same draw every time."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_qstar.problems.equations import false_equation
from langchain_qstar.problems.generator import (
    SPLITS,
    Problem,
    Split,
    make_problem,
    make_problems,
    split_of,
)
from langchain_qstar.problems.lexicon import NOVEL_WORDS
from langchain_qstar.problems.story import Ref
from langchain_qstar.tasks import NANO


@settings(max_examples=40, deadline=None)
@given(
    split=st.sampled_from(("train", "train", "train", "test")),
    steps=st.integers(1, 10),
    seed=st.integers(0, 10**9),
    draw=st.integers(0, 99),
)
def test_every_gold_solution_is_true_and_ends_in_the_answer(
    split: Split, steps: int, seed: int, draw: int
) -> None:
    problem = make_problem(split, steps, seed)
    solution = problem.solution(random.Random(draw))
    lines = solution.splitlines()
    assert len(lines) == steps + 1
    assert false_equation(solution) is None
    assert NANO.is_terminal(solution)
    assert NANO.answer(solution) == str(problem.answer)
    assert not NANO.is_terminal("\n".join(lines[:-1]))


@settings(max_examples=40, deadline=None)
@given(steps=st.integers(2, 10), seed=st.integers(0, 10**6), draw=st.integers(0, 99))
def test_a_solution_uses_a_quantity_only_after_it_is_computed(
    steps: int, seed: int, draw: int
) -> None:
    problem = make_problem("train", steps, seed)
    done: set[int] = set()
    for index in problem.order(random.Random(draw)):
        quantity = problem.story.quantities[index]
        needs = {
            x.index
            for x in quantity.operands
            if isinstance(x, Ref) and problem.story.quantities[x.index].op
        }
        assert needs <= done
        done.add(index)
    assert problem.target in done


def test_the_same_seed_draws_the_same_problem() -> None:
    assert make_problem("test", 5, 7).question == make_problem("test", 5, 7).question
    assert make_problem("test", 5, 7).question != make_problem("test", 5, 8).question


def test_no_graph_belongs_to_two_splits() -> None:
    graphs: dict[Split, set[str]] = {
        split: {p.signature for p in make_problems(split, 40, seed=3)} for split in SPLITS
    }
    for split, signatures in graphs.items():
        assert all(split_of(signature) == split for signature in signatures)
        for other in SPLITS:
            assert other == split or not signatures & graphs[other]


def test_no_test_question_is_a_training_question() -> None:
    train = {p.question for p in make_problems("train", 1500, seed=1)}
    assert not train & {p.question for p in make_problems("test", 60)}


def test_novel_words_appear_in_the_novel_split_only() -> None:
    def words(problem: Problem) -> set[str]:
        return set(re.findall("[a-z]+", problem.question.lower()))

    seen = [*make_problems("train", 600, seed=5), *make_problems("test", 50, seed=5)]
    assert not [p.question for p in seen if words(p) & NOVEL_WORDS]
    assert all(words(p) & NOVEL_WORDS for p in make_problems("novel", 20, seed=5))


def test_difficulty_is_the_number_of_steps() -> None:
    assert Counter(p.steps for p in make_problems("dev", 18)) == dict.fromkeys(range(2, 11), 2)


def test_one_problem_has_many_valid_solutions() -> None:
    problem = make_problem("test", 6, 4)
    assert len({problem.solution(random.Random(seed)) for seed in range(30)}) > 10


def test_a_rephrasing_lists_every_fact_and_asks_the_question() -> None:
    problem = make_problem("train", 4, 2)
    text = problem.rephrased(random.Random(0))
    assert "\n" not in text
    assert all(f"{n}) " in text for n in range(1, len(problem.facts) + 1))
    assert text.endswith(f"Question: {problem.ask}")


def test_distractors_are_facts_the_answer_does_not_need() -> None:
    spare = 0
    for problem in make_problems("train", 200):
        needed = problem.story.ancestors(problem.target)
        spare += any(not needed & set(fact.defines) for fact in problem.facts)
    assert spare > 10


@pytest.mark.parametrize(("split", "steps"), [("test", 0), ("test", 11), ("exam", 3)])
def test_an_unknown_split_or_difficulty_is_refused(split: Split, steps: int) -> None:
    with pytest.raises(ValueError, match="split must be one of"):
        make_problem(split, steps, 0)


FROZEN_TEST_SPLIT = "459aff17078644a9f987632359b712b0e2a8042fdf785160146ae7d01357f440"


def test_the_test_split_is_frozen() -> None:
    """Recorded figures are about these very problems; a new generator is a new version."""
    digest = hashlib.sha256()
    for problem in make_problems("test", 500):
        digest.update(f"{problem.question}\t{problem.answer}\n".encode())
    assert digest.hexdigest() == FROZEN_TEST_SPLIT
