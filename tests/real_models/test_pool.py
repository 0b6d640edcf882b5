"""A bank is packed when it is whole, and replayed without a model."""

from dataclasses import asdict

import pytest

from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.evaluation.banks import Kept, read_bank, write_bank
from langchain_qstar.evaluation.rows import add_rows
from langchain_qstar.solution import Sample
from langchain_qstar.tasks import GSM8K

QUESTIONS = [
    {"id": f"q{n}", "question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(3)
]
OF = {"model": "m", "task": "gsm8k", "split": "test", "prompt_sha256": "a"} | asdict(
    SamplingParameters(0.7, 0.8, 20)
)


@pytest.fixture
def pool(monkeypatch, tmp_path):
    import pool

    monkeypatch.setattr(pool, "WORK", tmp_path)
    return pool


def drawn(pool, questions, samples):
    sample = Kept(Sample(text="1 + 1 = 2\nThe answer is 2.\n", finish="eos")).stored()
    rows = (
        {"id": each["id"], "number": number, "version": "abc", "sample": sample}
        for each in questions
        for number in range(samples)
    )
    add_rows(pool.rows_file(OF), rows)


def test_what_lacks_samples_is_not_packed(pool):
    drawn(pool, QUESTIONS[:2], 2)
    with pytest.raises(ValueError, match="1 questions lack samples"):
        pool.packed(OF, GSM8K, QUESTIONS, 2)


def test_another_prompt_has_rows_of_its_own(pool):
    assert pool.rows_file(OF) == pool.rows_file(dict(reversed(OF.items())))
    assert pool.rows_file(OF) != pool.rows_file({**OF, "prompt_sha256": "b"})
    assert pool.bank_name(OF) == "m.gsm8k.test.t0.7-p0.8-k20"


def test_what_samples_are_of_tells_no_place_of_this_machine(pool, tmp_path):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF")
    of = pool.about(f"gguf:{file}", file, GSM8K, "train", SamplingParameters())
    assert of["model"] == "tiny"
    assert str(tmp_path) not in str(of)


def test_processes_share_the_questions_of_a_split(pool, monkeypatch):
    monkeypatch.setattr(pool, "records", lambda name, count: [name] * count)
    assert pool.asked("gsm8k", "train", 3) == ["gsm8k_train"] * 3
    assert pool.asked("gsm8k", "test", 3, after=2) == ["gsm8k"]


def test_another_engine_has_rows_and_a_bank_of_its_own(pool, tmp_path):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF")
    of, other = (
        pool.about(f"gguf:{file}", file, GSM8K, "train", SamplingParameters(), engine=engine)
        for engine in ("llamacpp", "transformers")
    )
    assert pool.rows_file(of) != pool.rows_file(other)
    assert pool.bank_name(other) == f"{pool.bank_name(of)}.transformers"


def test_a_packed_bank_is_replayed_without_a_model(pool, tmp_path):
    drawn(pool, QUESTIONS, 3)
    path = tmp_path / "m.jsonl.xz"
    write_bank(path, pool.packed(OF, GSM8K, QUESTIONS, 2))
    assert read_bank(path).about["drawn_with"] == ["abc"]
    figures = pool.replay(path)
    assert figures["questions"] == 3
    assert figures["samples"] == 2
    assert figures["vote_2"] == pytest.approx(1 / 3)  # only 1 + 1 is 2
    assert figures["reread"] == 0


def test_drawing_goes_on_from_a_packed_bank_of_the_same_prompt(pool, tmp_path):
    drawn(pool, QUESTIONS, 2)
    path = tmp_path / "m.jsonl.xz"
    write_bank(path, pool.packed(OF, GSM8K, QUESTIONS, 2))
    pool.rows_file(OF).unlink()
    pool.unpack({**OF, "prompt_sha256": "b"}, path)
    assert not pool.rows_file({**OF, "prompt_sha256": "b"}).exists()
    pool.unpack(OF, path)
    known = pool.kept(pool.read_rows(pool.rows_file(OF)))
    assert list(pool.missing(QUESTIONS, known, 2)) == []
    assert [numbers for _, numbers in pool.missing(QUESTIONS, known, 3)] == [[2], [2], [2]]
    before = pool.rows_file(OF).read_bytes()
    pool.unpack(OF, path)  # what is there already is not added again
    assert pool.rows_file(OF).read_bytes() == before
