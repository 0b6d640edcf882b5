"""Drawing a bank goes on after what is there."""

import asyncio
import json

import pytest

from langchain_qstar.evaluation.banks import read_bank, write_bank
from langchain_qstar.evaluation.rows import read_rows
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.tasks import GSM8K

QUESTIONS = [
    {"id": f"gsm8k/test/{n}", "question": f"What is {n} + 1?", "answer": str(n + 1)}
    for n in range(3)
]


class Counted(ScriptedPolicy):
    """A policy that says what it was asked for, and answers by the seed."""

    def __init__(self, text="1 + 1 = 2\nThe answer is 2.\n"):
        super().__init__(lambda before: [] if before else [text])
        self.drawn = []

    async def asample(self, requests):
        self.drawn += [(request.state.question, len(request.seeds)) for request in requests]
        return await super().asample(requests)


def drawn(rows, questions, samples):
    from real_models.drawing import draw

    policy = Counted()
    asyncio.run(draw(policy, GSM8K, questions, samples, rows))
    return policy.drawn


def numbers(rows):
    import pool


    return {name: sorted(each) for name, each in pool.kept(read_rows(rows)).items()}


def test_only_what_is_missing_is_drawn(tmp_path):
    rows = tmp_path / "rows.jsonl"
    assert drawn(rows, QUESTIONS[:2], 2) == [("What is 0 + 1?", 2), ("What is 1 + 1?", 2)]
    assert drawn(rows, QUESTIONS, 2) == [("What is 2 + 1?", 2)]
    assert drawn(rows, QUESTIONS[:1], 5) == [("What is 0 + 1?", 3)]
    assert drawn(rows, QUESTIONS, 2) == []
    assert numbers(rows) == {
        "gsm8k/test/0": [0, 1, 2, 3, 4],
        "gsm8k/test/1": [0, 1],
        "gsm8k/test/2": [0, 1],
    }


def test_a_row_that_a_kill_tore_is_drawn_again(tmp_path):
    rows = tmp_path / "rows.jsonl"
    drawn(rows, QUESTIONS[:2], 2)
    whole = rows.read_bytes()
    rows.write_bytes(whole[:-10])
    assert drawn(rows, QUESTIONS[:2], 2) == [("What is 1 + 1?", 1)]
    assert rows.read_bytes() == whole


def test_what_lacks_samples_is_not_packed(tmp_path, monkeypatch):
    import pool

    monkeypatch.setattr(pool, "WORK", tmp_path)
    of = {"model": "m", "task": "gsm8k", "split": "test"}
    drawn(pool.rows_file(of), QUESTIONS[:2], 2)
    with pytest.raises(ValueError, match="1 questions lack samples"):
        pool.packed(of, GSM8K, QUESTIONS, 2)


def test_another_prompt_or_model_has_rows_of_its_own(tmp_path):
    import pool

    of = {"model": "m", "task": "gsm8k", "split": "test", "prompt_sha256": "a"}
    assert pool.rows_file(of) == pool.rows_file(dict(reversed(of.items())))
    assert pool.rows_file(of) != pool.rows_file({**of, "prompt_sha256": "b"})
    assert pool.bank_name(of) == "m.gsm8k.test"


def test_a_packed_bank_is_replayed_without_a_model(tmp_path, monkeypatch):
    import pool

    monkeypatch.setattr(pool, "WORK", tmp_path)
    of = {"model": "m", "task": "gsm8k", "split": "test"}
    drawn(pool.rows_file(of), QUESTIONS, 2)
    path = tmp_path / "m.jsonl.xz"
    write_bank(path, pool.packed(of, GSM8K, QUESTIONS, 2))
    figures = pool.replay(path)
    assert figures["questions"] == 3
    assert figures["vote_2"] == pytest.approx(1 / 3)  # only 1 + 1 is 2
    assert figures["reread"] == 0
    assert json.dumps(read_bank(path).about["command"])
