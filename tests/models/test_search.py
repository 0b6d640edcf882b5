"""A search over a real local model, untrained: what it says is noise, but always the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.chains import QStarChain
from langchain_qstar.errors import QuestionError
from langchain_qstar.solution import Solution
from langchain_qstar.tasks import get_task

TASK = replace(get_task("nano"), step_tokens=8, solution_tokens=24)
SETTINGS = {"num_samples": 3, "max_pops": 12, "temperature": 1.0}


@pytest.fixture
def search(policy):
    return QStarChain(policy, task=TASK, settings=SETTINGS)


def grown(solution: Solution) -> object:
    """All but the numbers: sums of floats depend on the shape of the batch, in the last digits."""
    return [(node.id, node.text, node.popped) for node in solution.tree], solution.answer


def test_the_same_seed_grows_the_same_tree_and_another_seed_another(search: QStarChain):
    first = search.invoke("2 + 3?", seed=1)
    assert grown(search.invoke("2 + 3?", seed=1)) == grown(first)
    assert grown(search.invoke("2 + 3?", seed=2)) != grown(first)
    assert len(first.tree) > 12


def test_a_tree_does_not_depend_on_what_else_is_in_the_batch(search: QStarChain):
    alone = search.invoke("2 + 3?")
    together = search.batch(["2 + 3?", "What is 10 minus 4?", "Tom has 3.", "2 + 3?"])
    assert [grown(solution) for solution in together[::3]] == [grown(alone)] * 2


async def test_async_grows_the_same_tree(search: QStarChain):
    assert grown(await search.ainvoke("2 + 3?")) == grown(search.invoke("2 + 3?"))


def test_long_paths_end_at_the_window_and_long_questions_before_it(search: QStarChain):
    deep = search.invoke("x" * 110, max_pops=40)
    assert deep.stopped in {"pops", "exhausted", "complete"}
    with pytest.raises(QuestionError, match="shorten"):
        search.invoke("x" * 400)
