from __future__ import annotations

import pytest

from langchain_qstar.tasks.prompted import has_answer_line


@pytest.mark.parametrize(
    "text",
    [
        "So, the answer is 5",
        "the final answer: 3",
        "2+3=5\n- **The answer is 5.**",
        "#### 5",
        "it is \\boxed{3}",
        "(Therefore: answer is 3)",
        "So,\nthe answer is 5",
    ],
)
def test_a_line_that_states_the_answer_is_found(text):
    assert has_answer_line(text)


@pytest.mark.parametrize("text", ["", "I think the answer is near", "answers: 3", "5"])
def test_other_lines_state_none(text):
    assert not has_answer_line(text)


@pytest.mark.parametrize("sign", ["\x00\u202e\n", "\n", " ", "*", "- \n"])
def test_a_text_of_nothing_but_signs_is_read_at_once(sign):
    # With work that grows faster than the text this does not end.
    assert not has_answer_line(sign * 20_000)
