"""Any text as JSON that PostgreSQL takes, and back.

Its type `jsonb` refuses the character NUL and lone surrogates, which a model may write. They
are stored as four hexadecimal digits after the character SUB, and so is SUB. A text without
these three, as good as any, is stored as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

MARK: Final = "\x1a"

_REFUSED: Final = re.compile(f"[\0{MARK}\ud800-\udfff]")
_STORED: Final = re.compile(f"{MARK}([0-9a-f]{{4}})")
_PERHAPS: Final = re.compile(r"\\u(?:0000|001a|d[89a-f])")
"""What JSON with such a character has in it; pairs of surrogates are found too."""


def dumps(value: Any) -> str:
    """As `json.dumps`, for a parameter of the type jsonb."""
    text = json.dumps(value)
    return json.dumps(_mapped(value, _marked)) if _PERHAPS.search(text) else text


def loads(data: str | bytes) -> Any:
    """The value that `dumps` was given, from what PostgreSQL gives back."""
    value = json.loads(data)
    marked = b"\\u001a" in data if isinstance(data, bytes) else "\\u001a" in data
    return _mapped(value, _unmarked) if marked else value


def _marked(text: str) -> str:
    return _REFUSED.sub(lambda found: f"{MARK}{ord(found[0]):04x}", text)


def _unmarked(text: str) -> str:
    return _STORED.sub(lambda found: chr(int(found[1], 16)), text)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_mapped(key, change): _mapped(each, change) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(each, change) for each in value]
    return value
