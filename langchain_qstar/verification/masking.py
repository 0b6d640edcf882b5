"""Which beginnings of a candidate the verifier is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, floor
from random import Random
from typing import Final, Literal

MaskUnit = Literal["words", "steps"]

_WORD: Final = re.compile(r"\S+")
_ROUNDING: Final = 1e-9
"""What a product of a share and a count may exceed a whole number by, being a float."""


def shown(count: int, share: float) -> int:
    """How many of `count` pieces a share of them is, rounded up, and never all of them.

    A verifier that is shown the last piece is shown the answer. (The official code shows
    a candidate of one word whole.)

    >>> [shown(20, share) for share in (0.2, 0.3, 0.4, 0.5)]
    [4, 6, 8, 10]
    """
    return max(0, min(ceil(share * count - _ROUNDING), count - 1))


def word_prefix(text: str, share: float) -> str:
    """The beginning of `text` with that share of its words, as written, up to a word's end."""
    words = list(_WORD.finditer(text))
    kept = shown(len(words), share)
    return text[: words[kept - 1].end()] if kept else ""


def step_prefix(segments: Sequence[str], share: float) -> str:
    """The first steps, that share of them."""
    return "".join(segments[: shown(len(segments), share)])


def random_step_prefix(segments: Sequence[str], least: float, most: float, seed: int) -> str:
    """A random whole number of first steps, between two shares of them, by the seed.

    Where no whole number lies between, the one above `least`; never all of them.

    Source: rStar, section 3.3, 20 % to 80 %.
    """
    fewest = shown(len(segments), least)
    greatest = min(floor(most * len(segments) + _ROUNDING), len(segments) - 1)
    kept = Random(seed).randint(fewest, max(fewest, greatest))
    return "".join(segments[:kept])


def prefixes(
    segments: Sequence[str],
    *,
    unit: MaskUnit,
    masks: Sequence[float],
    random_mask: tuple[float, float] | None,
    seed: int,
) -> tuple[str, ...]:
    """What the verifier is shown of a candidate, a prefix a mask.

    Args:
        segments: The candidate, a piece a step.
        unit: Whether a mask is a share of the words or of the steps.
        masks: The shares, each in (0, 1).
        random_mask: Instead of `masks`, the shares between which one random mask lies.
        seed: The seed of that one.

    Returns:
        The prefixes, in the order of `masks`.
    """
    if random_mask is not None:
        return (random_step_prefix(segments, *random_mask, seed),)
    if unit == "steps":
        return tuple(step_prefix(segments, share) for share in masks)
    return tuple(word_prefix("".join(segments), share) for share in masks)
