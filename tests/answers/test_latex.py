from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.latex import final_latex


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So it is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"First \boxed{3}. That was wrong, and so it is \boxed{4}.", "4"),
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"$$\boxed{(2, 2)} \quad \text{and} \quad \boxed{(6, 2)}$$", "(2, 2), (6, 2)"),
        (r"\boxed{1} no no no no no no \boxed{2}", "2"),
        (r"\boxed 7", "7"),
        (r"\boxed{200} was the first. Final Answer: The final answer is $10,455$.", "10,455"),
        ("The answer is $x \\leq 5$.", r"x \leq 5"),
        ("The final answer is $7$. I hope it is correct.", "7"),
        ("Final Answer: The largest $n$ is 34.", "34"),
        ("Answer: $p = 1$ and $p = 2$.", "p = 1, p = 2"),
        (r"The answer is \frac{3}{4}.", r"\frac{3}{4}"),
        ("<think>It is $5$.</think>The answer is $6$.", "6"),
        ("We add. Therefore, the probability is 2/3. <|im_start|>user", "2/3"),
        ("We find that $x \\neq 3$.", r"x \neq 3"),
        (r"\frac{6\sqrt{3}}{5}", r"\frac{6\sqrt{3}}{5}"),
        (r"\boxed{3", "3"),
        ("It is unknown", None),
        ("", None),
    ],
)
def test_the_answer_is_in_the_last_box_marker_or_formula(text, answer):
    assert final_latex(text) == answer


def test_an_answer_is_bounded():
    assert len(final_latex("The answer is " + "1" * 5000) or "") <= 2000


@given(st.text(alphabet="ab1 .$\\{}[]()boxed\n=,", max_size=80))
def test_no_text_makes_reading_fail(text):
    final_latex(text)


@pytest.mark.parametrize(
    "unit", ["\\boxed{", "$", "$a$ ", "\\[", "answer is ", "so ", "{", "a. ", "\n", " "]
)
def test_megabytes_are_read_in_bounded_time(unit):
    final_latex(unit * (10**6 // len(unit)))
