"""The hidden states of labelled steps, read once and kept.

A pass over all rollouts of some hundred questions takes hours with a real model on a CPU. So
what was read of a question is written as soon as it is there: a training that was
interrupted, or another one with other settings, reads only what is missing. Steps that have
no log-probabilities get them in the same pass.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from langchain_qstar.errors import LabelError, ModelError, ModelSpecError, SettingsError
from langchain_qstar.protocols import Policy
from langchain_qstar.scoring.identity import difference
from langchain_qstar.scoring.q_head import HiddenStatePolicy
from langchain_qstar.training.examples import Example
from langchain_qstar.training.rescoring import rescored

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"

ABOUT_FILE: Final = "policy.json"
"""Whose hidden states a folder keeps."""

_READ_TOGETHER: Final = 512
"""States whose hidden states are read by one call."""


@dataclass(frozen=True)
class HiddenStates:
    """Reads hidden states of a policy, and keeps them in a folder.

    Attributes:
        policy: Whose they are; its `feature_layers` are set.
        layers: Those that are read.
        folder: Where they are kept; None keeps nothing.
    """

    policy: HiddenStatePolicy
    layers: tuple[int, ...]
    folder: Path | None = None

    @classmethod
    def open(
        cls,
        policy: HiddenStatePolicy,
        layers: Sequence[int],
        folder: Path | None,
        identity: dict[str, Any],
    ) -> HiddenStates:
        """Choose the layers, and look whose hidden states `folder` keeps.

        Args:
            policy: See the class.
            layers: Those to read; none for the middle and the last one, or for the last
                alone where the policy shows no other.
            folder: New, or one that was used before.
            identity: Of the policy.

        Raises:
            ModelSpecError: The policy does not show these layers.
            LabelError: The folder keeps those of another policy.
            SettingsError: The folder cannot be written.
        """
        chosen = _choose(policy, tuple(layers))
        if folder is not None:
            _claim(folder, identity)
        return cls(policy, chosen, folder)

    def read(self, example: Example) -> tuple[Example, Floats]:
        """The example with all log-probabilities, and the states after its rows [n, d].

        Raises:
            ModelError: The policy failed.
        """
        file = self._file(example)
        if file is not None and (known := _known(file, example)) is not None:
            return known
        if tuple(self.policy.feature_layers) != self.layers:
            self.policy.feature_layers = self.layers
        whole = example
        if isinstance(self.policy, Policy):
            whole = replace(example, labelled=rescored(example.labelled, example.task, self.policy))
        after = [request.state.then(request.steps[0]) for request in whole.requests]
        hidden = np.concatenate(
            [
                self.policy.features(after[start : start + _READ_TOGETHER])
                for start in range(0, len(after), _READ_TOGETHER)
            ]
        )
        if file is not None:
            _keep(file, whole, hidden)
        return whole, hidden

    def keep(self, example: Example, hidden: Floats) -> None:
        """Keep hidden states that are known from elsewhere, such as from the drawing of the steps.

        Args:
            example: With all log-probabilities.
            hidden: The states after its rows, float32 [n, d].
        """
        if file := self._file(example):
            _keep(file, example, hidden)

    def _file(self, example: Example) -> Path | None:
        if self.folder is None:
            return None
        of = [
            list(self.layers),
            example.task.messages(example.labelled.question),
            example.labelled.to_json(),
        ]
        digest = hashlib.sha256(json.dumps(of).encode("utf-8", "surrogatepass"))
        return self.folder / f"{digest.hexdigest()[:32]}.npz"


def _choose(policy: HiddenStatePolicy, layers: tuple[int, ...]) -> tuple[int, ...]:
    if layers:
        _show(policy, layers)
        return tuple(policy.feature_layers)
    usual = tuple(policy.feature_layers)
    try:
        _show(policy, usual)
    except ModelSpecError:
        _show(policy, usual[-1:])
    return tuple(policy.feature_layers)


def _show(policy: HiddenStatePolicy, layers: tuple[int, ...]) -> None:
    try:
        policy.feature_layers = layers
    except ModelError as error:  # an engine wraps what its thread says
        if isinstance(error.__cause__, ModelSpecError):
            raise error.__cause__ from None
        raise


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    about = folder / ABOUT_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not about.exists():
            about.write_text(json.dumps(identity) + "\n", encoding="utf-8")
            return
        known = json.loads(about.read_text("utf-8"))
        other = difference(identity, known)
    except OSError as error:
        raise SettingsError(f"cannot write to {folder}: {error.strerror or error}") from None
    except (ValueError, AttributeError, KeyError, TypeError):
        raise LabelError(f"{about} is damaged; delete the folder {folder}") from None
    if other:
        raise LabelError(
            f"{folder} keeps the hidden states of another policy; it differs in {other}"
        )


def _known(file: Path, example: Example) -> tuple[Example, Floats] | None:
    """What was kept; None where there is nothing, or nothing whole."""
    try:
        with file.open("rb") as opened, np.load(opened) as kept:
            hidden, flat, counts = kept["hidden"], kept["logprobs"], kept["counts"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    ends = np.cumsum(counts)
    steps = tuple(
        replace(step, logprobs=tuple(map(float, flat[end - count : end])))
        for step, end, count in zip(example.labelled.steps, ends, counts, strict=True)
    )
    return replace(example, labelled=replace(example.labelled, steps=steps)), hidden


def _keep(file: Path, example: Example, hidden: Floats) -> None:
    """Write all of a file or nothing: a kill leaves no half of one."""
    steps = example.labelled.steps
    part = file.with_suffix(".part")
    with part.open("wb") as opened:
        np.savez(
            opened,
            hidden=hidden,
            logprobs=np.array([value for step in steps for value in step.logprobs]),
            counts=np.array([len(step.logprobs) for step in steps], dtype=np.int64),
        )
    part.replace(file)
