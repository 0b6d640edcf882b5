"""What was drawn in steps is labelled, with the hidden states that were kept while it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the transformers extra")

from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.evaluation.rows import read_rows
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.scoring.identity import identity_of
from langchain_qstar.tasks import GSM8K
from langchain_qstar.training.examples import Example
from langchain_qstar.training.hidden_states import HiddenStates
from langchain_qstar.training.label_file import read_labels
from langchain_qstar.training.rollouts import LabelSettings

QUESTIONS = [{"id": f"q{n}", "question": f"{n} + 1?", "answer": str(n + 1)} for n in range(2)]
TASK = replace(
    GSM8K,
    messages=lambda question: (("user", question),),
    step_tokens=6,
    solution_tokens=18,
    answer_prefill="",
)


@pytest.fixture
def policy(llama, make_tokenizer):
    made = TransformersPolicy(llama, make_tokenizer(), name="tiny")
    made.feature_layers = (-1,)
    yield made
    made.close()


def test_labels_have_the_hidden_states_of_the_steps_and_grow_by_what_is_new(policy, tmp_path):
    from real_models.drawing import draw
    from real_models.labelled import write_labels

    rows, out, features = (tmp_path / name for name in ("rows.jsonl", "labels.jsonl", "states"))

    def labelled(count):
        asked = QUESTIONS[:count]
        parameters = SamplingParameters()
        asyncio.run(draw(policy, TASK, asked, 2, parameters=parameters, rows=rows, hidden=True))
        settings = LabelSettings(samples=2)
        return write_labels(
            policy, TASK, asked, read_rows(rows), settings=settings, out=out, features=features
        )

    assert labelled(1) == (1, 0)
    assert labelled(2) == (1, 0)  # the first is there already
    questions = read_labels(out).questions
    assert [each.question for each in questions] == [each["question"] for each in QUESTIONS]
    known = HiddenStates.open(policy, (-1,), features, identity_of(policy))
    for each in questions:
        before = policy.counters.prefilled
        example = Example(each, TASK)
        _, hidden = known.read(example)
        assert policy.counters.prefilled == before  # nothing was read again
        after = [request.state.then(request.steps[0]) for request in example.requests]
        np.testing.assert_allclose(hidden, policy.features(after), atol=1e-2)  # kept in 16 bits
