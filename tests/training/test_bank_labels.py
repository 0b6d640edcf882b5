"""A bank of samples is labelled as if they had just been drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.errors import LabelError, SettingsError
from langchain_qstar.evaluation.banks import Asked, Bank, Kept
from langchain_qstar.models import ScriptedPolicy
from langchain_qstar.solution import Sample
from langchain_qstar.tasks import GSM8K
from langchain_qstar.training.bank_labels import label_bank, labelled_of
from langchain_qstar.training.label_file import read_labels
from langchain_qstar.training.progress import Progress

RIGHT = "Each bag has 3 pens: 2 * 3 = 6.\n\nThe answer is 6.\n"
WRONG = "Each bag has 3 pens: 2 * 3 = 6.\n\nThe answer is 7.\n"


class Reader(ScriptedPolicy):
    """Reads a character a token, each with the log-probability that it is given."""

    def __init__(self, each=-0.5):
        super().__init__({})
        self.each, self.scored = each, 0

    def path_ids(self, state):
        return tuple(map(ord, f"<{state.question}>{state.text}"))

    def token_texts(self, ids):
        return [chr(each) for each in ids]

    def token_logprobs(self, states, steps):
        self.scored += len(steps)
        return [(self.each,) * len(step.token_ids or step.text) for step in steps]


def kept(text, finish="eos", line=None):
    told = Sample(text=text, finish=finish, completion_tokens=len(text), logprob=-0.5 * len(text))
    return Kept(told, line, 0 if line is None else 5)


def bank(*questions, **about):
    return Bank({"model": "m", "task": "gsm8k", "temperature": 0.8, "seed": 0, **about}, questions)


def asked(*samples, question="Ann has 2 bags of 3 pens. How many?", gold="6"):
    return Asked("a", question, gold, samples)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "labels.jsonl"


def test_samples_become_steps_with_counts_and_the_ids_of_their_tokens():
    labelled = labelled_of(asked(kept(RIGHT), kept(WRONG), kept(RIGHT)), Reader(), GSM8K)
    first, right, wrong = labelled.steps
    assert (first.right, first.rollouts, first.terminal) == (2, 3, False)
    assert (right.right, right.rollouts, right.terminal) == (2, 2, True)
    assert (wrong.right, wrong.rollouts, wrong.terminal) == (0, 1, True)
    assert first.token_ids == tuple(map(ord, first.text))
    assert first.text + right.text == RIGHT
    assert first.logprobs == ()
    assert (labelled.tokens, labelled.completions) == (3 * len(RIGHT), 3)


def test_a_sample_that_was_asked_for_its_answer_ends_with_it_and_a_cut_one_does_not_end():
    told = labelled_of(
        asked(
            kept("That is 2 times 3.", line="The answer is 6.\n"),
            kept("That is 2 times 3, so", "length"),
        ),
        Reader(),
        GSM8K,
    )
    ended = [step for step in told.steps if step.terminal]
    assert [step.text for step in ended] == ["The answer is 6.\n"]
    assert (ended[0].right, ended[0].rollouts) == (1, 1)
    assert told.mixed
    assert told.completions == 3


def test_a_file_of_labels_says_what_it_was_made_from_and_goes_on(out):
    questions = [asked(kept(RIGHT), kept(WRONG), question=f"How many are {n}?") for n in range(3)]
    seen: list[Progress] = []
    whole = label_bank(bank(*questions), Reader(), GSM8K, out, progress=seen.append)
    assert whole.header["bank"] == {"model": "m", "task": "gsm8k"}
    assert (whole.header["by"], whole.header["samples"]) == ("rollouts", 2)
    assert (seen[-1].done, seen[-1].right, seen[-1].rollouts, seen[-1].mixed) == (3, 3, 6, 3)
    written = out.read_bytes()
    out.write_bytes(written[:-9])
    label_bank(bank(*questions), Reader(), GSM8K, out)
    assert out.read_bytes() == written
    with pytest.raises(LabelError, match="made with another samples"):
        label_bank(bank(*questions), Reader(), GSM8K, out, samples=1)
    with pytest.raises(SettingsError, match="samples is 0"):
        label_bank(bank(*questions), Reader(), GSM8K, out, samples=0)


def test_log_probabilities_are_read_at_once_where_that_is_asked_for(out, tmp_path):
    one = bank(asked(kept(RIGHT), kept(WRONG)))
    label_bank(one, Reader(), GSM8K, out, rescore=True)
    steps = read_labels(out).questions[0].steps
    assert all(step.logprobs == (-0.5,) * len(step.text) for step in steps)
    reader = Reader()
    label_bank(one, reader, GSM8K, tmp_path / "bare.jsonl")
    assert reader.scored <= 4  # the identity of the policy, and texts that tell who wrote them


def test_a_bank_of_another_model_task_or_prompt_is_refused_before_anything_is_written(out):
    one = asked(kept(RIGHT), kept(WRONG))
    refused = {
        r"not drawn by this policy but by m: its texts are 1\.50 nats": (bank(one), Reader(-2.0)),
        "of the task svamp, not gsm8k": (bank(one, task="svamp"), Reader()),
        r"drawn with other prompts \(few-shot \(8\)\)": (
            bank(one, prompt_sha256="0", prompts="few-shot (8)"),
            Reader(),
        ),
        "line 3 of the bank: the task gsm8k cannot read the gold answer 'see page 7'": (
            bank(one, replace(one, question="And?", gold="see page 7")),
            Reader(),
        ),
    }
    for says, (given, policy) in refused.items():
        with pytest.raises(LabelError, match=says):
            label_bank(given, policy, GSM8K, out)
        assert not out.exists()


def test_a_question_whose_gold_answer_cannot_be_read_can_be_left_out(out):
    one = asked(kept(RIGHT), kept(WRONG))
    two = bank(one, replace(one, question="And?", gold="see page 7"))
    assert len(label_bank(two, Reader(), GSM8K, out, skip_bad=True).questions) == 1


def test_a_policy_that_reads_no_texts_keeps_texts_alone(out):
    labels = label_bank(bank(asked(kept(RIGHT))), ScriptedPolicy({}), GSM8K, out, rescore=True)
    assert {(step.token_ids, step.logprobs) for step in labels.questions[0].steps} == {(None, ())}
