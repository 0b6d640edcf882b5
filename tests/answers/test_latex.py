from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.latex import final_latex, guess_latex, stated_latex, states_latex

PILE = "\\begin{pmatrix}\n1\n\\end{pmatrix}"


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
        (r"\boxed{}", None),
        (r"So it is $\boxed{}$.", None),
        ("", None),
    ],
)
def test_the_answer_is_in_the_last_box_marker_or_formula(text, answer):
    assert final_latex(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{}", None),
        (r"The answer is \boxed{\boxed{5}}", "5"),
        (r"The answer is \fbox{5}", "5"),
        ("#### Step 1: Count the boxes\nThe answer is 42.\n", "42"),
        ("The final answer is:\n\n$\\boxed{42}$\n", "42"),
        ("The answer is\n\\[\n\\frac{1}{2}\n\\]\n", r"\frac{1}{2}"),
        ("The answer is \\[\\begin{pmatrix}\n1\n\\end{pmatrix}\\]", PILE),
        ("The answer is:\n\\begin{pmatrix}\n1\n\\end{pmatrix}\n", PILE),
        ("The answer is \\[\\begin{pmatrix}\n", None),
        ("### Final Answer\n$x=5$\n", "x=5"),
        ("#### 72", "72"),
        ("Answer: 5 apples", "5 apples"),
        ("We add.\nAnswer: Monday", "Monday"),
        ("The answer is $10,455.", "$10,455"),
        (r"The answer is $x \in [0,1]$, as shown in $y$.", r"x \in [0,1]"),
        ("The answer is $5$. The answer is $6$.", None),
        (r"The answer is $\frac12$. So the answer is $0.5$.", "0.5"),
        (r"The answer is $\dfrac{1}{x}$. So the answer is $\frac{1}{x}$.", r"\frac{1}{x}"),
        ("We add.\nAnswer: Let us compute the sum.", None),
        ("We add.\nAnswer: Tom has 3 bags.", None),
        ("#### Solution", None),
        ("It is $5$.", None),
    ],
)
def test_markers_come_before_boxes_and_a_solution_without_either_states_nothing(text, answer):
    assert stated_latex(text) == answer
    assert states_latex(text) is (answer is not None or text.count("answer is $") == 2)


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("We add $2$ and $3$.\nIt is $5$.", "5"),
        ("The sum of $2$ and $3$ is $5$.", None),
        ("We add. Therefore, it is 2/3.", "2/3"),
        ("It is unknown.", None),
        ("", None),
    ],
)
def test_the_only_formula_of_the_last_sentence_is_a_guess(text, guess):
    assert guess_latex(text) == guess


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
