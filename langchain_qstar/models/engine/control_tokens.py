"""Text that spells a control token stays text: nobody's words open or close a turn.

A tokenizer that reads `<|im_end|>` in a rendered chat as the end of a turn does so in a question,
a passage or a tool's result as well. Before a chat is rendered, such spellings in its contents
are replaced by characters that no text of it has; afterwards each is encoded in two pieces,
neither of which spells a control token. The model reads the same characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

Encode = Callable[[str], Sequence[int]]

_PRIVATE: Final = range(0xF0000, 0xFFFFE)
"""Characters that mean nothing, as Unicode has them."""

_OURS: Final = frozenset({"role", "type"})
"""Fields of messages that no foreign text stands in."""


def control_tokens_of(tokenizer: Any) -> list[str]:
    """How a tokenizer, of transformers or of a GGUF file, spells its control tokens."""
    if (own := getattr(tokenizer, "control_tokens", None)) is not None:
        return list(own)
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = [str(each.content) for each in added if each.special]
    return [*special, *map(str, getattr(tokenizer, "all_special_tokens", ()))]


class ControlTokens:
    """The control tokens of a tokenizer, by how they are spelled."""

    def __init__(self, names: Sequence[str]) -> None:
        """Know `names`; those of a single character are left out, for a text may hold them."""
        longest = sorted({name for name in names if len(name) > 1}, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, longest))) if longest else None

    def __contains__(self, text: str) -> bool:
        """Whether `text` spells one somewhere."""
        return self._spelled is not None and self._spelled.search(text) is not None

    def ids(self, text: str, encode: Encode) -> tuple[int, ...]:
        """`text`, all of it foreign, as `encode` reads it but without control tokens."""
        if self._spelled is None or text not in self:
            return tuple(encode(text))
        pieces, end = [], 0
        for found in self._spelled.finditer(text):
            pieces += [text[end : found.start()], *self._broken(found[0])]
            end = found.end()
        return tuple(token for piece in (*pieces, text[end:]) if piece for token in encode(piece))

    def spaced(self, text: str) -> str:
        """`text` with a space inside each spelling, for readers whose tokenizer is not ours."""
        while self._spelled is not None and text in self:
            text = self._spelled.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
        return text

    def hide(self, values: Any) -> tuple[Any, dict[str, str]]:
        """`values` with a character in place of each spelling, and what the characters stand for.

        Args:
            values: Messages or tools, of JSON types.
        """
        if self._spelled is None or not any(text in self for text in _texts(values)):
            return values, {}
        known = set("".join(_texts(values)))
        free = (chr(code) for code in _PRIVATE if chr(code) not in known)
        by_name: dict[str, str] = {}

        def one(found: re.Match[str]) -> str:
            if found[0] not in by_name:
                by_name[found[0]] = next(free)
            return by_name[found[0]]

        spelled = self._spelled
        hidden = _mapped(values, lambda text: spelled.sub(one, text))
        return hidden, {character: name for name, character in by_name.items()}

    def shown(self, text: str, hidden: Mapping[str, str], encode: Encode) -> tuple[int, ...]:
        """A rendered chat as tokens: control tokens are those that the template wrote.

        Args:
            text: As it was rendered.
            hidden: What `hide` returned.
            encode: Reads control tokens.
        """
        if not hidden:
            return tuple(encode(text))
        for character in hidden:  # templates may write a tool's arguments as escaped JSON
            text = text.replace(json.dumps(character)[1:-1], character)
        parts = re.split(f"([{''.join(hidden)}])", text)
        pieces = [
            piece
            for part in parts
            for piece in (self._broken(hidden[part]) if part in hidden else [part])
        ]
        return tuple(token for piece in pieces if piece for token in encode(piece))

    def _broken(self, name: str) -> list[str]:
        """The spelling of a control token in two pieces that spell none."""
        for place in range(1, len(name)):
            halves = [name[:place], name[place:]]
            if not any(half in self for half in halves):
                return halves
        return list(name)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key not in _OURS:
                yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: each if key in _OURS else _mapped(each, change) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(each, change) for each in value]
    return value
