"""What every check refuses to read: text that shows something else than it holds."""

from __future__ import annotations

import unicodedata


def hidden(text: str) -> str:
    """Why the text cannot be trusted to read as it looks, or nothing.

    Control characters, marks that reorder text, characters without a width, and
    halves of characters.
    """
    if text.isascii() and text.isprintable():
        return ""
    for character in text:
        category = unicodedata.category(character)
        if category in ("Cf", "Cs", "Co") or (category == "Cc" and character not in "\n\r\t"):
            return f"holds the hidden character U+{ord(character):04X}"
    return ""
