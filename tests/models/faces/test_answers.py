from __future__ import annotations

from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.faces.answers import ending_of, logprobs_of, usage_of
from langchain_qstar.protocols import Completion


def test_usage_tells_what_was_read_found_drawn_and_thought():
    completion = Completion("x", generated=5, prompt_tokens=7, reused_tokens=3, thought_tokens=2)
    assert usage_of(completion) == {
        "input_tokens": 7,
        "output_tokens": 5,
        "total_tokens": 12,
        "input_token_details": {"cache_read": 3},
        "output_token_details": {"reasoning": 2},
    }


def test_endings_have_the_words_of_openai():
    def reason(finish, *, calls=False):
        return ending_of(Completion("", finish=finish), "m", calls=calls)["finish_reason"]

    assert [reason("eos"), reason("stop"), reason("length")] == ["stop", "stop", "length"]
    assert reason("eos", calls=True) == "tool_calls"
    assert reason("length", calls=True) == "length"


def test_log_probabilities_are_those_of_the_tokens_of_the_text(make_tokenizer):
    codec = TextCodec(make_tokenizer("ab"))
    ids = codec.encode("abé\n")
    told = Completion("", ids, (-1.0, -2.0, -3.0, -4.0))
    found = logprobs_of(codec, told, "abé")["content"]
    assert [(each["token"], each["logprob"]) for each in found] == [
        ("ab", -1.0),
        ("", -2.0),
        ("é", -3.0),
    ]
    assert found[0]["bytes"] == [97, 98]
    assert len(logprobs_of(codec, told)["content"]) == 4
    assert [each["top_logprobs"] for each in found] == [[], [], []]


def test_other_likely_tokens_are_told_by_their_text_or_else_by_name(make_tokenizer):
    codec = TextCodec(make_tokenizer("ab"))
    (ab,), (half, _), (end,) = codec.encode("ab"), codec.encode("é"), codec.markup("<|end|>")
    told = Completion("ab", (ab,), (-1.0,), likeliest=(((ab, -1.0), (half, -2.0), (end, -3.0)),))
    (place,) = logprobs_of(codec, told)["content"]
    assert place["top_logprobs"] == [
        {"token": "ab", "bytes": [97, 98], "logprob": -1.0},
        {"token": codec.tokenizer.convert_ids_to_tokens(half), "bytes": None, "logprob": -2.0},
        {"token": "<|end|>", "bytes": None, "logprob": -3.0},
    ]
