from __future__ import annotations

import pytest

from langchain_qstar.answers.markers import announced, conclusion, until_closed


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("The answer is 5.", " 5."),
        ("The answer is 4. No, the answer is 5.", " 5."),
        ("work\n#### 7", " 7"),
        ("work\nA: 7", " 7"),
        (r"So \boxed{a{b}c} it is", "a{b}c"),
        ("An answer", None),
        ("", None),
    ],
)
def test_what_follows_the_last_marker_is_announced(text, rest):
    assert announced(text) == rest


def test_thoughts_and_the_next_turn_do_not_count():
    assert conclusion("<think>The answer is 4.</think>5<|im_end|>6") == "5"
    assert announced("<think>The answer is 4.</think>It is 5.") is None


def test_a_brace_closes_the_one_before_the_text():
    assert until_closed("a{b}c}d") == "a{b}c"
    assert until_closed("a{b") == "a{b"
