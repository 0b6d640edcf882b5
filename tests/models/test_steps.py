from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.models.steps import split_steps
from langchain_qstar.protocols import Completion
from langchain_qstar.tasks import NANO


def tokens_of(*steps):
    return tuple(token for step in steps for token in step.token_ids)


def test_lines_become_steps_and_join_to_the_text():
    steps = split_steps(Completion("a\nb\nThe answer is 3.\n"), NANO)
    assert [step.text for step in steps] == ["a\n", "b\n", "The answer is 3.\n"]


def test_what_follows_the_answer_is_dropped():
    steps = split_steps(Completion("The answer is 3.\nAnd so on\n"), NANO)
    assert [step.text for step in steps] == ["The answer is 3.\n"]


def test_blank_lines_belong_to_the_step_before():
    steps = split_steps(Completion("a\n\n \nb"), NANO)
    assert [step.text for step in steps] == ["a\n\n \n", "b"]


def test_an_empty_completion_has_no_steps():
    assert split_steps(Completion(""), NANO) == ()


def test_a_task_without_stop_strings_has_one_step():
    assert len(split_steps(Completion("a\nb"), replace(NANO, stop=()))) == 1


def test_steps_keep_the_tokens_and_log_probabilities_of_their_text(saying, ask):
    policy, _ = saying("ab\nThe answer is 5.", "<|end|>")
    (completion,) = policy.sample([ask(stop=(), max_tokens=40)])[0]
    first, last = split_steps(completion, NANO, policy)
    assert tokens_of(first, last) == completion.token_ids
    assert (*first.logprobs, *last.logprobs) == completion.logprobs
    for step in (first, last):
        assert "".join(policy.token_texts(step.token_ids)) == step.text


def test_steps_that_share_a_token_have_no_tokens(saying, ask):
    policy, _ = saying("a\nb\nc", merged=("\nb",))
    (completion,) = policy.sample([ask(stop=(), max_tokens=4)])[0]
    assert completion.text == "a\nb\nc"
    shared, sharing, own = split_steps(completion, NANO, policy)
    assert shared.token_ids is None
    assert sharing.token_ids is None
    assert own.token_ids is not None


@pytest.mark.parametrize("text", ["€5\n→ 7\n", "a€\n€\n"])
def test_characters_of_several_tokens_stay_in_their_step(saying, ask, text):
    policy, model = saying(text)
    (completion,) = policy.sample([ask(stop=(), max_tokens=len(model.tokens))])[0]
    steps = split_steps(completion, NANO, policy)
    assert [s.text for s in steps] == text.splitlines(keepends=True)
    assert tokens_of(*steps) == completion.token_ids


def test_of_a_policy_that_cannot_tell_tokens_apart_they_are_dealt_by_length():
    logprobs = tuple(-float(n) for n in range(1, 5))
    steps = split_steps(Completion("ab\nThe answer is 5.\n", logprobs=logprobs), NANO)
    assert [step.logprobs for step in steps] == [logprobs[:1], logprobs[1:]]
    assert {step.token_ids for step in steps} == {None}
