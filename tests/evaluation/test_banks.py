"""A bank keeps samples as they were drawn, and reads them as texts are read today."""

from langchain_qstar.evaluation.banks import Asked, Bank, Kept, read_bank, reread, write_bank
from langchain_qstar.protocols import Step
from langchain_qstar.solution import Sample
from langchain_qstar.tasks import GSM8K

STEPS = (
    Step("Si", token_ids=(3, 4), logprobs=(-0.5, -0.25)),
    Step("x.", token_ids=(5,), logprobs=(-2.0,)),
)
QUESTION = "Ann has 2 bags of 3 pens. How many pens has she?"


def of(text, finish="eos", line=None):
    kept = Kept(Sample(text=text, finish=finish), line)
    return reread(Asked("a", QUESTION, "6", (kept,)), GSM8K).samples[0].sample


def test_a_bank_is_read_as_it_was_written(tmp_path):
    samples = (
        Kept(Sample(text="2 * 3 = 6\nThe answer is 6.\n", answer="6", finish="eos", logprob=-1.5)),
        Kept(Sample(text="2 + 3 = 6\u2028…", finish="length", completion_tokens=9, failed=True)),
        Kept(Sample(text="Six.", completion_tokens=9), "The answer is 6.", 3, STEPS),
    )
    bank = Bank({"model": "m", "seed": 0}, (Asked("a", QUESTION, "6", samples),))
    size = write_bank(tmp_path / "one.xz", bank)
    assert read_bank(tmp_path / "one.xz") == bank
    assert bank.size == 3
    assert samples[2].tokens == 12
    write_bank(tmp_path / "two.xz", bank)
    assert (tmp_path / "two.xz").read_bytes() == (tmp_path / "one.xz").read_bytes()
    assert size == (tmp_path / "one.xz").stat().st_size


def test_the_smallest_question_says_how_many_samples_there_are():
    three, one = (Asked("a", "?", "1", (Kept(Sample(text="")),) * n) for n in (3, 1))
    assert Bank({}, (three, one)).size == 1
    assert Bank({}, ()).size == 0


def test_a_text_has_the_answer_that_it_states():
    assert of("2 * 3 = 6\nThe answer is 6.\n").answer == "6"


def test_a_line_is_read_only_where_the_text_has_no_answer():
    assert of("That is not much.", line="The answer is 6.").answer == "6"
    assert of("The answer is 6.\n", line="The answer is 7.").answer == "6"


def test_a_text_that_was_cut_has_an_answer_only_if_it_is_complete():
    assert of("2 * 3 = 6, so she has 6", "length").answer is None
    assert of("2 * 3 = 6\nThe answer is 6.\nProblem: Bob", "length").answer == "6"


def test_what_follows_the_answer_is_not_checked():
    assert not of("2 * 3 = 6\nThe answer is 6.\n2 * 3 = 7\n").failed
    assert of("2 * 3 = 7\nThe answer is 7.\n").failed
