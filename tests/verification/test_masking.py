from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.verification.masking import (
    prefixes,
    random_step_prefix,
    shown,
    step_prefix,
    word_prefix,
)

OFFICIAL = (0.2, 0.3, 0.4, 0.5)
TWENTY = " ".join(f"w{number}" for number in range(20))
STEPS = tuple(f"Step {number}.\n" for number in range(1, 6))


def masked(segments=STEPS, unit="words", masks=OFFICIAL, random_mask=None, seed=0):
    return prefixes(segments, unit=unit, masks=masks, random_mask=random_mask, seed=seed)


def test_statement_51_twenty_words_are_masked_to_4_6_8_and_10():
    counts = [len(each.split()) for each in masked((TWENTY,))]
    assert counts == [4, 6, 8, 10]


def test_statement_51_the_paper_keeps_a_whole_number_of_steps_by_the_seed():
    kept = {random_step_prefix(STEPS, 0.2, 0.8, seed).count("\n") for seed in range(50)}
    assert kept == {1, 2, 3, 4}
    assert masked(random_mask=(0.2, 0.8), seed=7) == masked(random_mask=(0.2, 0.8), seed=7)
    assert len(masked(random_mask=(0.2, 0.8))) == 1


def test_a_share_of_the_words_is_rounded_up():
    assert [shown(7, share) for share in OFFICIAL] == [2, 3, 3, 4]


def test_rounding_forgives_floats():
    assert shown(20, 0.55) == 11  # 0.55 * 20 is a little more than 11


def test_a_prefix_ends_where_its_last_word_ends_and_is_as_written():
    assert word_prefix("Tom has\n  4 bags. So 8.", 0.5) == "Tom has\n  4"


def test_a_prefix_of_steps_keeps_their_line_ends():
    assert step_prefix(STEPS, 0.4) == "Step 1.\nStep 2.\n"
    assert masked(unit="steps") == tuple("".join(STEPS[:kept]) for kept in (1, 2, 2, 3))


@pytest.mark.parametrize("segments", [("one",), ("One step.\n",)])
@pytest.mark.parametrize("unit", ["words", "steps"])
def test_the_last_piece_is_never_shown(segments, unit):
    assert all(each != "".join(segments) for each in masked(segments, unit, masks=(0.99,)))


def test_a_solution_of_one_step_is_masked_whole_at_random():
    assert random_step_prefix(("All at once.\n",), 0.2, 0.8, 0) == ""


@given(st.lists(st.text(max_size=12), max_size=8), st.floats(0.01, 0.99), st.integers(0, 99))
def test_every_mask_shows_a_beginning(segments, share, seed):
    text = "".join(segments)
    assert text.startswith(word_prefix(text, share))
    assert text.startswith(step_prefix(segments, share))
    assert text.startswith(random_step_prefix(segments, 0.2, 0.8, seed))


@given(st.integers(1, 300), st.floats(0.01, 0.98), st.floats(0.0, 0.01))
def test_a_larger_share_never_shows_less(count, share, more):
    assert shown(count, share) <= shown(count, share + more) < count
