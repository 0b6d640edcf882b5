from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Event

import pytest

from langchain_qstar import ModelError, QuestionError
from langchain_qstar.models.engine.rows import Drawn
from langchain_qstar.models.engine.streaming import Pieces, stream
from langchain_qstar.models.engine.text import TextCodec


def texts(pieces):
    return [piece.text for piece in pieces]


def test_every_token_is_a_piece_and_the_last_has_the_completion(saying, ask):
    policy, _ = saying("one", "<|end|>")
    *pieces, last = policy.stream(ask(stop=()))
    assert texts(pieces) == ["o", "n", "e"]
    assert all(piece.completion is None for piece in pieces)
    completion = last.completion
    assert (last.text, completion.text, completion.finish) == ("", "one", "eos")
    assert (completion.generated, completion.prompt_tokens) == (
        4,
        len(policy.path_ids(ask().state)),
    )


def test_pieces_are_told_while_the_row_runs(saying, ask):
    policy, _ = saying("abcdefgh")
    pieces = policy.stream(ask(stop=(), max_tokens=8))
    assert next(pieces).text == "a"
    assert "".join(texts(pieces)) == "bcdefgh"


@pytest.mark.parametrize("stop", [(), ("\n",), ("c. d", "zz"), ("b.c",), (".c.", "a.b.c")])
@pytest.mark.parametrize("prefill", ["", "Q: ", "a.b"])
def test_joined_pieces_are_what_sampling_returns(saying, ask, stop, prefill):
    policy, _ = saying("a.b.", "€", "c. d\n", merged=("c.",))
    request = ask(stop=stop, max_tokens=11, prefill=prefill)
    pieces = list(policy.stream(request))
    (completion,) = policy.sample([request])[0]
    assert "".join(texts(pieces)) == completion.text
    assert sum((piece.token_ids for piece in pieces), ()) == completion.token_ids
    assert sum((piece.logprobs for piece in pieces), ()) == completion.logprobs


def test_what_may_become_a_stop_string_is_held_back(saying, ask):
    policy, _ = saying("a<b<end>")
    pieces = texts(policy.stream(ask(stop=("<end>",))))
    assert pieces == ["a", "<b", "<end>"]


def test_a_character_of_several_tokens_is_one_piece(saying, ask):
    policy, _ = saying("3€\n")
    assert texts(policy.stream(ask())) == ["3", "€", "\n"]


def test_a_thought_is_not_told_nor_the_blank_before_it(saying, ask):
    policy, _ = saying("\n", "<think>", "hm", "</think>", "yes", "<|end|>", thinking=True)
    *pieces, last = policy.stream(ask(stop=(), max_tokens=20))
    assert texts(pieces) == ["y", "e", "s"]
    assert last.completion is not None
    assert last.completion.thought_tokens == 5


def test_a_row_that_starts_again_is_told_once(make_tokenizer):
    codec = TextCodec(make_tokenizer())
    pieces = Pieces(codec, (1,), (), "")
    drawn = [Drawn(0, number, token, -0.5) for number, token in enumerate(codec.encode("abc"))]
    told = [pieces.add(each) for each in (*drawn[:2], *drawn)]
    assert [piece and piece.text for piece in told] == ["a", "b", None, None, "c"]


def test_closing_the_iterator_frees_the_row(saying, ask):
    policy, backend = saying("ab", window=None)
    pieces = policy.stream(ask(stop=(), max_tokens=10**6))
    next(pieces)
    pieces.close()
    policy.sample([ask("Why?", max_tokens=3)])
    assert backend.steps[-1] == 1
    assert backend.said == []


def test_errors_come_at_the_first_piece(saying, ask):
    policy, _ = saying("ab", window=8)
    with pytest.raises(QuestionError, match="reads at most 7"):
        next(policy.stream(ask("x" * 20)))


def test_a_failing_model_fails_the_stream(saying, ask):
    policy, backend = saying("ab")

    def fail():
        raise RuntimeError("broken")

    backend.before_forward = fail
    with pytest.raises(ModelError, match="broken"):
        list(policy.stream(ask()))


def test_the_time_ends_although_the_engine_is_always_ahead_of_its_reader(make_tokenizer):
    codec = TextCodec(make_tokenizer())

    def submit(listen):
        for number, token in enumerate(codec.encode("abc")):
            listen(Drawn(0, number, token, -0.5))
        return Future()

    with pytest.raises(TimeoutError):
        next(stream(submit, Pieces(codec, (1,), (), ""), pytest.fail, timeout=0.0))


@pytest.mark.parametrize("way", ["sample", "asample", "stream", "astream"])
async def test_what_takes_too_long_is_an_error_of_ours_and_is_dropped(saying, ask, way):
    policy, backend = saying("ab", window=None)
    request = ask(stop=(), max_tokens=10**6)

    async def wait():
        if way == "sample":
            policy.sample([request], timeout=0.01)
        elif way == "asample":
            await policy.asample([request], timeout=0.01)
        elif way == "stream":
            list(policy.stream(request, timeout=0.01))
        else:
            [piece async for piece in policy.astream(request, timeout=0.01)]

    with pytest.raises(ModelError, match=r"saying was not done after 0.01 s"):
        await wait()
    policy.sample([ask("Why?", max_tokens=3)])
    assert backend.said == []


async def test_two_streams_and_a_sample_run_in_one_batch(saying, ask):
    policy, backend = saying("abcdefgh")
    all_asked = Event()
    backend.before_forward = lambda: all_asked.wait(10)  # or the first is done before the next

    async def joined(question):
        pieces = policy.astream(ask(question, stop=(), max_tokens=8))
        return "".join([piece.text async for piece in pieces])

    tasks = [asyncio.create_task(joined(question)) for question in ("Who?", "Why?", "How?")]
    await asyncio.sleep(0.05)
    all_asked.set()
    found = await asyncio.gather(*tasks)
    assert found == ["abcdefgh"] * 3
    assert max(backend.steps) > 1


async def test_cancelling_the_task_frees_the_row(saying, ask):
    policy, backend = saying("ab", window=None)
    started = asyncio.Event()

    async def read():
        async for _ in policy.astream(ask(stop=(), max_tokens=10**6)):
            started.set()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await policy.asample([ask("Why?", max_tokens=3)])
    assert backend.said == []


def test_a_real_model_streams_what_it_samples(policy, ask):
    request = ask(stop=("z",), max_tokens=40, temperature=1.0)
    pieces = list(policy.stream(request))
    (completion,) = policy.sample([request])[0]
    assert "".join(texts(pieces)) == completion.text
    assert len(pieces) > 2
    assert pieces[-1].completion is not None
    assert pieces[-1].completion.token_ids == completion.token_ids
