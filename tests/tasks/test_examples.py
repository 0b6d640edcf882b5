from __future__ import annotations

import pytest

from langchain_qstar.errors import PromptError
from langchain_qstar.tasks.examples import Example, Examples, read_examples

TWO = """\
Question: Who
is it?
Answer:
A man.

No, a dog.
The answer is 1.



Question: {why}?
Answer:
The answer is 2.

"""


def test_examples_are_pairs_with_the_labels_of_their_file(folder):
    folder(examples=TWO)
    found = read_examples("examples", folder())
    assert found == Examples(
        (
            Example("Who\nis it?", "A man.\n\nNo, a dog.\nThe answer is 1."),
            Example("{why}?", "The answer is 2."),
        ),
        ("Question", "Answer"),
    )


@pytest.mark.parametrize(
    ("shots", "text"),
    [
        (0, "Q: b?\nA:"),
        (1, "Q: a?\nA:\nOne.\nTwo.\n\n\nQ: b?\nA:"),
    ],
)
def test_a_completion_breaks_off_where_the_solution_begins(shots, text):
    examples = Examples((Example("a?", "One.\nTwo."), Example("c?", "Three.")), ("Q", "A"))
    assert examples.completion("b?", shots) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "example 1 is not written as"),
        ("Problem: a?\nSolution: 3", "example 1 is not written as"),
        ("Problem: a?\nSolution:\n3\n\n\nWhat is b?", "example 2 is not written as"),
        ("Problem: a?\nSolution:\n3\n\n\nQuestion: b?\nSolution:\n3", "the same two labels"),
        ("Problem: {{question}}\nSolution:\n3", r"nothing fills the hole \{\{question\}\}"),
    ],
)
def test_what_is_no_example_is_one_line_that_names_it(folder, text, says):
    folder(examples=text)
    with pytest.raises(PromptError, match=says) as caught:
        read_examples("examples", folder())
    assert "examples.txt" in str(caught.value)
    assert "\n" not in str(caught.value)
