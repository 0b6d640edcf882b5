from __future__ import annotations

import pytest

from langchain_qstar.models.remote.wire import Choice, MalformedReplyError, read_reply


def test_a_chat_reply_is_read():
    reply = read_reply(
        {
            "choices": [
                {
                    "message": {"role": "assistant", "content": "four"},
                    "finish_reason": "length",
                    "logprobs": {"content": [{"token": "four", "logprob": -0.25}]},
                }
            ],
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 8},
            },
        }
    )
    assert reply.choices == (Choice("four", "length", None, ("four",), (-0.25,)),)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens) == (9, 1, 8)


def test_a_raw_completion_is_read():
    logprobs = {"tokens": ["fo", "ur"], "token_logprobs": [-1, -0.5]}
    choice = {"text": "four", "finish_reason": "stop", "logprobs": logprobs}
    (read,) = read_reply({"choices": [choice]}).choices
    assert read == Choice("four", "stop", None, ("fo", "ur"), (-1.0, -0.5))


def test_samples_are_put_in_the_order_of_their_numbers():
    choices = [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]
    assert [each.text for each in read_reply({"choices": choices}).choices] == ["a", "b"]


@pytest.mark.parametrize(
    ("told", "matched"),
    [
        ({}, None),  # llama.cpp does not say
        ({"stop_reason": "\n"}, "\n"),  # vLLM
        ({"stop_reason": None}, ""),
        ({"stop_reason": 151643}, ""),
        ({"matched_stop": "\n"}, "\n"),  # SGLang
        ({"matched_stop": 151643}, ""),
    ],
)
def test_which_stop_string_ended_it_is_told_in_two_ways(told, matched):
    (choice,) = read_reply({"choices": [{"text": "x", **told}]}).choices
    assert choice.matched == matched


def test_a_message_without_content_says_nothing():
    (choice,) = read_reply({"choices": [{"message": {"content": None}}]}).choices
    assert choice.text == ""


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": ["text"]},
        {"choices": [{}]},
        {"choices": [{"text": 7}]},
    ],
)
def test_what_holds_no_text_is_malformed(data):
    with pytest.raises(MalformedReplyError):
        read_reply(data)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        [],
        {"content": None},
        {"content": [{"token": None, "logprob": -1}]},
        {"tokens": ["a"]},
        {"tokens": ["a"], "token_logprobs": [None]},
    ],
)
def test_log_probabilities_in_doubt_are_unknown(logprobs):
    (choice,) = read_reply({"choices": [{"text": "a", "logprobs": logprobs}]}).choices
    assert (choice.tokens, choice.logprobs) == (None, ())


def test_counts_that_are_no_counts_are_unknown():
    reply = read_reply(
        {
            "choices": [{"text": "a"}],
            "usage": {"prompt_tokens": "9", "completion_tokens": -1, "prompt_tokens_details": None},
        }
    )
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens) == (None, None, 0)
