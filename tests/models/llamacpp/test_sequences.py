from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.models.llamacpp.sequences import Sequences


def stored(sequences, *bounds):
    """A branch that becomes one stretch for each of the bounds, and is given back if it can be."""
    own = sequences.take()
    placed = [sequences.place(start, end, own) for start, end in bounds]
    if not any(is_own for _, is_own in placed):
        sequences.give(own)
    return [stretch for stretch, _ in placed]


def test_stretches_that_share_no_position_share_a_number():
    sequences = Sequences(4)
    (few_shot,) = stored(sequences, (0, 500))
    (question,) = stored(sequences, (500, 580))
    (step,) = stored(sequences, (600, 620))
    assert few_shot.number == question.number == step.number
    assert sequences.free == 3


def test_stretches_that_share_one_get_numbers_of_their_own():
    sequences = Sequences(4)
    (first,) = stored(sequences, (500, 580))
    (beside,) = stored(sequences, (579, 600))
    (inside,) = stored(sequences, (520, 521))
    (around,) = stored(sequences, (499, 581))
    assert len({each.number for each in (first, beside, inside, around)}) == 3
    assert inside.number == beside.number
    assert sequences.free == 1


def test_stretches_leave_the_numbers_that_can_be_read_into_to_branches():
    sequences = Sequences(4, read=2)
    (first,) = stored(sequences, (0, 10))
    (second,) = stored(sequences, (0, 10))
    assert {first.number, second.number} == {2, 3}
    assert sequences.free == 2
    (third,) = stored(sequences, (0, 10))  # no other is left
    assert third.number < 2
    assert sequences.free == 1
    del first, third
    sequences.collect()
    assert sequences.free == 2
    (fourth,) = stored(sequences, (5, 9))
    assert fourth.number >= 2


def test_a_number_is_free_again_when_the_last_of_its_stretches_is_gone():
    sequences = Sequences(2)
    first, second = stored(sequences, (0, 10), (10, 20))
    number = first.number
    del first
    assert sequences.collect() == [(number, 0, 10)]
    assert sequences.free == 1
    del second
    assert sequences.collect() == [(number, 10, 20)]
    assert sequences.free == 2


def test_the_parts_of_a_stretch_go_one_by_one():
    sequences = Sequences(2)
    (whole,) = stored(sequences, (10, 30))
    number = whole.number
    first, rest = sequences.part(whole, 5)
    del whole
    assert sequences.collect() == []
    assert [(part.start, part.end) for part in (first, rest)] == [(10, 15), (15, 30)]
    del first
    assert sequences.collect() == [(number, 10, 15)]
    assert stored(sequences, (12, 15))[0].number == number


def test_when_all_numbers_are_taken_there_is_no_memory():
    sequences = Sequences(1)
    sequences.take()
    with pytest.raises(MemoryError, match="sequences"):
        sequences.take()


@given(
    bounds=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=40),
    gone=st.sets(st.integers(0, 39)),
)
def test_no_two_stretches_of_a_number_ever_share_a_position(bounds, gone):
    sequences = Sequences(64)
    held = []
    for number, (start, length) in enumerate(bounds):
        held += stored(sequences, (start, start + length))
        if number in gone:
            held.pop(len(held) // 2)
            sequences.collect()
        positions = [(each.number, place) for each in held for place in range(each.start, each.end)]
        assert len(positions) == len(set(positions))
    assert sequences.free == 64 - len({each.number for each in held})
