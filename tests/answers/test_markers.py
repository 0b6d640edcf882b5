from __future__ import annotations

from langchain_qstar.answers.markers import conclusion


def test_thoughts_and_the_next_turn_do_not_count():
    assert conclusion("<think>The answer is 4.</think>5<|im_end|>6") == "5"
