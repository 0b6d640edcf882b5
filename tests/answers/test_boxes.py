from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.boxes import boxes, last_box, until_closed


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"\boxed{5}", ["5"]),
        (r"\boxed{\frac{1}{2}} and \fbox{2}", [r"\frac{1}{2}", "2"]),
        (r"\boxed{\boxed{5}}", ["5"]),
        (r"\boxed{ \fbox{\boxed{5}} }", ["5"]),
        (r"\boxed{\boxed{5} apples}", [r"\boxed{5} apples"]),
        ("\\boxed{\n5\n}", ["5"]),
        (r"\boxed 7", ["7"]),
        (r"\boxed 42.", ["42"]),
        (r"\boxed{3", ["3"]),
        ("\\boxed{\n", []),
        (r"\boxed{\begin{pmatrix}", []),
        (r"\boxed{}", []),
        (r"\boxed{ \text{ } }", []),
        (r"\boxed{...}", []),
        (r"\boxed{5} or \boxed{}", ["5"]),
        ("boxed{5}", []),
        ("", []),
    ],
)
def test_boxes_that_hold_something_are_found(text, contents):
    assert [box.content for box in boxes(text)] == contents
    assert last_box(text) == (contents[-1] if contents else None)


def test_a_box_knows_its_place():
    (box,) = boxes(r"So \boxed{5}.")
    assert (box.start, box.end) == (3, 12)


def test_a_brace_closes_the_one_before_it():
    assert until_closed("a{b}c}d") == "a{b}c"
    assert until_closed("a{b") == "a{b"


@given(st.text(alphabet="\\boxed{} 5\n", max_size=60))
def test_no_text_makes_reading_fail(text):
    boxes(text)
