"""Plain texts are read as kindly as the literature does."""

import pytest


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \(\boxed{50000}\). That was 3 steps.", "50000"),
        (r"first \boxed{1}, then \boxed{1,250\text{ dollars}}", "1250"),
        (r"he pays \boxed{x = 12}", "12"),
        (r"The answer is 7. I put it in \boxed{}.", "7"),
        ("The answer is 5.\n\nWait, 3 more: the answer is $8.50.", "8.5"),
        ("Answer: 42 apples", "42"),
        ("#### 1,000", "1000"),
        ("She has 3 bags of 4, so 12 apples.", "12"),
        ("it falls to -3 degrees", "-3"),
        ("The answer is unclear. She paid $20.", "20"),
        ("no number at all", None),
        ("", None),
    ],
)
def test_the_box_counts_then_what_is_called_the_answer_then_the_last_number(text, answer):
    from real_models.plain_answers import plain_answer

    assert plain_answer(text) == answer
