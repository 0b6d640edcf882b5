from __future__ import annotations

import pytest

from langchain_qstar.tasks import TASKS
from langchain_qstar.tasks.prompted import asked_with

PROMPTED = {name: task for name, task in TASKS.items() if name != "nano"}
EVERY = pytest.mark.parametrize("task", PROMPTED.values(), ids=PROMPTED)


def test_a_task_is_asked_with_the_prompt_of_its_name():
    ((role, content),) = asked_with("gsm8k")("How many?")
    assert role == "user"
    assert "How many?" in content


@EVERY
@pytest.mark.parametrize(
    "text",
    [
        "The answer is unknown.\n",
        "So, the final answer is unclear to me.\n",
        "It follows. The answer is hard to say.\n",
        r"\boxed{\text{nothing}}",
    ],
)
def test_a_sentence_that_states_no_answer_that_can_be_read_ends_a_solution_too(task, text):
    assert task.is_terminal(f"Let us see.\n{text}")


@EVERY
@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is\n",
        "The final answer is:\n\n",
        "The final answer is:\n\\[\n",
        "Final answer:\n",
        "### Answer\n",
        "Answer: Let us compute this. First, we add the two.\n",
        "Answer:\nLet us compute this. First, we add the two.\n",
        "#### Step 1: Count the boxes\n",
        "### Step 4: Find the final answer\n",
        "#### 1. Count the boxes\n",
        "The answers are 3.\n",
        "The answer is not known yet.\n",
        "The answer is as follows:\n",
        r"Put it in \boxed{}.",
        "\\boxed{\n",
    ],
)
def test_a_marker_that_states_nothing_yet_ends_no_solution(task, text):
    assert not task.is_terminal(text)
    assert task.answer(text) is None


@EVERY
def test_what_is_said_about_an_answer_is_no_statement_of_it(task):
    assert not task.is_terminal("Check that the answer is B, yes, or 5.\n")


@EVERY
@pytest.mark.parametrize("sign", ["\x00\u202e\n", "\n", " ", "*", "- \n", "#", "$", "\\boxed{"])
def test_a_text_of_nothing_but_signs_is_read_at_once(task, sign):
    # With work that grows faster than the text this does not end.
    text = sign * (10**6 // len(sign))
    for read in (task.is_terminal, task.read, task.gold):
        read(text)
