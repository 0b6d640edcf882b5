from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.models.remote.abilities import Abilities
from langchain_qstar.models.remote.asking import body_of, completions_of, ignores_stop, unheeded
from langchain_qstar.models.remote.template import ChatTemplate
from langchain_qstar.models.remote.wire import SEEDS, Choice, Reply
from langchain_qstar.protocols import SampleRequest, State, Step

EVERYTHING = frozenset({"n", "seed", "stop", "logprobs", "top_k", "min_p", "repetition_penalty"})
CHAT = Abilities("continue", EVERYTHING)
TEXT = Abilities("text", EVERYTHING, template=ChatTemplate("plain"))


def completion(request, *choices, abilities=CHAT, **counts):
    return completions_of(request, Reply(choices, **counts), abilities)


def test_everything_a_request_says_is_sent(ask):
    request = ask(
        stop=("\n", "."),
        max_tokens=9,
        temperature=0.7,
        top_p=0.9,
        top_k=5,
        min_p=0.1,
        repetition_penalty=1.2,
    )
    assert body_of(request, (3, 4), "m", CHAT) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Who?"}],
        "max_tokens": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "n": 2,
        "seed": 3,
        "stop": ["\n", "."],
        "logprobs": True,
        "top_k": 5,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "repeat_penalty": 1.2,
    }


def test_nothing_is_sent_that_the_server_does_not_know(ask):
    body = body_of(ask(top_k=5, min_p=0.1), (3,), "m", Abilities("continue", frozenset()))
    assert body.keys() == {"model", "messages", "max_tokens", "temperature", "top_p"}


def test_what_the_server_does_not_know_is_told(ask):
    plain = Abilities("continue", frozenset())
    assert unheeded(ask(), plain) == {}
    assert unheeded(ask(top_k=5, top_logprobs=1), plain).keys() == {"top_k", "top_logprobs"}
    assert unheeded(ask(top_k=5, min_p=0.1, repetition_penalty=1.2), CHAT) == {}


def test_every_token_is_kept_in_the_words_of_the_server(ask):
    assert body_of(ask(), (0,), "m", CHAT)["top_k"] == 0
    assert body_of(ask(), (0,), "m", Abilities("continue", EVERYTHING, every=-1))["top_k"] == -1


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_seeds_fit_the_servers(seed):
    request = SampleRequest(State("Who?"), (seed,))
    assert 0 <= body_of(request, (seed,), "m", CHAT)["seed"] < SEEDS - 1


def test_a_question_without_messages_is_the_users(ask):
    request = SampleRequest(State("Who?"), (0,))
    assert body_of(request, (0,), "m", CHAT)["messages"] == [{"role": "user", "content": "Who?"}]
    assert body_of(request, (0,), "m", TEXT)["prompt"] == "Who?\n"


@pytest.mark.parametrize(
    ("choice", "text", "finish"),
    [
        (Choice("one", "stop", "\n"), "one\n", "stop"),
        (Choice("one", "stop", "."), "one.", "stop"),
        (Choice("one", "stop", ""), "one", "eos"),
        (Choice("one", "stop", "</s>"), "one", "eos"),  # not one of ours
        (Choice("one", "length"), "one", "length"),
        # Not told, but the tokens are: of a stop string, or of none.
        (Choice("one", "stop", None, ("on", "e", ".\n"), (-1, -1, -1)), "one.", "stop"),
        (Choice("one", "stop", None, ("on", "e"), (-1, -1)), "one", "eos"),
        # Not told at all.
        (Choice("one", "stop"), "one\n", "stop"),
        (Choice("", "stop"), "", "eos"),
        # The server keeps the stop string, or went on after it.
        (Choice("one\n", "stop"), "one\n", "stop"),
        (Choice("one\ntwo\n", "length"), "one\n", "stop"),
    ],
)
def test_how_a_step_ends(ask, choice, text, finish):
    (found,) = completion(ask(stop=("\n", ".")), choice)
    assert (found.text, found.finish) == (text, finish)


def test_a_stop_string_within_the_prefill_ends_nothing(ask):
    (found,) = completion(ask(prefill="Q.\n"), Choice("one", "stop", "\n"))
    assert (found.text, found.finish) == ("Q.\none\n", "stop")


def test_without_stop_strings_the_model_ends_it(ask):
    (found,) = completion(ask(stop=()), Choice("one\ntwo", "stop"))
    assert (found.text, found.finish) == ("one\ntwo", "eos")


def test_log_probabilities_are_those_of_the_tokens_of_the_text(ask):
    tokens, logprobs = ("on", "e\n", "tw", "o"), (-1.0, -2.0, -3.0, -4.0)
    (found,) = completion(ask(prefill="A:"), Choice("one\ntwo", "stop", None, tokens, logprobs))
    assert (found.text, found.logprobs) == ("A:one\n", (-1.0, -2.0))


def test_the_prompt_is_read_once_for_all_samples(ask):
    reply = completion(
        ask(), Choice("a", "stop"), Choice("b", "stop"), prompt_tokens=30, cached_tokens=20
    )
    assert [(each.prompt_tokens, each.reused_tokens) for each in reply] == [(30, 20), (30, 30)]


@given(
    st.lists(st.text(max_size=40), min_size=1, max_size=6),
    st.integers(min_value=0, max_value=500),
)
def test_the_samples_shares_add_up_to_what_the_server_counted(texts, total):
    choices = [Choice(text, "length") for text in texts]
    request = SampleRequest(State("Who?"), (0,), stop=())
    shares = [each.generated for each in completion(request, *choices, completion_tokens=total)]
    assert sum(shares) == total
    assert min(shares) >= 0


def test_tokens_that_are_told_are_the_shares(ask):
    reply = completion(
        ask(),
        Choice("ab", "length", None, ("a", "b"), (-1, -1)),
        Choice("abc", "length", None, ("abc",), (-1,)),
        completion_tokens=3,
    )
    assert [each.generated for each in reply] == [2, 1]


def test_a_server_that_goes_on_after_a_stop_string_ignores_it(ask):
    assert ignores_stop(ask(), Reply((Choice("one\ntwo", "stop"),)))
    assert not ignores_stop(ask(), Reply((Choice("one\n", "stop"), Choice("one", "stop"))))
    assert not ignores_stop(ask(stop=()), Reply((Choice("one\ntwo", "stop"),)))


def test_by_instruction_a_reply_is_cut_to_a_step(ask):
    request = ask(steps=[Step("one\n")], prefill="Q:")
    instruct = Abilities("instruct", frozenset())
    (found,) = completion(request, Choice("\n Q: two\nthree", "stop"), abilities=instruct)
    assert (found.text, found.finish) == ("Q: two\n", "stop")
