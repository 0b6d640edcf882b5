from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.seeds import question_seed, sample_seed, uniform


def test_a_seed_never_changes():
    # written down once: another value would break every recorded run
    assert sample_seed(0, "0", 0) == 759540517790923586
    assert sample_seed(7, "0.1.2", 5) == 4494719235029569833
    assert question_seed(7, "How many?") == 5517496131174670061


@given(st.integers(), st.from_regex(r"0(\.\d{1,2}){0,4}", fullmatch=True), st.integers(0, 99))
def test_a_seed_fits_in_63_bits(run: int, node: str, sample: int):
    assert 0 <= sample_seed(run, node, sample) < 2**63


def test_every_place_has_its_own_seed():
    seeds = [
        sample_seed(run, node, sample)
        for run in range(5)
        for node in ("0", "0.1", "0.11", "0.1.1")
        for sample in range(12)
    ]
    assert len(set(seeds)) == len(seeds)


def test_numbers_for_choices_are_spread_evenly_and_follow_from_the_place():
    drawn = [uniform(3, f"{rollout}/0") for rollout in range(2000)]
    assert drawn[5] == uniform(3, "5/0")
    assert all(0 <= each < 1 for each in drawn)
    assert 0.47 < sum(drawn) / len(drawn) < 0.53
    assert uniform(4, "5/0") != drawn[5]
