"""A Q-value head on the policy's own hidden states.

Q(state, step) = sigmoid(MLP(hidden states after the step, numeric features) / T):
a value model that costs no forward pass of its own, because decoding has made
the hidden states already. Files of a head, in one folder:

- `q_head.safetensors`: `mean`, `std` [d_in]; `w1` [hidden, d_in], `b1` [hidden];
  `w2` [1, hidden], `b2` [1]; `temperature` [1], fitted for calibration. A linear head
  has no `w1` and `b1`, and its `w2` is [1, d_in].
- `q_head.json`: `layers` (hidden layers read), `hidden_size` (of one layer),
  `numeric` (names of numeric features, in order), `model_sha256` (of the
  policy's `model.safetensors`, which the head belongs to) where that lies beside it,
  and `policy` (its identity, see `identity.py`). Heads that are trained on a model of
  their own are loaded by `trained.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np

from langchain_qstar.errors import MissingExtraError, ModelSpecError
from langchain_qstar.protocols import Policy, ScoreRequest, Scores, State, Step
from langchain_qstar.scoring.features import LOGPROB_FEATURES, NUMERIC_FEATURES, step_features
from langchain_qstar.scoring.identity import ReadingPolicy
from langchain_qstar.scoring.rereading import lacking, reread

try:
    import torch
    from safetensors.torch import load_file
except ImportError as error:
    raise MissingExtraError(error.name or "torch", "transformers") from error

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"

WEIGHTS_FILE: Final = "q_head.safetensors"
CONFIG_FILE: Final = "q_head.json"
_TENSORS: Final = ("mean", "std", "w2", "b2", "temperature")
_HIDDEN_TENSORS: Final = ("w1", "b1")


@runtime_checkable
class HiddenStatePolicy(Protocol):
    """A policy that gives the hidden states of trajectories (`TransformersPolicy`)."""

    feature_layers: Sequence[int]

    def features(self, states: Sequence[State]) -> Floats:
        """Hidden states at the end of each state: float32 [n, layers * size]."""
        ...

    async def afeatures(self, states: Sequence[State]) -> Floats:
        """As `features`, without blocking the event loop."""
        ...


class Head:
    """The head's arithmetic alone: features in, probabilities out."""

    def __init__(self, folder: Path | str) -> None:
        """Load the two files of `folder`.

        Raises:
            ModelSpecError: A file is missing or does not hold a head, or the
                head was made for other weights than those beside it.
        """
        folder = Path(folder)
        try:
            self.config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
            tensors = load_file(str(folder / WEIGHTS_FILE))
            names = (*_TENSORS, *(_HIDDEN_TENSORS if "w1" in tensors else ()))
            self._tensors = {name: tensors[name].float() for name in names}
            self.layers = tuple(int(layer) for layer in self.config["layers"])
            self.numeric = tuple(self.config["numeric"])
            self.width = len(self.layers) * int(self.config["hidden_size"]) + len(self.numeric)
        except Exception as error:
            # safetensors raises its own types for broken files.
            raise ModelSpecError(f"cannot load a Q head from {folder}: {error!r}") from error
        self._check(folder)

    def _check(self, folder: Path) -> None:
        unknown = set(self.numeric) - set(NUMERIC_FEATURES)
        if unknown:
            raise ModelSpecError(f"the Q head in {folder} reads unknown features {sorted(unknown)}")
        taken = self._tensors.get("w1", self._tensors["w2"]).shape[-1]
        if taken != self.width:
            raise ModelSpecError(
                f"the Q head in {folder} takes {taken} inputs, "
                f"its {CONFIG_FILE} describes {self.width}"
            )
        weights = folder / "model.safetensors"
        expected = self.config.get("model_sha256")
        if expected and weights.is_file():
            found = hashlib.sha256(weights.read_bytes()).hexdigest()
            if found != expected:
                raise ModelSpecError(
                    f"the Q head in {folder} was made for other weights; train it again"
                )

    @property
    def reads_logprobs(self) -> bool:
        """Whether the policy's log-probabilities are among its inputs."""
        return not LOGPROB_FEATURES.isdisjoint(self.numeric)

    def inputs(self, hidden: Floats, pairs: Sequence[tuple[State, Any]]) -> Floats:
        """Hidden states and numeric features side by side: float32 [n, width]."""
        columns = [NUMERIC_FEATURES.index(name) for name in self.numeric]
        numeric = np.array(
            [np.asarray(step_features(state, step))[columns] for state, step in pairs],
            dtype=np.float32,
        ).reshape(len(pairs), len(columns))
        return np.concatenate([hidden, numeric], axis=1)

    def probabilities(self, inputs: Floats) -> list[float]:
        """Calibrated values in [0, 1], one per row of `inputs` [n, width]."""
        t = self._tensors
        with torch.inference_mode():
            x = (torch.from_numpy(inputs) - t["mean"]) / t["std"]
            if "w1" in t:
                x = torch.nn.functional.gelu(x @ t["w1"].T + t["b1"])
            logits = x @ t["w2"].reshape(1, -1).T + t["b2"]
            values: list[float] = torch.sigmoid(logits[:, 0] / t["temperature"]).tolist()
        return values


