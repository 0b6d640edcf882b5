"""Rows that end where the text itself says, and thoughts that are spelled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.protocols import Step
from langchain_qstar.stepping.thoughts import calculation_end, thought_end

TEXTS = {
    "a formula": "We multiply:\n\\[\n3 * 4\n= 12\n\\]\nSo 12.\n",
    "code": "```\nx = 3\n\nx\n```\n\nSo 3.\n",
    "blank lines": "Ben has 3.\n\nSo 4.\n",
    "an indented list": "1. First:\n   - 3 boxes\n   - 4 pens\n",
    "characters of several tokens": "步骤1：\n本有3个盒子。\n答案是 12。\n",
}


@pytest.mark.parametrize("merged", [(), (".\n", "]\n", "\nS"), ("\n\n", "\n ", ":\n")])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_row_ends_where_the_whole_text_would_be_cut(saying, ask, text, merged):
    policy, _ = saying(text, merged=merged, window=400)
    (completion,) = policy.sample([ask(stop=(), ends=calculation_end, max_tokens=200)])[0]
    assert completion.finish == "stop"
    assert completion.text.rstrip() == text[: calculation_end(text)].rstrip()
    assert text.startswith(completion.text)
    assert policy.codec.decode(completion.token_ids) == completion.text
    assert len(completion.logprobs) == len(completion.token_ids)


def test_an_end_inside_a_token_leaves_that_token_out(saying, ask):
    policy, _ = saying("So 3.\nSo 4.\n", merged=("\nS",))
    (completion,) = policy.sample([ask(stop=(), ends=thought_end)])[0]
    assert completion.text == "So 3.\n"
    assert policy.codec.decode(completion.token_ids) == "So 3.\n"
    assert completion.generated == 6  # five characters, and the token that was cut


def test_steps_joined_are_what_the_model_says(saying, ask):
    text = TEXTS["a formula"]
    policy, _ = saying(text, window=400)
    (first,) = policy.sample([ask(stop=(), ends=thought_end, max_tokens=200)])[0]
    assert first.text == "We multiply:\n\\[\n3 * 4\n= 12\n\\]\n"
    path = policy.path_ids(ask(steps=[Step(first.text, token_ids=first.token_ids)]).state)
    assert policy.codec.decode(path).endswith(first.text)


@pytest.mark.parametrize("prefill", ["", "Step 1: "])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_pieces_of_a_row_that_ends_so_join_to_its_text(saying, ask, text, prefill):
    policy, _ = saying(text, merged=("\nS", "\n\n"), window=400)
    request = ask(stop=(), ends=calculation_end, max_tokens=200, prefill=prefill)
    pieces = list(policy.stream(request))
    (completion,) = policy.sample([request])[0]
    assert "".join(piece.text for piece in pieces) == completion.text
    assert sum((piece.token_ids for piece in pieces), ()) == completion.token_ids


def test_stop_strings_end_a_row_that_has_ends_as_well(saying, ask):
    policy, _ = saying("We add:;3 + 4\n")
    (completion,) = policy.sample([ask(stop=(";",), ends=thought_end)])[0]
    assert completion.text == "We add:;"


def test_a_row_that_never_ends_has_its_most_tokens(saying, ask):
    policy, _ = saying("[\n")
    (completion,) = policy.sample([ask(stop=(), ends=thought_end, max_tokens=9)])[0]
    assert (completion.text, completion.finish) == ("[\n[\n[\n[\n[", "length")


REPLY = "<think>\nThe answer is 9.\n</think>\n\nSo 12.\n"


@pytest.mark.parametrize("merged", [(), (">\n", "\n<"), ("k>", "\n\n"), ("<t", ">S")])
def test_a_spelled_thought_is_kept_apart_and_counted(saying, ask, merged):
    policy, _ = saying(REPLY, merged=merged, window=400)
    (completion,) = policy.sample([ask(stop=(), ends=thought_end, max_tokens=30)])[0]
    assert (completion.text, completion.finish) == ("So 12.\n", "stop")
    assert policy.codec.decode(completion.token_ids) == "So 12.\n"
    assert completion.thought_tokens == completion.generated - len(completion.token_ids)
    assert completion.thought_tokens > 20


def test_a_word_in_the_token_that_closes_a_thought_is_text(saying, ask):
    policy, _ = saying("<think>hm</think>So 12.\n", merged=(">S",), window=400)
    (completion,) = policy.sample([ask(stop=(), ends=thought_end, max_tokens=30)])[0]
    assert completion.text == "So 12.\n"
    assert policy.codec.decode(completion.token_ids) == "So 12.\n"


def test_a_thought_that_never_closes_says_nothing(saying, ask):
    policy, _ = saying("<think>\nhm.\n", "hm.\n" * 20, window=90)
    (completion,) = policy.sample([ask(stop=(), ends=thought_end, max_tokens=9)])[0]
    assert (completion.text, completion.finish) == ("", "length")
    assert completion.thought_tokens == completion.generated


@pytest.mark.parametrize("single", [None, False])
def test_a_thought_asked_for_aloud_is_text_and_ends_by_its_steps(saying, ask, single):
    policy, _ = saying(REPLY, thinking=single, window=400)
    request = ask(stop=(), ends=thought_end, max_tokens=60, thinks=True)
    (completion,) = policy.sample([request])[0]
    assert completion.text == "<think>\nThe answer is 9.\n"
    assert completion.thought_tokens == 0
    pieces = list(policy.stream(request))
    assert "".join(piece.text for piece in pieces) == completion.text


def test_pieces_leave_a_spelled_thought_out(saying, ask):
    policy, _ = saying(REPLY, merged=(">\n",), window=400)
    pieces = list(policy.stream(ask(stop=(), ends=thought_end, max_tokens=30)))
    assert "".join(piece.text for piece in pieces) == "So 12.\n"


def test_a_text_that_begins_with_a_sign_of_a_tag_is_told_all_the_same(saying, ask):
    policy, _ = saying("<3 pens.\n")
    assert "".join(p.text for p in policy.stream(ask(stop=(), ends=thought_end))) == "<3 pens.\n"


def test_a_real_row_ends_where_its_text_without_an_end_would_be_cut(policy, ask):
    request = ask(n=24, stop=(), max_tokens=60)
    whole = policy.sample([request])[0]
    ended = policy.sample([replace(request, ends=thought_end)])[0]
    for free, cut in zip(whole, ended, strict=True):
        end = thought_end(free.text)
        assert cut.text == (free.text[:end] if end else free.text)
    assert any(each.finish == "stop" for each in ended)
