"""A caller's model is given back as it was."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary


@dataclass(slots=True)
class _Loan:
    """How a model was before the first of some policies took it, and how many have it."""

    training: bool
    attention: str | None
    policies: int = 0


_lent: WeakKeyDictionary[Any, _Loan] = WeakKeyDictionary()
_lock = threading.Lock()


def borrow(model: Any) -> None:
    """Note how `model` is, unless another policy has it already, and put it in evaluation mode."""
    with _lock:
        loan = _lent.get(model)
        if loan is None:
            loan = _lent[model] = _Loan(bool(model.training), _attention(model))
        loan.policies += 1
        model.eval()


def give_back(model: Any) -> None:
    """Put `model` back as it was, when the last policy that has it gives it back."""
    with _lock:
        loan = _lent[model]
        loan.policies -= 1
        if loan.policies:
            return
        del _lent[model]
        if loan.attention is not None and _attention(model) != loan.attention:
            model.set_attn_implementation(loan.attention)
        model.train(loan.training)


def _attention(model: Any) -> str | None:
    """The name of a model's attention; there is no public getter."""
    return getattr(getattr(model, "config", None), "_attn_implementation", None)
