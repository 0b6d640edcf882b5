from __future__ import annotations

from langchain_qstar.protocols import State, Step
from langchain_qstar.training.step_tree import QUESTION, StepTree


def grown():
    tree = StepTree(State("?", (("user", "?"),)))
    first = tree.extend(QUESTION, [Step("a", token_ids=(1,)), Step("end")], ends=True)
    second = tree.extend(QUESTION, [Step("a"), Step("b")], ends=False)
    return tree, first, second


def test_equal_prefixes_are_one_step():
    tree, first, second = grown()
    assert (first, second) == ([0, 1], [0, 2])
    assert tree.parents == [QUESTION, 0, 0]
    assert tree.path(2) == [0, 2]
    assert tree.ends == {1}


def test_a_state_for_another_model_has_texts_and_no_token_ids():
    tree, _, _ = grown()
    assert tree.state(2).steps[0].token_ids == (1,)
    foreign = tree.state(2, texts_only=True)
    assert foreign.text == tree.state(2).text == "ab"
    assert foreign.messages == tree.root.messages
    assert all(step.token_ids is None for step in foreign.steps)


def test_forgetting_keeps_the_outcomes_of_last_steps():
    tree, first, second = grown()
    tree.count(first, right=True, times=2)
    tree.count(second, right=False)
    assert tree.counts == [[2, 3], [2, 2], [0, 1]]
    assert tree.forget() == [0, 2]
    assert tree.counts == [[0, 0], [2, 2], [0, 0]]


def test_a_line_of_a_file_holds_what_was_counted():
    tree, first, _ = grown()
    tree.count(first, right=True)
    tree.tokens = 7
    labelled = tree.labelled()
    assert (labelled.question, labelled.tokens) == ("?", 7)
    assert [(s.parent, s.terminal, s.right, s.rollouts) for s in labelled.steps] == [
        (-1, False, 1, 1),
        (0, True, 1, 1),
        (0, False, 0, 0),
    ]
