"""The product beside the better plain prompt."""

import pytest


def rows(*right, tokens=100):
    return [{"id": n, "right": bool(each), "tokens": tokens} for n, each in enumerate(right)]


def test_the_product_is_compared_with_the_better_prompt_question_by_question():
    from real import compared

    plain = {"few_shot": rows(0, 0, 1, 0), "zero_shot": rows(1, 1, 0, 0, tokens=300)}
    figures = compared("svamp", rows(1, 0, 0, 0), plain)
    assert figures["svamp_greedy"] == figures["svamp_few_shot"] == 1 / 4
    assert figures["svamp_plain"] == figures["svamp_zero_shot"] == 2 / 4
    assert figures["tokens_svamp_plain"] == 300
    assert figures["svamp_difference"] == -1 / 4  # -1 on the second question, else 0
    assert figures["low_svamp_difference"] <= -1 / 4 <= figures["high_svamp_difference"] <= 0


def test_one_side_alone_has_no_difference():
    from real import compared

    assert "svamp_difference" not in compared("svamp", rows(1), {})
    assert "svamp_difference" not in compared("svamp", [], {"few_shot": rows(1)})


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("The answer is 12.", True),
        ("He has 3 bags with 4 in each. The answer is 12.", True),
        ("3 * 4 is 12. The answer is 12.", False),
        (r"\[ 3 \text{ bags} \times 4 = 12 \]", False),
        (r"3 \times 4", False),
    ],
)
def test_an_answer_is_bare_without_a_calculation(text, bare):
    from real import is_bare

    assert is_bare({"answer": "12", "text": text}) is bare


def test_what_has_no_answer_is_not_bare_but_unparsed():
    from real import is_bare

    assert not is_bare({"answer": None, "text": "I do not know."})