class HeadScorer:
    """A `StepScorer` that applies a `Head` to the policy's hidden states.

    A policy records the layers of one head. Heads that read other layers can take turns
    on it, which costs a reading of each state, but not in searches that run at once.
    """

    def __init__(
        self,
        policy: Policy,
        folder: Path | str,
        name: str = "q-head",
        *,
        texts_only: bool = False,
        writer: Policy | None = None,
    ) -> None:
        """Load the head of `folder` and have the policy record its layers.

        Args:
            policy: Whose hidden states the head reads.
            folder: Where the head lies.
            name: For reports.
            texts_only: Steps come from a model with another tokenizer: read their
                texts and not their token ids.
            writer: Whose steps are scored, and whose log-probabilities they have; the
                policy itself by default.

        Raises:
            ModelSpecError: The head cannot be loaded, or the policy gives no
                hidden states, or states of another size.
        """
        if not isinstance(policy, HiddenStatePolicy):
            raise ModelSpecError(
                "a Q head needs the local model it was trained on; "
                f"{type(policy).__name__} gives no hidden states"
            )
        self.head = Head(folder)
        self._policy = policy
        self._name = name
        self._texts_only = texts_only
        self._writer = writer or policy
        policy.feature_layers = self.head.layers

    @property
    def name(self) -> str:
        """A short name for reports."""
        return self._name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all candidates of all requests as one batch; nothing is generated.

        Raises:
            ModelError: The policy failed.
            ModelSpecError: The head reads log-probabilities, and the policy gives none.
        """
        requests = self._known(requests)
        states = self._prepared(requests)
        return self._scores(requests, self._policy.features(states) if states else None)

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, without blocking the event loop."""
        if self.head.reads_logprobs and lacking(requests):
            requests = await asyncio.to_thread(self._known, requests)
        states = self._prepared(requests)
        return self._scores(requests, await self._policy.afeatures(states) if states else None)

    def _known(self, requests: Sequence[ScoreRequest]) -> Sequence[ScoreRequest]:
        """The requests with all log-probabilities that the head reads."""
        if not self.head.reads_logprobs:
            return requests
        if isinstance(self._writer, ReadingPolicy):
            return reread(requests, self._writer)
        candidates = [step for request in requests for step in request.steps]
        before = (step for request in requests for step in request.state.steps)
        if candidates and not any(step.logprobs for step in (*candidates, *before)):
            raise ModelSpecError(
                f"{self._name} reads the policy's log-probabilities, and {self._writer.name} "
                "gives none; train one on labels without them, or choose another scorer"
            )
        return requests

    def _scores(self, requests: Sequence[ScoreRequest], hidden: Floats | None) -> list[Scores]:
        if hidden is None:
            return [Scores(()) for _ in requests]
        pairs = [(request.state, step) for request in requests for step in request.steps]
        inputs = self.head.inputs(hidden, pairs)
        if inputs.shape[1] != self.head.width:
            raise ModelSpecError(
                f"the Q head takes {self.head.width} inputs, this policy gives {inputs.shape[1]}"
            )
        values = iter(self.head.probabilities(inputs))
        return [Scores(tuple(next(values) for _ in request.steps)) for request in requests]

    def _prepared(self, requests: Sequence[ScoreRequest]) -> list[State]:
        """The states after the steps, and the policy told to give this head's layers."""
        if tuple(self._policy.feature_layers) != self.head.layers:
            self._policy.feature_layers = self.head.layers
        states = [request.state.then(step) for request in requests for step in request.steps]
        if not self._texts_only:
            return states
        return [
            State(each.question, each.messages, tuple(Step(step.text) for step in each.steps))
            for each in states
        ]
