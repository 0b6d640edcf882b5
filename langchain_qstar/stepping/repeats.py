"""Steps that say again what a path has said: models that loop write them for ever."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

REASON: Final = "repeats an earlier step"
"""Why such a step is closed."""

_LABEL: Final = re.compile(r"^(?:step|question|answer|hint)?\s*\d{0,3}\s*[.:)]\s*", re.IGNORECASE)
_SIGNS: Final = re.compile(r"[\s*_#>`$\\\[\](){}-]+")
_WORDS: Final = re.compile(r"[^\W\d_]{2,}")


def repeats(text: str, earlier: Iterable[str]) -> bool:
    """Whether a step says the same as one before it, but for labels, markup and space.

    A step of fewer than three words is never taken for a repetition: short lines such as
    `7 + 5 = 12` may be needed twice.
    """
    said = _said(text)
    if len(_WORDS.findall(said)) < 3:
        return False
    return any(said == _said(each) for each in earlier)


def _said(text: str) -> str:
    plain = _SIGNS.sub(" ", text).strip().casefold()
    return _LABEL.sub("", plain).strip()
