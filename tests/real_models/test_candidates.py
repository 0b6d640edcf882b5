"""The values that `benchmarks/scorers.py` compares, on samples whose order is known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_qstar.protocols import Step

QUESTION = "Tom has 12 boxes of 4 pens and gives 8 pens away. How many pens are left?"
FIRST, SECOND = "48-8=40\n", "The answer is 40.\n"
SAMPLES: list[dict[str, Any]] = [
    {
        "answer": "40",
        "right": True,
        "steps": [("12*4=48\n", (-0.1, -0.1)), (FIRST, (-0.1,)), (SECOND, (-0.1,))],
    },
    {
        "answer": "40",
        "right": True,
        "steps": [("4*12=48\n", (-0.3,)), (FIRST, (-0.1,)), (SECOND, (-0.1,))],
    },
    {
        "answer": "16",
        "right": False,
        "steps": [
            ("Tom has 12 boxes.\n", (-0.01,)),
            ("12+4=16\n", (-2.0,)),
            ("#### 16\n", (-0.1,)),
        ],
    },
]


@pytest.fixture
def candidates():
    from real_models import candidates

    return candidates


@pytest.fixture
def asked(candidates):
    samples = [
        candidates.Tried(
            tuple(Step(text, logprobs=logprobs) for text, logprobs in each["steps"]),
            each["answer"],
            right=each["right"],
            bare=tuple((-1.0,) * len(logprobs) for _, logprobs in each["steps"]),
        )
        for each in SAMPLES
    ]
    return candidates.Asked(QUESTION, tuple(samples))


@pytest.fixture
def rows(tmp_path):
    """The samples as they are drawn."""
    path = tmp_path / "rows.jsonl"
    drawn = [
        {
            "id": "q",
            "number": number,
            "sample": {
                "text": "".join(text for text, _ in each["steps"]),
                "finish": "stop",
                "steps": [[len(text), [], logprobs] for text, logprobs in each["steps"]],
            },
        }
        for number, each in enumerate(SAMPLES)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in drawn))
    return path


def test_every_candidate_gives_each_step_of_each_sample_a_value_from_0_to_1(candidates, asked):
    for candidate in candidates.CANDIDATES.values():
        values = candidate(asked)
        assert [len(each) for each in values] == [3, 3, 3]
        assert all(0 <= value <= 1 for each in values for value in each)


@pytest.mark.parametrize(
    "name", ["path", "step_mean", "weakest_step", "surprises", "agreement", "common", "question"]
)
def test_at_the_end_these_prefer_the_common_solution_to_the_one_that_copied(
    candidates, asked, name
):
    right, _, wrong = candidates.CANDIDATES[name](asked)
    assert right[-1] > wrong[-1]


def test_the_last_step_alone_prefers_copying_and_agreement_does_not(candidates, asked):
    right, _, wrong = candidates.CANDIDATES["last_step"](asked)
    assert wrong[0] > right[0]
    right, _, wrong = candidates.CANDIDATES["agreement"](asked)
    assert wrong[0] < right[0]


def test_figures_are_of_train_questions_drawn_a_step_at_a_time(monkeypatch, rows):
    import scorers
    from real_models.candidates import CANDIDATES
    from real_models.files import AbsentError
    from real_models.valuing import figures

    known = {"gsm8k_train": [{"id": "q", "question": QUESTION, "answer": "40"}]}
    monkeypatch.setattr(scorers, "records", known.__getitem__)
    asked = scorers.from_rows(rows, "gsm8k", None)
    told = figures(asked, {name: CANDIDATES[name] for name in ("path", "last_step")})
    assert (told["questions"], told["mixed"], told["vote"]) == (1, 1, 1.0)
    assert (told["auc_100_path"], told["best_path"]) == (1.0, 1.0)
    assert told["idle_wins_last_step"] == 1.0  # copying is surest
    monkeypatch.setattr(scorers, "records", {"gsm8k_train": []}.__getitem__)
    with pytest.raises(AbsentError, match="no question of the train split"):
        scorers.from_rows(rows, "gsm8k", None)


def test_a_bank_of_test_questions_is_refused():
    import pool
    import scorers
    from real_models.files import AbsentError

    nobody: Any = None
    with pytest.raises(AbsentError, match="choose on train"):
        scorers.from_bank(next(pool.BANKS.glob("*.test.jsonl.xz")), nobody, None)
