from __future__ import annotations

from dataclasses import replace

from langchain_qstar.training.examples import Example, divided, split_examples
from langchain_qstar.training.label_file import LabelledQuestion, LabelledStep
from langchain_qstar.training.labels import hard_estimate, soft_estimate


def step(parent, text, right, rollouts, *, terminal=False):
    return LabelledStep(parent, text, None, (), terminal, right, rollouts)


TREE = LabelledQuestion(
    "?",
    (
        step(-1, "2+3=5\n", 1, 4),
        step(-1, "3+2=5\n", 2, 2),
        step(0, "unlabelled\n", 0, 0),
        step(1, "so 5\n", 2, 2, terminal=True),
        step(2, "so 6\n", 0, 1, terminal=True),
    ),
)


def test_a_step_without_rollouts_has_no_row(sums):
    example = Example(TREE, sums)
    assert example.rows == [0, 1, 3, 4]
    assert [r.steps[0].text for r in example.requests] == ["2+3=5\n", "3+2=5\n", "so 5\n", "so 6\n"]
    assert example.requests[3].state.text == "2+3=5\nunlabelled\n"


def test_targets_are_estimated_from_the_counts(sums):
    example = Example(TREE, sums)
    assert example.estimated(soft_estimate) == [0.25, 1.0, 1.0, 0.0]
    assert example.estimated(hard_estimate) == [1.0, 1.0, 1.0, 0.0]


def test_equal_states_share_their_counts(sums):
    same = replace(sums, canonical=lambda text: text.replace("3+2", "2+3"))
    # 1 of 4 and 2 of 2 are 3 of 6.
    assert Example(TREE, same).estimated(soft_estimate)[:2] == [0.5, 0.5]


def test_a_solution_is_the_rows_of_its_steps_and_its_outcome(sums):
    assert Example(TREE, sums).solutions == [([1, 2], True), ([0, 3], False)]


def test_fitted_q_targets_are_rewards_and_the_best_value_that_follows(sums):
    example = Example(TREE, sums)
    assert example.fitted_q([0.0] * 4, 0.9) == [0.0, 0.0, 1.0, 0.0]
    assert example.fitted_q([0.0, 0.0, 1.0, 0.5], 0.9) == [0.0, 0.9, 1.0, 0.0]


def test_a_question_is_held_out_or_not_whatever_the_order(sums):
    examples = [Example(LabelledQuestion(f"{n}?", ()), sums) for n in range(20)]
    train, held = split_examples(examples, 0.25, seed=3)
    assert len(held) == 5
    again = split_examples(examples[::-1], 0.25, seed=3)
    assert (train, held) == again
    assert split_examples(examples, 0.25, seed=4)[1] != held
    assert len(split_examples(examples, 0.0, seed=3)[1]) == 1


def test_one_question_at_least_is_held_out_and_one_is_not(sums):
    examples = [Example(LabelledQuestion(f"{n}?", ()), sums) for n in range(4)]
    for share, kept in ((0.0, 3), (1.0, 1)):
        train, held = split_examples(examples, share, seed=3)
        assert (len(train), len(held)) == (kept, 4 - kept)


def mixed_or_not(number, right):
    return LabelledQuestion(f"{number}?", (step(-1, "so 5\n", right, 2, terminal=True),))


def test_only_questions_with_right_and_wrong_rollouts_are_learnt_from(sums):
    examples = [Example(mixed_or_not(n, n % 3), sums) for n in range(60)]
    train, held = divided(examples, 0.25, seed=3)
    assert {each.mixed for each in train} == {True}
    assert (len(train), sum(each.mixed for each in held)) == (15, 5)
    # A value has to mean something on the others too.
    assert sum(not each.mixed for each in held) == 10


def test_rollouts_are_solutions_and_those_that_were_cut(sums):
    cut = LabelledQuestion("?", (*TREE.steps, step(0, "on and on", 0, 1)))
    assert Example(cut, sums).rollouts == [([1, 2], True), ([0, 3], False), ([0, 4], False)]
