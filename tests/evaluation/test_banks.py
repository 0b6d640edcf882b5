"""A bank keeps samples as they were drawn, and reads them as texts are read today."""

from langchain_qstar.evaluation.banks import Asked, Bank, judged, read_bank, write_bank
from langchain_qstar.solution import Sample
from langchain_qstar.tasks import GSM8K

QUESTION = "Ann has 2 bags of 3 pens. How many pens has she?"


def of(text, finish="eos"):
    return judged([Sample(text=text, finish=finish)], QUESTION, GSM8K)[0]


def test_a_bank_is_read_as_it_was_written(tmp_path):
    samples = (
        Sample(text="2 * 3 = 6\nThe answer is 6.\n", answer="6", finish="eos", logprob=-1.5),
        Sample(text="2 + 3 = 6\u2028…", finish="length", completion_tokens=9, failed=True),
    )
    bank = Bank({"model": "m", "seed": 0}, (Asked("a", QUESTION, "6", samples),))
    size = write_bank(tmp_path / "one.xz", bank)
    assert read_bank(tmp_path / "one.xz") == bank
    assert bank.size == 2
    write_bank(tmp_path / "two.xz", bank)
    assert (tmp_path / "two.xz").read_bytes() == (tmp_path / "one.xz").read_bytes()
    assert size == (tmp_path / "one.xz").stat().st_size


def test_the_smallest_question_says_how_many_samples_there_are():
    one, two = (
        Asked("a", "?", "1", (Sample(text=""),) * 3),
        Asked("b", "?", "1", (Sample(text=""),)),
    )
    assert Bank({}, (one, two)).size == 1
    assert Bank({}, ()).size == 0


def test_a_text_has_the_answer_that_it_states():
    assert of("2 * 3 = 6\nThe answer is 6.\n").answer == "6"
    assert of("She has six.\n").answer in (None, "6")


def test_a_text_that_was_cut_has_an_answer_only_if_it_is_complete():
    assert of("2 * 3 = 6, so she has 6", "length").answer is None
    assert of("2 * 3 = 6\nThe answer is 6.\nProblem: Bob", "length").answer == "6"


def test_what_follows_the_answer_is_not_checked():
    assert not of("2 * 3 = 6\nThe answer is 6.\n2 * 3 = 7\n").failed
    assert of("2 * 3 = 7\nThe answer is 7.\n").failed
