"""Steps that say again what a path has said: models that loop write them for ever."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

REASON: Final = "repetition of an earlier step"
"""Why such a step is closed."""

_LABEL: Final = re.compile(r"^(?:step|question|answer|hint|schritt)?\s*\(?\d{0,3}\s*[.:)]\s*")
_COMMAND: Final = re.compile(r"\\[a-z]+|\\.")
_SIGNS: Final = re.compile(r"[\s*_#>`$\\{}]+")
_BULLET: Final = re.compile(r"^[-+•] ")
_FEWEST: Final = 3
_WORDS: Final = re.compile(r"[^\W\d_\u3040-\u9fff]{2,}|[\u3040-\u9fff]{2}")
"""Words of two letters and more; in scripts without spaces two signs are one."""


def repeats(text: str, earlier: Iterable[str]) -> bool:
    """Whether a step says the same as one before it, but for labels, markup and space.

    A step of fewer than three words, commands of LaTeX aside, is never taken for a
    repetition: short lines such as `7 + 5 = 12` may be needed twice.
    """
    said = _said(text)
    if len(_WORDS.findall(_COMMAND.sub(" ", text))) < _FEWEST:
        return False
    return any(said == _said(each) for each in earlier)


def _said(text: str) -> str:
    plain = _SIGNS.sub(" ", text).strip().casefold()
    return _LABEL.sub("", _BULLET.sub("", plain)).strip()
