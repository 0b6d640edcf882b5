"""Every exception this package raises on purpose.

The tree of classes::

    QStarError                    anything below
    ├── InputError                what the caller passed cannot be used (exit code 2)
    │   ├── QuestionError         empty, binary or over-long question
    │   ├── SettingsError         unknown setting, value out of range, impossible budget
    │   ├── ModelSpecError        a model that cannot be found or is not understood
    │   ├── MissingExtraError     an optional dependency is not installed
    │   ├── GrammarError          a grammar or JSON schema that cannot be enforced
    │   ├── ThreadError           a thread holds what this call cannot go on with
    │   ├── DecisionError         a decision about steps that were not asked about, or unreadable
    │   ├── LabelError            a file of questions or labels that cannot be used
    │   └── PromptError           a prompt file with an unknown or missing hole
    ├── ModelError                a model failed while it was running (exit code 1)
    ├── CheckpointError           the store of the checkpoints failed (exit code 1)
    └── CheckError                a check failed while it was running (exit code 1)

and two warnings: `OffloadWarning`, a GPU was asked for and cannot be used; `UnguidedWarning`,
a search cannot be guided as it would be by default.

Each message is one line that says what to do. Model *output* never raises: an
output that does not parse is data (see `Solution.stopped`).
"""

from __future__ import annotations

from typing import Final


class QStarError(Exception):
    """Base of all errors raised by `langchain_qstar`."""

    exit_code: int = 1


class InputError(QStarError):
    """The caller's input cannot be used; the message says what to change."""

    exit_code = 2


class QuestionError(InputError, ValueError):
    """The question is empty, not text, or longer than the model's window."""


class SettingsError(InputError, ValueError):
    """A setting is unknown, out of range, or contradicts another."""


class ModelSpecError(InputError, ValueError):
    """A model string, path or object cannot be resolved to a model."""


class PromptError(InputError, ValueError):
    """A prompt file is missing, or a hole in it is unknown or unfilled."""


class GrammarError(InputError, ValueError):
    """A grammar, JSON schema or tool does not say what a model may write."""


class LabelError(InputError, ValueError):
    """A file of questions or labels is damaged, or belongs to another model."""


class ThreadError(InputError, ValueError):
    """A thread holds another search, another graph or another version, or is spent."""


class DecisionError(InputError, ValueError):
    """A person's decision names an unknown step, or cannot be read."""


class MissingExtraError(InputError, ImportError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the missing `package` and the `extra` that brings it."""
        super().__init__(f"{package} is not installed; run: pip install 'langchain-qstar[{extra}]'")
        self.package: Final = package
        self.extra: Final = extra


class ModelError(QStarError, RuntimeError):
    """A model failed while generating or scoring; the cause is chained."""


class OffloadWarning(UserWarning):
    """Layers were to go to a GPU, and everything is computed on the CPU instead."""


class UnguidedWarning(UserWarning):
    """A policy gives no log-probabilities, so steps are ranked by something weaker."""


class CheckpointError(QStarError, RuntimeError):
    """The store of the checkpoints failed or has gone; the cause is chained."""


class CheckError(QStarError, RuntimeError):
    """A check returned what is no verdict, or its process cannot be started."""
