"""Hidden states are read once, with the log-probabilities that labels lack."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the transformers extra")

from langchain_qstar.errors import LabelError, ModelError, ModelSpecError, SettingsError
from langchain_qstar.models import ScriptedPolicy
from langchain_qstar.scoring.identity import identity_of
from langchain_qstar.training.examples import Example
from langchain_qstar.training.hidden_states import HiddenStates
from langchain_qstar.training.label_file import LabelledQuestion, LabelledStep


class Shown(ScriptedPolicy):
    """Shows the length of a state's text, and reads every token as -0.25."""

    def __init__(self, *, only_last=False, **options):
        super().__init__({}, **options)
        self.only_last, self.read, self.scored = only_last, [], []
        self._layers = (2, 4)

    @property
    def feature_layers(self):
        return self._layers

    @feature_layers.setter
    def feature_layers(self, layers):
        if self.only_last and tuple(layers) != (4,):
            raise ModelError("the model failed") from ModelSpecError("shows layer 4 only")
        self._layers = tuple(layers)

    def features(self, states):
        self.read += states
        width = len(self._layers)
        return np.array([[len(each.text)] * width for each in states], dtype=np.float32)

    async def afeatures(self, states):
        return self.features(states)

    def path_ids(self, state):
        return tuple(range(len(state.text)))

    def token_logprobs(self, states, steps):
        self.scored += steps
        return [(-0.25,) * len(step.text.split()) for step in steps]


def example(sums, logprobs=()):
    steps = tuple(
        LabelledStep(parent, text, None, logprobs, end, right, 1)
        for parent, text, end, right in [
            (-1, "2+3 = 5\n", False, 1),
            (0, "so 5\n", True, 1),
            (-1, "so 6\n", True, 0),
        ]
    )
    return Example(LabelledQuestion("What is 2 and 3?", steps), sums)


def opened(policy, folder=None, layers=()):
    return HiddenStates.open(policy, layers, folder, identity_of(policy))


def test_a_question_is_read_once_for_all_trainings_that_share_a_folder(sums, tmp_path):
    policy = Shown()
    first = opened(policy, tmp_path).read(example(sums))
    assert len(policy.read) == 3
    again = Shown()
    states = opened(again, tmp_path)
    again.scored.clear()  # what tells whose policy it is
    kept = states.read(example(sums))
    assert (again.read, again.scored) == ([], [])
    assert kept[0] == first[0]
    np.testing.assert_array_equal(kept[1], first[1])
    opened(again, tmp_path, layers=(4,)).read(example(sums))  # other layers, another reading
    assert len(again.read) == 3


def test_steps_get_the_log_probabilities_that_they_lack_and_keep_those_they_have(sums):
    policy = Shown()
    whole, hidden = opened(policy).read(example(sums))
    assert [step.logprobs for step in whole.labelled.steps] == [(-0.25,) * n for n in (3, 2, 2)]
    assert hidden.tolist() == [[8.0] * 2, [13.0] * 2, [5.0] * 2]
    known, _ = opened(policy).read(example(sums, (-1.0,)))
    assert {step.logprobs for step in known.labelled.steps} == {(-1.0,)}


def test_a_file_that_is_not_whole_is_read_again(sums, tmp_path):
    opened(Shown(), tmp_path).read(example(sums))
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(file.read_bytes()[:99])
    policy = Shown()
    opened(policy, tmp_path).read(example(sums))
    assert len(policy.read) == 3


def test_a_policy_that_shows_the_last_layer_only_is_read_there(sums):
    assert opened(Shown(only_last=True)).layers == (4,)
    assert opened(Shown()).layers == (2, 4)
    with pytest.raises(ModelSpecError, match="shows layer 4 only"):
        opened(Shown(only_last=True), layers=(2,))


def test_hidden_states_of_another_policy_are_refused(sums, tmp_path):
    opened(Shown(), tmp_path / "a")

    class Other(Shown):
        def token_logprobs(self, states, steps):
            return [(-2.0,) * len(step.text.split()) for step in steps]

    with pytest.raises(LabelError, match="of another policy; it differs in the weights"):
        opened(Other(), tmp_path / "a")
    (tmp_path / "a" / "policy.json").write_text("[]")
    with pytest.raises(LabelError, match="is damaged; delete the folder"):
        opened(Shown(), tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot write to"):
        opened(Shown(), tmp_path / "file")
