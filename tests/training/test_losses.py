from __future__ import annotations

import math

import pytest

pytest.importorskip("torch", reason="needs the transformers extra")

import torch

from langchain_qstar.training.losses import balanced, cross_entropy, pairwise, squared_error

LOGITS = torch.tensor([0.0, math.log(3), -math.log(3)])  # 0.5, 0.75, 0.25
TARGETS = torch.tensor([1.0, 1.0, 0.0])
# Two rows of the first problem, one of the second.
PROBLEM = torch.tensor([0, 0, 1])


def test_squared_error_is_the_mean_over_problems_of_their_means():
    # First problem (0.25 + 0.0625) / 2, second 0.0625.
    assert float(squared_error(LOGITS, TARGETS, PROBLEM)) == pytest.approx(0.109375)


def test_cross_entropy_is_the_mean_over_problems_of_their_means():
    first = (math.log(2) + math.log(4 / 3)) / 2
    expected = (first + math.log(4 / 3)) / 2
    assert float(cross_entropy(LOGITS, TARGETS, PROBLEM)) == pytest.approx(expected)


def test_the_pairwise_loss_compares_steps_of_one_problem_only():
    logits = torch.tensor([1.0, 0.0, 5.0])
    targets = torch.tensor([1.0, 0.0, 0.5])
    expected = math.log(1 + math.exp(-1))
    assert float(pairwise(logits, targets, PROBLEM)) == pytest.approx(expected)
    # Another level of the other problem changes nothing.
    logits[2] = -9.0
    assert float(pairwise(logits, targets, PROBLEM)) == pytest.approx(expected)


def test_a_batch_without_a_pair_has_no_pairwise_loss_but_a_gradient_of_zero():
    logits = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = pairwise(logits, torch.tensor([1.0, 1.0]), torch.tensor([0, 0]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0, 0.0]


def test_right_and_wrong_of_a_question_weigh_the_same_in_the_balanced_loss():
    def gradient(targets, problem):
        logits = torch.zeros(len(targets), requires_grad=True)
        balanced(logits, torch.tensor(targets), torch.tensor(problem)).backward()
        assert logits.grad is not None
        return logits.grad

    hard = gradient([1.0, 0.0, 0.0, 0.0], [0, 0, 0, 0])
    # The right row pulls up as much as the three wrong ones pull down together.
    assert float(hard.sum()) == pytest.approx(0.0, abs=1e-6)
    assert float(hard[0]) == pytest.approx(-3 * float(hard[1]))
    two = gradient([1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1])
    assert two.tolist() == pytest.approx([-0.375, 0.375, -0.375, 0.375])


def test_the_balanced_loss_is_cross_entropy_and_pairs():
    logits, targets = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])
    same = torch.tensor([0, 0])
    expected = cross_entropy(logits, targets, same) + pairwise(logits, targets, same)
    assert float(balanced(logits, targets, same)) == pytest.approx(float(expected))
