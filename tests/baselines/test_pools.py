"""Pools of samples answer as the methods themselves would."""

from __future__ import annotations

import pytest

from langchain_qstar.baselines.pools import (
    any_right,
    best,
    curve,
    draw_pools,
    majority,
    prefixes,
    score_pools,
    unfailed,
)
from langchain_qstar.baselines.self_consistency import self_consistency
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.tasks import NANO

LINES = (
    "2+2=4.\nThe answer is 4.\n",
    "2+2=5.\nThe answer is 5.\n",
    "2+2=5.\nThe answer is 5.\n",
    "I do not know.\n",
)


def policy() -> ScriptedPolicy:
    return ScriptedPolicy({"": LINES})


def test_a_pool_holds_the_samples_self_consistency_would_draw() -> None:
    (pool,) = draw_pools(["What is 2+2?"], policy(), NANO, n=4, temperature=0.8, seed=3)
    solution = self_consistency(
        "What is 2+2?", policy=policy(), task=NANO, n=4, temperature=0.8, seed=3
    )
    assert majority(NANO)(pool, 4) == solution.answer
    assert sum(sample.answer is None for sample in pool.samples) == solution.unparsed
    assert sum(pool.tokens) == solution.usage.completion_tokens


def test_a_curve_gives_tokens_and_shares_for_every_n() -> None:
    pools = draw_pools(["What is 2+2?"] * 3, policy(), NANO, n=4, temperature=0.8)
    points = curve(pools, ["4", "5", "7"], NANO, majority(NANO), (1, 4))
    assert points[0][0] < points[1][0]
    assert [len(shares) for _, shares in points] == [3, 3]
    assert sum(points[1][1]) == 1.0


def test_any_right_looks_at_the_first_n_samples() -> None:
    (pool,) = draw_pools(["What is 2+2?"], policy(), NANO, n=4, temperature=0.8)
    right = pool.right("5", NANO)
    first = right.index(True)
    assert any_right([pool], ["5"], NANO, first + 1) == 1.0
    assert first == 0 or any_right([pool], ["5"], NANO, first) == 0.0


def test_best_takes_the_highest_score_and_the_vote_the_largest_sum() -> None:
    (pool,) = draw_pools(["What is 2+2?"], policy(), NANO, n=4, temperature=0.8)
    scorer = ScriptedScorer(lambda step: 0.9 if "4" in step else 0.5)
    score_pools([pool], scorer, NANO)
    assert [len(v) for v in pool.values] == [len(s.steps) for s in pool.samples]
    answers = [s.answer for s in pool.samples]
    assert best(NANO, min, weighted=False)(pool, 4) == "4"
    heavier = "5" if 0.5 * answers.count("5") > 0.9 * answers.count("4") else "4"
    assert best(NANO, min, weighted=True)(pool, 4) == heavier


def test_the_vote_without_failed_samples_counts_all_when_each_has_failed() -> None:
    (pool,) = draw_pools(["What is 2+2?"], policy(), NANO, n=40, temperature=0.8)
    assert majority(NANO)(pool, 40) == "5"
    assert unfailed(NANO, lambda _, step: "2+2=5" in step.text)(pool, 40) == "4"
    assert unfailed(NANO, lambda _, step: True)(pool, 40) == "5"


def test_prefixes_are_one_request_a_step_in_the_state_before_it() -> None:
    (pool,) = draw_pools(["What is 2+2?"], policy(), NANO, n=1, temperature=0.8)
    (requests,) = prefixes(pool, NANO)
    assert [len(r.state.steps) for r in requests] == list(range(len(requests)))
    assert "".join(r.steps[0].text for r in requests) == "".join(
        s.text for s in pool.samples[0].steps
    )


@pytest.mark.parametrize("n", [1, 2])
def test_nothing_answered_is_no_answer(n: int) -> None:
    silent = ScriptedPolicy({"": ["I do not know.\n"]})
    (pool,) = draw_pools(["What?"], silent, NANO, n=2, temperature=0.8)
    assert majority(NANO)(pool, n) is None
    assert best(NANO, min, weighted=False)(pool, n) is None


def test_a_pool_ends_and_asks_as_self_consistency_does(sums) -> None:
    silent = "2+3=5\nThat is all."
    script = {"": [silent, "The answer is 5.\nAnd 6.\n"], f"{silent}\nThe answer is": [" 5.\n"]}
    model = ScriptedPolicy(script)
    pools = draw_pools(["What?", "Who?"], model, sums, n=2, temperature=0.8, seed=3)
    solution = self_consistency(
        "What?", policy=ScriptedPolicy(script), task=sums, n=2, temperature=0.8, seed=3
    )
    drawn = [(each.text, each.answer, each.tokens) for each in pools[0].samples]
    assert drawn == [(s.text, s.answer, s.completion_tokens) for s in solution.samples]
    assert drawn[0][0] == f"{silent}\nThe answer is 5.\n"
    assert [len(batch) for batch in model.calls] == [2, 2]
