"""Training on labels of a small real model: it learns, resumes, loads, and refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs the transformers extra")
pytest.importorskip("accelerate", reason="needs the train extra")

import torch

from langchain_qstar import QStarChain
from langchain_qstar.errors import LabelError, ModelError, ModelSpecError, SettingsError
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring.q_head import Head
from langchain_qstar.scoring.recalibration import Logistic
from langchain_qstar.scoring.resolve import resolve_scorer
from langchain_qstar.tasks import NANO
from langchain_qstar.training import fitting
from langchain_qstar.training.label_file import LabelFile, LabelledQuestion, LabelledStep
from langchain_qstar.training.recipe import ValueRecipe
from langchain_qstar.training.training_folder import save_head
from langchain_qstar.training.value_model import train_value_model
from langchain_qstar.training.value_network import ValueHead

pytestmark = pytest.mark.nano

SMALL = ValueRecipe(epochs=3, patience=3, batch=4, hidden=8, dropout=0.0, held_out=0.3)


@pytest.fixture(scope="module")
def policy():
    return resolve_policy("nano")


def question(number: int) -> LabelledQuestion:
    """A right and a wrong first step, each with its end; right ones speak of cats."""

    def step(parent: int, text: str, *, good: bool, end: bool) -> LabelledStep:
        return LabelledStep(parent, text, None, (-0.1,), end, int(good), 1)

    return LabelledQuestion(
        f"Tom has {number} cats and {number + 2} dogs. How many?",
        (
            step(-1, f"He has {number} cats.\n", good=True, end=False),
            step(-1, f"He has {number} dogs.\n", good=False, end=False),
            step(0, f"The answer is {number} cats.\n", good=True, end=True),
            step(1, f"The answer is {number} dogs.\n", good=False, end=True),
        ),
    )


@pytest.fixture(scope="module")
def labels(policy):
    from langchain_qstar.scoring.identity import identity_of

    header = {"format": "qstar-labels-1", "policy": identity_of(policy), "task": "nano", "seed": 0}
    return LabelFile(header, tuple(question(number) for number in range(2, 26)))


def values_of(policy, folder, number=40):
    scorer = resolve_scorer(folder, policy)
    assert scorer is not None
    asked = f"Tom has {number} cats and {number + 2} dogs. How many?"
    state = State(asked, NANO.messages(asked))
    steps = tuple(
        Step(f"He has {number} {animal}.\n", logprobs=(-0.2,)) for animal in ("cats", "dogs")
    )
    return scorer.score([ScoreRequest(state, steps)])[0].values


@pytest.mark.parametrize(
    "recipe",
    [
        replace(SMALL, kind="linear", loss="regression", target="best"),
        replace(SMALL, kind="mlp", loss="cross-entropy"),
        replace(SMALL, kind="linear", loss="pairwise"),
        replace(SMALL, kind="mlp", loss="balanced"),
        replace(SMALL, kind="linear", target="fitted-q", iterations=2, epochs=2),
    ],
    ids=lambda recipe: f"{recipe.kind} {recipe.loss} {recipe.target}",
)
def test_a_trained_head_loads_by_its_folder_and_tells_right_from_wrong(
    policy, labels, tmp_path, recipe
):
    recipe = replace(recipe, epochs=8, learning_rate=0.02)
    trained = train_value_model(labels, policy, NANO, tmp_path, recipe)
    assert trained.figures["within_problem_auc_last"] > 0.9
    right, wrong = values_of(policy, tmp_path)
    assert 0 <= wrong < right <= 1
    card = (tmp_path / "README.md").read_text()
    assert "calibration.svg" in card
    assert (tmp_path / "calibration.svg").read_text().startswith("<svg")
    assert json.loads((tmp_path / "q_head.json").read_text())["recipe"]["loss"] == recipe.loss


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_saved_head_gives_the_calibrated_values_of_the_network(tmp_path, hidden):
    torch.manual_seed(2)
    head = ValueHead(torch.randn(4), torch.rand(4) + 0.5, hidden=hidden, dropout=0.3).eval()
    config = {"layers": [1], "hidden_size": 3, "numeric": ["steps"]}
    save_head(head, Logistic(2.0, 0.5), config, tmp_path)
    x = torch.randn(6, 4)
    with torch.inference_mode():
        expected = torch.sigmoid(2.0 * head(x) + 0.5).tolist()
    assert Head(tmp_path).probabilities(x.numpy()) == pytest.approx(expected, abs=1e-5)


def test_a_lora_of_the_policy_and_a_model_of_its_own_load_too(policy, labels, tmp_path):
    pytest.importorskip("peft", reason="needs the train extra")
    for kind in ("lora", "model"):
        rate = 0.003 if kind == "lora" else 3e-4
        recipe = replace(SMALL, kind=kind, epochs=4, learning_rate=rate)
        out = tmp_path / kind
        trained = train_value_model(labels, policy, NANO, out, recipe, base="nano")
        assert trained.figures["within_problem_auc_last"] > 0.9
        right, wrong = values_of(policy, out)
        assert 0 <= wrong < right <= 1
        plain = QStarChain(policy, "log-probability", settings={"max_pops": 2})
        before = plain.invoke("How many?", seed=3)
        chain = QStarChain(policy, str(out), settings={"max_pops": 2})
        searched = chain.invoke("How many?", seed=3)
        # The value model has a cache of its own: what the policy says has not changed.
        assert [n.text for n in searched.tree[:3]] == [n.text for n in before.tree[:3]]
        config = json.loads((out / "q_head.json").read_text())
        assert {"step_min_logprob", "path_surprises"} <= set(config["numeric"])
    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "nano"


def test_the_same_call_again_continues_what_was_interrupted(policy, labels, tmp_path, monkeypatch):
    told: list[float] = []

    class KilledError(Exception): ...

    def kill(epoch: float, error: float) -> None:
        told.append(epoch)
        if len(told) == 3:
            raise KilledError

    recipe = replace(SMALL, epochs=4)
    with pytest.raises(KilledError):
        train_value_model(labels, policy, NANO, tmp_path / "one", recipe, told=kill)
    torn = tmp_path / "one" / "checkpoints" / "checkpoint-99"
    torn.mkdir()  # killed while it was written
    (torn / "trainer_state.json").write_text("{")
    resumed: list[float] = []
    first = train_value_model(
        labels, policy, NANO, tmp_path / "one", recipe, told=lambda e, _: resumed.append(e)
    )
    assert resumed == [3.0, 4.0]  # the third epoch was not stored yet
    whole = train_value_model(labels, policy, NANO, tmp_path / "two", recipe)
    assert first.figures == pytest.approx(whole.figures, abs=1e-3)


def test_a_finished_training_is_given_as_it_is(policy, labels, tmp_path):
    first = train_value_model(labels, policy, NANO, tmp_path, SMALL)
    written = (tmp_path / "q_head.safetensors").stat().st_mtime_ns
    told: list[float] = []
    again = train_value_model(
        labels, policy, NANO, tmp_path, SMALL, told=lambda epoch, _: told.append(epoch)
    )
    assert (again, told) == (first, [])
    assert (tmp_path / "q_head.safetensors").stat().st_mtime_ns == written
    (tmp_path / "README.md").unlink()  # as if killed before the end
    train_value_model(labels, policy, NANO, tmp_path, SMALL)
    assert "learning_rate 0.001," in (tmp_path / "README.md").read_text()  # what 0 stands for
    (tmp_path / "q_head.json").write_text("{")
    train_value_model(labels, policy, NANO, tmp_path, SMALL)
    assert json.loads((tmp_path / "q_head.json").read_text())["figures"]
    other = LabelFile({**labels.header, "seed": 1}, labels.questions)
    train_value_model(other, policy, NANO, tmp_path, SMALL)
    config = json.loads((tmp_path / "q_head.json").read_text())
    assert config["labels"]["seed"] == 1


def test_a_loss_that_is_no_number_is_one_line_and_loses_no_checkpoint(
    policy, labels, tmp_path, monkeypatch
):
    train_value_model(labels, policy, NANO, tmp_path, SMALL)
    kept = sorted(each.name for each in (tmp_path / "checkpoints").iterdir())
    (tmp_path / "training.json").unlink()
    monkeypatch.setitem(fitting_losses(), SMALL.loss, lambda z, y, p: z.sum() * math.nan)
    with pytest.raises(ModelError, match=r"the loss became nan at step \d+; lower") as caught:
        train_value_model(labels, policy, NANO, tmp_path, replace(SMALL, epochs=9))
    assert "\n" not in str(caught.value)
    assert sorted(each.name for each in (tmp_path / "checkpoints").iterdir()) == kept


def fitting_losses():
    from langchain_qstar.training import losses

    return losses.LOSSES


def test_training_stops_when_the_held_out_error_no_longer_falls(policy, labels, tmp_path):
    epochs: list[float] = []
    recipe = replace(SMALL, kind="linear", epochs=60, patience=2, learning_rate=2.0)
    train_value_model(labels, policy, NANO, tmp_path, recipe, told=lambda e, _: epochs.append(e))
    assert len(epochs) < 60


def test_labels_of_another_model_or_task_are_refused_before_any_work(policy, labels, tmp_path):
    changed = dict(labels.header["policy"])
    changed["logprobs"] = [value - 1 for value in changed["logprobs"]]
    other = replace(labels, header={**labels.header, "policy": changed})
    with pytest.raises(LabelError, match="it differs in the weights"):
        train_value_model(other, policy, NANO, tmp_path / "a", SMALL)
    changed = {**labels.header["policy"], "token_ids": [1, 2, 3]}
    other = replace(labels, header={**labels.header, "policy": changed})
    with pytest.raises(LabelError, match="made with another policy; it differs in the tokenizer"):
        train_value_model(other, policy, NANO, tmp_path / "a", SMALL)
    other = replace(labels, header={**labels.header, "policy": None})
    with pytest.raises(LabelError, match=r"it differs in the model \(None, not nano\)"):
        train_value_model(other, policy, NANO, tmp_path / "a", SMALL)
    other = replace(labels, header={**labels.header, "task": "gsm8k"})
    with pytest.raises(LabelError, match="of the task gsm8k, not nano"):
        train_value_model(other, policy, NANO, tmp_path / "b", SMALL)
    other = replace(labels, header={**labels.header, "prompts": "few-shot (2)"})
    with pytest.raises(
        LabelError, match=r"with the prompts 'few-shot \(2\)', not ''; give the same"
    ):
        train_value_model(other, policy, NANO, tmp_path / "d", SMALL)
    few = replace(labels, questions=labels.questions[:1])
    with pytest.raises(LabelError, match="too few"):
        train_value_model(few, policy, NANO, tmp_path / "c", SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("right", "says"), [(0, "was right"), (1, "was wrong")])
def test_labels_that_all_say_the_same_are_refused(policy, labels, tmp_path, right, says):
    same = tuple(
        replace(each, steps=tuple(replace(step, right=right) for step in each.steps))
        for each in labels.questions
    )
    with pytest.raises(LabelError, match=f"no rollout in the labels {says}, so there is nothing"):
        train_value_model(replace(labels, questions=same), policy, NANO, tmp_path, SMALL)
    assert not list(tmp_path.iterdir())


def test_labels_of_which_hardly_a_question_has_right_and_wrong_rollouts_are_refused(
    policy, labels, tmp_path
):
    def one_sided(each, right):
        return replace(each, steps=tuple(replace(step, right=right) for step in each.steps))

    some = [one_sided(each, n % 2) for n, each in enumerate(labels.questions)]
    few = replace(labels, questions=(labels.questions[0], *some[1:]))
    with pytest.raises(LabelError, match="of 24 labelled questions 1 had right and wrong rollouts"):
        train_value_model(few, policy, NANO, tmp_path, SMALL)
    assert not list(tmp_path.iterdir())


def test_a_training_says_what_it_fits_and_what_it_lacked(policy, labels, tmp_path):
    recipe = replace(SMALL, kind="linear", epochs=6, learning_rate=0.02)
    trained = train_value_model(labels, policy, NANO, tmp_path, recipe)
    # Every token is as likely as every other, and right solutions speak of cats.
    assert trained.fits.startswith("Fits search and vote weight: ")
    assert trained.figures["auc_50"] > trained.figures["logprob_auc_50"] == 0.5
    assert trained.notes[0].startswith("only 24 questions have right and wrong rollouts")
    card = (tmp_path / "README.md").read_text()
    assert trained.fits in card
    assert "| 75 % of the steps | " in card
    assert f"Note: {trained.notes[0]}." in card


class Mute:
    """The bundled model without its log-probabilities, as a server may be."""

    name = "mute"
    window = None

    def __init__(self, policy):
        self._policy = policy

    @property
    def feature_layers(self):
        return self._policy.feature_layers

    @feature_layers.setter
    def feature_layers(self, layers):
        self._policy.feature_layers = layers

    def features(self, states):
        return self._policy.features(states)

    async def afeatures(self, states):
        return await self._policy.afeatures(states)

    def count_tokens(self, text):
        return self._policy.count_tokens(text)

    def sample(self, requests):
        raise AssertionError

    async def asample(self, requests):
        raise AssertionError


def test_a_head_of_a_policy_without_log_probabilities_is_trained_and_used_without(
    policy, labels, tmp_path
):
    mute = Mute(policy)
    bare = tuple(
        replace(each, steps=tuple(replace(step, logprobs=()) for step in each.steps))
        for each in labels.questions
    )
    own = LabelFile({**labels.header, "policy": {"name": "mute"}}, bare)
    trained = train_value_model(own, mute, NANO, tmp_path / "without", SMALL)
    assert any("mute gives no log-probabilities" in note for note in trained.notes)
    config = json.loads((tmp_path / "without" / "q_head.json").read_text())
    assert config["numeric"] == ["steps", "step_tokens", "terminal", "path_tokens"]
    asked = ScoreRequest(State("Tom has 4 cats. How many?"), (Step("He has 4 cats.\n"),))
    scorer = resolve_scorer(tmp_path / "without", mute)
    assert scorer is not None
    assert len(scorer.score([asked])[0].values) == 1
    known = LabelFile({**labels.header, "policy": {"name": "mute"}}, labels.questions)
    train_value_model(known, mute, NANO, tmp_path / "with", SMALL)
    scorer = resolve_scorer(tmp_path / "with", mute)
    assert scorer is not None
    with pytest.raises(ModelSpecError, match="reads the policy's log-probabilities, and mute"):
        scorer.score([asked])


def test_hidden_states_are_read_once_for_trainings_that_share_them(
    policy, labels, tmp_path, monkeypatch
):
    states = tmp_path / "states"
    told: list[tuple[int, int]] = []
    train_value_model(
        labels,
        policy,
        NANO,
        tmp_path / "one",
        SMALL,
        features=states,
        reading=lambda done, total: told.append((done, total)),
    )
    assert told[0] == (0, 24)
    assert told[-1] == (24, 24)

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(type(policy), "features", refuse)
    other = replace(SMALL, loss="pairwise")
    trained = train_value_model(labels, policy, NANO, tmp_path / "two", other, features=states)
    assert trained.figures["held_out_problems"] == 7


def test_a_folder_is_not_trained_with_other_settings(policy, labels, tmp_path):
    train_value_model(labels, policy, NANO, tmp_path, SMALL)
    with pytest.raises(SettingsError, match="a training with another epochs"):
        train_value_model(labels, policy, NANO, tmp_path, replace(SMALL, epochs=1))


def test_a_head_of_another_policy_is_refused_when_it_is_loaded(policy, labels, tmp_path):
    train_value_model(labels, policy, NANO, tmp_path, SMALL)
    path = tmp_path / "q_head.json"
    config = json.loads(path.read_text())
    config["policy"]["token_ids"][0] += 1
    path.write_text(json.dumps(config))
    with pytest.raises(ModelSpecError, match="trained on another policy; it differs in the token"):
        resolve_scorer(tmp_path, policy)
    (tmp_path / "model.safetensors").write_bytes(b"weights of a value model of its own")
    with pytest.raises(ModelSpecError, match="trained on another policy"):
        resolve_scorer(tmp_path, policy)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "forest"},
        {"target": "luck"},
        {"loss": "hinge"},
        {"epochs": 0},
        {"dropout": 2.0},
        {"learning_rate": -1.0},
    ],
)
def test_a_recipe_that_cannot_be_is_refused(wrong):
    with pytest.raises(SettingsError):
        ValueRecipe(**wrong)


def test_a_backbone_needs_a_base(policy, labels, tmp_path):
    with pytest.raises(SettingsError, match="needs a base"):
        train_value_model(labels, policy, NANO, tmp_path, replace(SMALL, kind="lora"))


def test_token_batches_are_padded_and_rows_find_their_place():
    from langchain_qstar.training.value_network import token_batch

    def item(tokens, sequence, position):
        return {
            "tokens": torch.tensor(tokens),
            "sequence": torch.tensor(sequence),
            "position": torch.tensor(position),
            "numbers": torch.ones(len(sequence), 2),
            "targets": torch.zeros(len(sequence)),
        }

    batch = token_batch([item([[5, 6, 7]], [0, 0], [1, 2]), item([[8, -1], [9, 4]], [1], [1])])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0], [9, 4, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert batch["sequence"].tolist() == [0, 0, 2]
    assert batch["numbers"].shape == (3, 2)
    assert batch["problem"].tolist() == [0, 0, 1]
    assert fitting.CHECKPOINTS == "checkpoints"


@pytest.mark.parametrize(
    ("name", "held", "says"),
    [("out", "", "cannot write to"), ("out/training.json", "[]", "is damaged; delete it")],
)
def test_a_folder_that_cannot_hold_a_training_is_refused(
    policy, labels, tmp_path, name, held, says
):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(held)
    with pytest.raises(SettingsError, match=says):
        train_value_model(labels, policy, NANO, tmp_path / "out", SMALL)
