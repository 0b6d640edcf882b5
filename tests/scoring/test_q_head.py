from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models import ScriptedPolicy
from langchain_qstar.protocols import ScoreRequest, State, Step, StepScorer
from langchain_qstar.scoring import HeadScorer

NUMERIC = ["steps", "step_mean_logprob"]


class Hidden(ScriptedPolicy):
    """Gives the length of a state's text and its square as hidden states."""

    feature_layers: tuple[int, ...] = ()

    def features(self, states):
        return np.array([[len(s.text), len(s.text) ** 2] for s in states], dtype=np.float32)

    async def afeatures(self, states):
        return self.features(states)


def tensors():
    rng = torch.Generator().manual_seed(3)
    return {
        "mean": torch.tensor([3.0, 9.0, 1.0, -1.0]),
        "std": torch.tensor([2.0, 8.0, 1.0, 0.5]),
        "w1": torch.randn(5, 4, generator=rng),
        "b1": torch.randn(5, generator=rng),
        "w2": torch.randn(1, 5, generator=rng),
        "b2": torch.randn(1, generator=rng),
        "temperature": torch.tensor([2.0]),
    }


@pytest.fixture
def folder(tmp_path):
    save_file(tensors(), tmp_path / "q_head.safetensors")
    config = {"layers": [1, 2], "hidden_size": 1, "numeric": NUMERIC, "model_sha256": ""}
    (tmp_path / "q_head.json").write_text(json.dumps(config))
    return tmp_path


def change(folder, **changes):
    config = json.loads((folder / "q_head.json").read_text())
    (folder / "q_head.json").write_text(json.dumps(config | changes))


STATE = State("q", steps=(Step("ab\n"),))
STEPS = (Step("c\n", token_ids=(1,), logprobs=(-1.0,)), Step("def\n"))


def by_hand(state, step):
    t = {name: value.double().numpy() for name, value in tensors().items()}
    length = len(state.text + step.text)
    mean = sum(step.logprobs) / len(step.logprobs) if step.logprobs else 0.0
    x = (np.array([length, length**2, len(state.steps) + 1, mean]) - t["mean"]) / t["std"]
    z = t["w1"] @ x + t["b1"]
    inner = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in z])
    logit = float((t["w2"] @ inner + t["b2"])[0])
    return 1 / (1 + math.exp(-logit / 2.0))


async def test_values_are_the_formula_worked_by_hand(folder):
    scorer = HeadScorer(Hidden({}), folder)
    requests = [ScoreRequest(STATE, STEPS), ScoreRequest(State("q"), STEPS[:1])]
    scores = scorer.score(requests)
    expected = [[by_hand(r.state, step) for step in r.steps] for r in requests]
    for one, values in zip(scores, expected, strict=True):
        assert one.values == pytest.approx(values, abs=1e-5)
        assert one.generated_tokens == one.read_tokens == 0
    assert await scorer.ascore(requests) == scores
    assert isinstance(scorer, StepScorer)


def test_the_policy_is_told_which_layers_to_record(folder):
    policy = Hidden({})
    HeadScorer(policy, folder)
    assert policy.feature_layers == (1, 2)


def test_a_model_with_another_tokenizer_is_given_texts_only(folder):
    seen = []

    class Looking(Hidden):
        def features(self, states):
            seen.extend(states)
            return super().features(states)

    request = ScoreRequest(State("q", steps=(Step("ab\n", token_ids=(7,)),)), STEPS)
    texts_only = HeadScorer(Looking({}), folder, texts_only=True).score([request])
    assert all(step.token_ids is None for state in seen for step in state.steps)
    # The log-probabilities of the policy that took the steps still count.
    assert texts_only == HeadScorer(Hidden({}), folder).score([request])


def test_heads_of_other_layers_take_turns_on_a_policy(folder):
    policy = Hidden({})
    scorer = HeadScorer(policy, folder)
    policy.feature_layers = (0, 2)
    scorer.score([ScoreRequest(STATE, STEPS)])
    assert policy.feature_layers == (1, 2)


def test_no_candidates_have_no_scores(folder):
    scorer = HeadScorer(Hidden({}), folder)
    assert scorer.score([]) == []
    assert scorer.score([ScoreRequest(STATE, ())])[0].values == ()


def test_a_policy_without_hidden_states_is_refused(folder):
    with pytest.raises(ModelSpecError, match="ScriptedPolicy gives no hidden states"):
        HeadScorer(ScriptedPolicy({}), folder)


def test_a_policy_of_another_size_is_refused(folder):
    class Wide(Hidden):
        def features(self, states):
            return np.zeros((len(states), 9), dtype=np.float32)

    with pytest.raises(ModelSpecError, match="takes 4 inputs, this policy gives 11"):
        HeadScorer(Wide({}), folder).score([ScoreRequest(STATE, STEPS)])


def test_a_head_for_these_weights_is_accepted_and_for_others_refused(folder):
    (folder / "model.safetensors").write_bytes(b"weights")
    change(folder, model_sha256=hashlib.sha256(b"weights").hexdigest())
    HeadScorer(Hidden({}), folder)
    change(folder, model_sha256=hashlib.sha256(b"others").hexdigest())
    with pytest.raises(ModelSpecError, match="made for other weights"):
        HeadScorer(Hidden({}), folder)


def test_features_nobody_knows_are_refused(folder):
    change(folder, numeric=["steps", "mood"])
    with pytest.raises(ModelSpecError, match="mood"):
        HeadScorer(Hidden({}), folder)


def test_a_description_that_contradicts_the_weights_is_refused(folder):
    change(folder, layers=[1])
    with pytest.raises(ModelSpecError, match="takes 4 inputs"):
        HeadScorer(Hidden({}), folder)


@pytest.mark.parametrize("file", ["q_head.json", "q_head.safetensors"])
def test_a_broken_file_is_one_line(folder, file):
    (folder / file).write_text("broken")
    with pytest.raises(ModelSpecError, match="cannot load a Q head") as caught:
        HeadScorer(Hidden({}), folder)
    assert "\n" not in str(caught.value)


def test_a_head_that_reads_log_probabilities_refuses_a_policy_without_any(folder):
    bare = ScoreRequest(State("q", steps=(Step("ab\n"),)), (Step("c\n"), Step("d\n")))
    with pytest.raises(ModelSpecError, match=r"reads the policy's log-.*scripted gives none"):
        HeadScorer(Hidden({}), folder).score([bare])
    own = {name: each[..., [0, 1, 2]] if name == "w1" else each for name, each in tensors().items()}
    own |= {name: own[name][:3] for name in ("mean", "std")}
    save_file(
        {name: each.contiguous() for name, each in own.items()}, folder / "q_head.safetensors"
    )
    change(folder, numeric=["steps"])
    assert len(HeadScorer(Hidden({}), folder).score([bare])[0].values) == 2


async def test_steps_without_log_probabilities_are_read_where_the_policy_can(folder):
    class Reading(Hidden):
        def path_ids(self, state):
            return ()

        def token_logprobs(self, states, steps):
            return [(-1.0,) for _ in steps]

    bare = ScoreRequest(STATE, (Step("c\n", token_ids=(1,)),))
    known = ScoreRequest(STATE, STEPS[:1])
    scorer = HeadScorer(Reading({}), folder)
    assert scorer.score([bare]) == scorer.score([known])
    assert await scorer.ascore([bare]) == scorer.score([known])
