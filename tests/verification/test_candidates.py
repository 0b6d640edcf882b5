from __future__ import annotations

from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.verification.candidates import (
    Candidate,
    answers_of,
    is_candidate,
    merged,
)


def test_statement_54_what_has_no_answer_or_an_overlong_one_is_no_candidate():
    assert not is_candidate(None)
    assert is_candidate("7" * 100)
    assert not is_candidate("7" * 101)


def test_statement_59_identical_texts_merge_with_multiplicity(candidate):
    same = {"segments": ("So 3+4=7.\n", "The answer is 7.\n")}
    found = [
        candidate(weight=1 + 2, reward=1.2, confidence=0.6, **same),  # two rollouts ended here
        candidate(weight=1, answer="8"),
        candidate(weight=1 + 1, reward=0.9, confidence=0.9, **same),
    ]
    one, other = merged(found)
    assert (one.weight, other.weight) == (5, 1)
    assert one.ids == found[0].ids + found[2].ids
    assert one.id == found[0].id
    assert one.reward == pytest.approx(2.1)
    assert one.confidence == 0.9


def test_texts_that_are_split_otherwise_are_the_same_text(candidate):
    assert len(merged([candidate(segments=("a ", "b")), candidate(segments=("a b",))])) == 1


def test_a_merged_candidate_keeps_the_completions_of_whichever_was_verified(candidate):
    same = {"segments": ("text",)}
    (one,) = merged([candidate(**same), candidate(agreeing=1, of=2, belief=0.5, **same)])
    assert (one.completed, one.belief) == (("7", None), 0.5)


def test_answers_stand_in_the_order_in_which_they_were_found(candidate):
    found = [candidate("8"), candidate("7", weight=3), candidate("8", weight=2)]
    eight, seven = answers_of(found, "mid", eq)
    assert [(each.text, each.weight) for each in (eight, seven)] == [("8", 3), ("7", 3)]


def test_an_answer_counts_what_of_it_survived_and_agrees(candidate):
    found = [candidate(weight=6, agreeing=1), candidate(weight=4, agreeing=3), candidate()]
    (seven,) = answers_of(found, "mid", eq)
    assert (seven.weight, seven.surviving) == (11, 4)
    assert (seven.agreeing, seven.completions) == (4, 8)


FOUND = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["7", "8"]), st.integers(1, 9)), max_size=12
)


def made(found):
    return [Candidate((f"0.{n}",), (t,), a, w) for n, (t, a, w) in enumerate(found)]


@given(FOUND)
def test_no_weight_is_lost_or_made(found):
    total = sum(weight for *_, weight in found)
    kept = merged(made(found))
    assert sum(each.weight for each in kept) == total
    assert sum(each.weight for each in answers_of(kept, "mid", eq)) == total
    assert len(kept) == len({text for text, *_ in found})


@given(FOUND.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))))
def test_the_order_in_which_candidates_are_found_changes_no_weight(orders):
    def weights(found):
        own = [(text, "7", weight) for text, _, weight in found]
        return {each.segments: each.weight for each in merged(made(own))}

    one, other = orders
    assert weights(one) == weights(other)
