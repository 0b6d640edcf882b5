"""A trained head is judged on kept hidden states of test questions, beside log-probabilities."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from langchain_qstar.evaluation.banks import Kept
from langchain_qstar.protocols import Step
from langchain_qstar.solution import Sample
from langchain_qstar.tasks import GSM8K

QUESTION = {"id": "q0", "question": "What is 1 + 1?", "answer": "2"}


def row(number: int, answer: str, logprob: float, *seen: float):
    """Two steps of two tokens, and the one number that the head reads after each."""
    texts = ("1 + 1 = 2\n", f"The answer is {answer}.\n")
    sample = Sample(text="".join(texts), finish="eos", completion_tokens=4)
    steps = tuple(Step(text, token_ids=(1, 2), logprobs=(logprob, logprob)) for text in texts)
    hidden = base64.b85encode(np.array(seen, np.float16).tobytes()).decode()
    told = Kept(sample, steps=steps).stored()
    return {"id": "q0", "number": number, "version": "abc", "sample": told, "hidden": hidden}


class Reads:
    """A head whose probability is what it reads."""

    width = 1

    def __init__(self, _folder) -> None: ...

    def inputs(self, hidden, pairs):
        assert len(hidden) == len(pairs)
        assert [len(state.steps) for state, _ in pairs] == [0, 1]
        return hidden

    def probabilities(self, inputs):
        return inputs[:, 0].tolist()


@pytest.fixture
def figures(monkeypatch, tmp_path):
    from real_models import judged_heads

    monkeypatch.setattr(judged_heads, "Head", Reads)
    rows = [
        row(1, "3", -0.1, 0.25, 0.125),
        row(0, "2", -0.5, 0.5, 0.75),
        row(2, "3", -0.1, 0.25, 0.125),
    ]
    other = {**row(0, "2", -0.1, 0.5, 0.5), "id": "elsewhere"}
    bank = judged_heads.drawn_bank([*rows, other], [QUESTION], GSM8K)
    head = judged_heads.head_values(tmp_path, rows, [QUESTION])
    return judged_heads.judged(bank, head, GSM8K, 99)


def test_a_head_that_knows_ranks_right_before_wrong_where_confidence_does_not(figures):
    assert (figures["questions"], figures["mixed"], figures["samples"]) == (1, 1, 3)
    assert [figures[f"auc_{place}_head"] for place in (50, 75, 100)] == [1.0, 1.0, 1.0]
    assert [figures[f"auc_{place}_path"] for place in (50, 75, 100)] == [0.0, 0.0, 0.0]
    assert figures["auc_50_head_minus_path"] == 1.0


def test_votes_are_weighted_by_it_and_best_of_n_takes_its_best(figures):
    assert (figures["vote"], figures["weighted_head"], figures["best_head"]) == (0.0, 1.0, 1.0)


def test_rows_without_hidden_states_or_of_other_questions_are_refused(monkeypatch, tmp_path):
    from real_models import judged_heads
    from real_models.files import AbsentError

    monkeypatch.setattr(judged_heads, "Head", Reads)
    bare = {name: value for name, value in row(0, "2", -0.1, 0.5, 0.5).items() if name != "hidden"}
    with pytest.raises(AbsentError, match="draw --hidden"):
        judged_heads.head_values(tmp_path, [bare], [QUESTION])
    wide = row(0, "2", -0.1, 0.5, 0.5, 0.5, 0.5)
    with pytest.raises(AbsentError, match="takes 1 inputs, and the rows give 2"):
        judged_heads.head_values(tmp_path, [wide], [QUESTION])
    with pytest.raises(AbsentError, match="of the test split"):
        judged_heads.drawn_bank([{**bare, "id": "gsm8k/train/0"}], [QUESTION], GSM8K)


def test_a_search_by_it_costs_what_the_vote_may_cost(figures):
    assert figures["search_tokens_head"] == figures["search_tokens_vote"] == 12
    assert figures["search_head_minus_vote"] == 0.0  # all three were found, and vote
