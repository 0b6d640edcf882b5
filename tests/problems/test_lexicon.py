"""English forms of the words that problems are made of."""

from __future__ import annotations

import pytest

from langchain_qstar.problems.lexicon import plural


@pytest.mark.parametrize(
    ("noun", "many"),
    [
        ("apple", "apples"),
        ("cherry", "cherries"),
        ("pink cherry", "pink cherries"),
        ("red brush", "red brushes"),
        ("white sheep", "white sheep"),
        ("old puppy", "old puppies"),
    ],
)
def test_only_the_noun_is_bent_not_its_colour(noun: str, many: str) -> None:
    assert plural(noun) == many
