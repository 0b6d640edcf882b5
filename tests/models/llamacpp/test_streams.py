"""Rows with a memory of their own draw what rows with one memory for all draw."""

from __future__ import annotations

import asyncio
from itertools import chain

import numpy as np
import pytest

pytest.importorskip("llama_cpp", reason="needs the extra llamacpp")

from langchain_qstar.errors import QuestionError, SettingsError
from langchain_qstar.models.engine.jobs import CallJob
from langchain_qstar.models.llamacpp.loading import library
from langchain_qstar.protocols import State, Step

QUESTIONS = ["How many apples?", "Why is that so?", "x + 1 = 3", "One more."]
ROOM = 256


def tokens_of(groups):
    return [[completion.token_ids for completion in group] for group in groups]


def grown(policy, ask, requests, rounds=4):
    """Samples, and samples after each of these, and so on; all of them."""
    found = []
    for number in range(rounds):
        groups = policy.sample(requests)
        found += tokens_of(groups)
        requests = [
            ask(state=request.state.then(Step(one.text, token_ids=one.token_ids)), first=10 * n)
            for n, (request, group) in enumerate(zip(requests, groups, strict=True))
            for one in group[: 2 if number else 1]
        ]
    return found


@pytest.fixture
def ask(ask):
    def make(question="?", *, state=None, n=2, first=0, **options):
        options = {"stop": ("e", "t"), "max_tokens": 8, **options}
        made = ask(question, n=n, first=first, **options)
        return made if state is None else type(made)(state, made.seeds, made.stop, 8)

    return make


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.0}, {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.01}],
    ids=str,
)
def test_tokens_are_those_of_transformers(llamacpp, policy, ask, options):
    requests = [ask(question, n=3, stop=(), max_tokens=24, **options) for question in QUESTIONS]
    ours, theirs = llamacpp(row_tokens=ROOM).sample(requests), policy.sample(requests)
    assert tokens_of(ours) == tokens_of(theirs)
    for mine, other in zip(chain(*ours), chain(*theirs), strict=True):
        np.testing.assert_allclose(mine.logprobs, other.logprobs, atol=1e-4)


def test_trees_grow_as_in_one_memory_and_nothing_is_read_twice(llamacpp, ask):
    one, own = llamacpp(), llamacpp(row_tokens=ROOM)
    requests = [ask(question) for question in QUESTIONS]
    assert grown(own, ask, requests) == grown(one, ask, requests)
    assert own.counters == one.counters


def test_more_work_than_rows_and_rows_that_end_at_different_places(llamacpp, ask):
    requests = [ask(question, n=5, max_tokens=20) for question in QUESTIONS]
    few, many = llamacpp(row_tokens=ROOM, max_rows=3), llamacpp(row_tokens=ROOM)
    assert tokens_of(few.sample(requests)) == tokens_of(many.sample(requests))


def test_running_rows_stay_in_the_first_streams_so_that_they_are_computed_together(llamacpp, ask):
    made = llamacpp(row_tokens=ROOM)
    cells, decode, seen = made._backend._cells, made._backend._cells.decode, []

    def noting(tokens, positions, branches, wanted):
        seen.append(list(branches))
        return decode(tokens, positions, branches, wanted)

    cells.decode = noting
    made.sample([ask(question, n=4, max_tokens=20) for question in QUESTIONS])
    rows = [each for each in seen if max(each) < cells._rows]
    assert len({len(each) for each in rows}) > 2  # some ended before others
    assert all(each == list(range(len(each))) for each in rows)


def test_hidden_states_are_those_of_one_memory(llamacpp, ask):
    states = []
    for made in (llamacpp(), llamacpp(row_tokens=ROOM)):
        made.feature_layers = (-1,)
        request = ask(QUESTIONS[0], n=3)
        (group,) = made.sample([request])
        after = [request.state.then(Step(one.text, token_ids=one.token_ids)) for one in group]
        states.append(made.features([request.state, *after]))
    np.testing.assert_allclose(states[0], states[1], atol=1e-4)


def test_what_is_kept_on_the_host_stays_within_its_room(llamacpp, ask):
    small, roomy = llamacpp(row_tokens=ROOM, cache_tokens=300), llamacpp(row_tokens=ROOM)
    requests = [ask(question) for question in QUESTIONS]
    assert grown(small, ask, requests) == grown(roomy, ask, requests)
    assert small.counters.evicted > roomy.counters.evicted == 0
    small._engine.submit(CallJob(lambda: None)).result(30)
    kept = small._backend._cells
    assert kept.kept_bytes <= kept._room < roomy._backend._cells.kept_bytes


async def test_a_cancelled_call_gives_its_streams_back(llamacpp, ask):
    made = llamacpp(row_tokens=ROOM, max_rows=4)
    task = asyncio.create_task(made.asample([ask(n=4, stop=(), max_tokens=100)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    groups = await made.asample([ask(n=4, max_tokens=3)])
    assert len(groups[0]) == 4
    assert made._backend._cells._free[False] == [0, 1, 2, 3]


def test_a_longer_text_says_what_helps(llamacpp, ask, monkeypatch):
    monkeypatch.setattr(library, "llama_model_n_ctx_train", lambda _: 4096)
    with pytest.raises(QuestionError, match=r"larger row_tokens \(up to 4096\)"):
        llamacpp(row_tokens=ROOM).sample([ask("x" * 300)])


def test_a_row_has_to_have_memory(llamacpp):
    with pytest.raises(SettingsError, match="row_tokens=0"):
        llamacpp(row_tokens=0)


def test_a_state_without_steps_can_be_scored(llamacpp, ask):
    state = ask(QUESTIONS[0]).state
    assert isinstance(state, State)
    scored = [
        made.token_logprobs([state], [Step("It is so.")])
        for made in (llamacpp(), llamacpp(row_tokens=ROOM))
    ]
    np.testing.assert_allclose(scored[0], scored[1], atol=1e-4)
