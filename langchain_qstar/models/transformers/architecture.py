"""Which way of holding branches a model allows: tried out, not looked up in a list.

Tree attention is right for a model when its layers hold nothing but keys and
values of every token, and attention is a plain function of them. Names say
little about that, so a few tokens are read both ways and compared. What is
wrong under tree attention gets a cache for every branch, which is compared too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.transformers.branches import Branches
from langchain_qstar.models.transformers.forked_rows import ForkedRows
from langchain_qstar.models.transformers.forward import CausalModel, Chain, Fork
from langchain_qstar.models.transformers.tree_attention import NAME
from langchain_qstar.models.transformers.tree_rows import Shape, TreeRows

_PATH: Final = (7, 3, 5, 2, 6)
_PARTED: Final = 3
"""The path is read in two segments, of 3 and 2 tokens."""

_BRANCHES: Final = ((4, 9, 8), (8, 4, 3))

_EXACT: Final = 1e-3
_ROUNDED: Final = 0.1
"""Most difference of logits, as a share of the largest one, in 32 bits and in fewer."""


def branches_for(model: CausalModel) -> Branches:
    """The fastest way that gives the logits of a plain forward pass.

    Raises:
        ModelSpecError: None does.
    """
    with torch.inference_mode():
        expected = [_plain(model, [*_PATH, *branch]) for branch in _BRANCHES]
        shape = _tree_shape(model)
        if shape is not None and _with_tree_attention(model, shape, expected):
            return TreeRows(model, shape)
        for continues in (True, False):
            if _agrees(ForkedRows(model, continues=continues), expected, _allowed(model)):
                return ForkedRows(model, continues=continues)
    kind = type(model.model).__name__
    raise ModelSpecError(
        f"{kind} does not continue from its own cache; serve it elsewhere and pass a "
        "LangChain chat model"
    )


def _plain(model: CausalModel, ids: Sequence[int]) -> torch.Tensor:
    """Logits of the last token in one pass over everything, [vocabulary]."""
    ids_, positions = model.indices([each % model.vocabulary for each in ids], range(len(ids)))
    return model(ids_[None], positions[None], _empty_cache(model)).logits[0, -1]


def _empty_cache(model: CausalModel) -> DynamicCache:
    return DynamicCache(config=model.model.config)


def _tree_shape(model: CausalModel) -> Shape | None:
    """The shape of keys and values, or None where tree attention cannot hold them."""
    implementation = getattr(model.model.config, "_attn_implementation", None)
    if implementation not in ("sdpa", NAME) or not model.takes_positions:
        return None
    cache = _empty_cache(model)
    ids, positions = model.indices([1], [0])
    model(ids[None], positions[None], cache)
    sizes = set()
    for layer in cache.layers:
        if type(layer) is not DynamicLayer or layer.keys is None or layer.values is None:
            return None
        keys, values = layer.keys, layer.values
        if keys.device != model.device:
            return None
        sizes.add((keys.shape[1], keys.shape[3], values.shape[3], keys.dtype))
    if len(sizes) != 1:
        return None
    return Shape(len(cache.layers), *sizes.pop())


def _with_tree_attention(
    model: CausalModel, shape: Shape, expected: Sequence[torch.Tensor]
) -> bool:
    """Switch the model to tree attention if that gives what is expected."""
    before = model.model.config._attn_implementation  # noqa: SLF001  # there is no public getter
    model.model.set_attn_implementation(NAME)
    right = False
    try:
        right = _agrees(TreeRows(model, shape), expected, _allowed(model))
    except Exception:  # noqa: BLE001  # whatever goes wrong, there is another way
        right = False
    finally:
        if not right:
            model.model.set_attn_implementation(before)
    return right


def _allowed(model: CausalModel) -> float:
    return _EXACT if model.dtype in (torch.float32, torch.float64) else _ROUNDED


def _agrees(branches: Branches, expected: Sequence[torch.Tensor], allowed: float) -> bool:
    """Whether branches below a path that was read in parts give the expected logits."""
    model_path = [_PATH[:_PARTED], _PATH[_PARTED:]]
    first = branches.read([Chain([], 0, model_path[:1])], scored=False)[0].segments[0].kept
    second = branches.read([Chain([first], _PARTED, model_path[1:])], scored=False)[0]
    path = [first, second.segments[0].kept]
    # A limit of 1, so that they share a slot.
    branches.join([Fork(path, len(_PATH), len(_BRANCHES), 1)])
    for tokens in zip(*_BRANCHES, strict=True):
        logits = branches.advance(tokens).logits
    branches.reset()
    return all(
        bool((mine - other).abs().max() <= allowed * other.abs().max())
        for mine, other in zip(logits, expected, strict=True)
    )
