"""What searches share on a real model, to the token: reading, forward passes, and no influence."""

from __future__ import annotations

import asyncio
import random
import threading
from itertools import takewhile

import pytest
import torch

from langchain_qstar.errors import ModelError
from langchain_qstar.models.engine.jobs import CallJob, ScoreJob
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.models.transformers.decoding import TransformersBackend
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.protocols import SampleRequest, State, Step
from langchain_qstar.tasks.asking import Asking, PromptFiles

FEW_SHOT = "Two and two make four, and four and four make eight."
QUESTIONS = ["How many apples?", "Why is that so?", "x + 1 = 3", "One more."]


def state(question):
    return State(question, (("system", FEW_SHOT), ("user", question)))


async def search(policy, question, expansions, *, seed=0):
    """Expand now the last state, now an older one; the tokens of all steps, and their ends."""
    order = random.Random(question)
    open_states = [state(question)]
    found = []
    for number in range(expansions):
        chosen = open_states[-1] if order.random() < 0.7 else order.choice(open_states)
        seeds = tuple(seed + 100 * number + branch for branch in range(3))
        request = SampleRequest(chosen, seeds, stop=("e", "t", "a"), max_tokens=8, temperature=1.0)
        (group,) = await policy.asample([request])
        found += [(completion.token_ids, completion.finish) for completion in group]
        open_states += [chosen.then(Step(c.text, token_ids=c.token_ids)) for c in group]
    return found


def run(policy, questions, expansions=5):
    async def together():
        return await asyncio.gather(*(search(policy, each, expansions) for each in questions))

    return asyncio.run(together())


def distinct(policy):
    """Tokens of the prompts, those that they share counted once."""
    prefixes = {
        tuple(ids[: end + 1])
        for ids in (policy.path_ids(state(each)) for each in QUESTIONS)
        for end in range(len(ids))
    }
    return len(prefixes)


def is_clean(policy):
    """Once the step that gave the last answer has ended, nothing is held but the tree."""
    policy._engine.submit(CallJob(lambda: None)).result(30)
    scheduler = policy._scheduler
    todo = [scheduler.tree.root]
    while todo:
        node = todo.pop()
        todo += [child for siblings in node.children.values() for child in siblings]
        if node.pins or (node.state is None and node is not scheduler.tree.root):
            return False
    return not scheduler.busy and not scheduler._open


def test_every_distinct_prompt_token_is_read_once(policy):
    found = [each for search in run(policy, QUESTIONS) for each in search]
    counters = policy.counters
    assert counters.prefilled == distinct(policy)
    ends = sum(finish == "eos" for _, finish in found)
    # All that was drawn is read once, but end tokens, after which nothing comes.
    assert counters.forwarded == counters.prefilled + counters.generated - ends
    assert counters.generated == sum(len(ids) for ids, _ in found) + ends
    assert is_clean(policy)


def test_the_same_seeds_grow_the_same_trees_alone_together_and_under_eviction(
    llama, make_tokenizer
):
    def policy(**options):
        return TransformersPolicy(llama, make_tokenizer(), **options)

    together = policy()
    expected = run(together, QUESTIONS)
    for number, question in enumerate(QUESTIONS):
        alone = policy()
        assert run(alone, [question])[0] == expected[number]
        alone.close()
    evicting = policy(cache_bytes=60_000)
    assert run(evicting, QUESTIONS) == expected
    assert evicting.counters.evicted > 10
    assert evicting.counters.prefilled > together.counters.prefilled
    one_row = policy(max_rows=1)
    assert run(one_row, QUESTIONS) == expected
    for each in (together, evicting, one_row):
        each.close()


def test_text_after_a_parted_prefix_is_scored_right(policy, llama):
    first, second = (policy.path_ids(state(question)) for question in QUESTIONS[:2])
    shared = next(n for n, pair in enumerate(zip(first, second, strict=False)) if len({*pair}) > 1)
    run(policy, QUESTIONS[:1], 1)
    run(policy, QUESTIONS[1:2], 1)  # now what both share is a segment, cut out of the first
    (scores,) = policy._engine.submit(ScoreJob([(first[:shared], (9, 8))])).result(30)
    with torch.no_grad():
        logprobs = llama(torch.tensor([[*first[:shared], 9, 8]])).logits[0].log_softmax(-1)
    expected = logprobs[[shared - 1, shared], [9, 8]].tolist()
    assert scores == pytest.approx(expected, abs=1e-4)


@pytest.mark.nano
def test_the_bundled_model_draws_the_same_alone_and_among_64_others():
    policy = TransformersPolicy.from_pretrained(NANO_FOLDER, device="cpu")
    question = "Tom has 4 bags of apples with 6 apples in each bag. How many apples has Tom?"
    request = SampleRequest(State(question), (1, 2), stop=(), max_tokens=40)
    others = [
        SampleRequest(State(f"Ann has {n} pens and buys {n % 7} more. How many?"), (n,))
        for n in range(64)
    ]
    alone = policy.sample([request])[0]
    among = policy.sample([*others[:20], request, *others[20:]])[20]
    assert [c.token_ids for c in among] == [c.token_ids for c in alone]
    policy.close()


async def test_a_dropped_search_leaves_no_rows_and_pins_nothing(policy):
    task = asyncio.create_task(search(policy, QUESTIONS[0], 10**6))
    kept = await search(policy, QUESTIONS[1], 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await search(policy, QUESTIONS[1], 3) == kept
    assert is_clean(policy)
    assert not policy._backend._branches._branches


def test_closing_frees_what_was_kept(llama, make_tokenizer):
    policy = TransformersPolicy(llama, make_tokenizer(), name="freed")
    run(policy, QUESTIONS[:1])
    assert policy._scheduler.tree.bytes
    policy.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "freed"]
    assert not policy._scheduler.tree.bytes
    backend = policy._backend
    assert isinstance(backend, TransformersBackend)
    assert not backend.bytes
    with pytest.raises(ModelError, match="closed"):
        run(policy, QUESTIONS[:1])


def test_running_out_of_memory_changes_no_token(llama, make_tokenizer, monkeypatch):
    policy = TransformersPolicy(llama, make_tokenizer())
    expected = run(policy, QUESTIONS)
    forward = llama.forward

    def small_device(input_ids, **options):
        if 4 < input_ids.shape[1] < 12:  # a decode step of more than four rows
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(input_ids=input_ids, **options)

    monkeypatch.setattr(llama, "forward", small_device)
    assert run(policy, QUESTIONS) == expected
    assert policy._scheduler.max_rows <= 4
    policy.close()


def test_what_is_kept_of_a_step_is_its_own(policy):
    policy.feature_layers = (1, 3)
    run(policy, QUESTIONS)
    policy._engine.submit(CallJob(lambda: None)).result(30)
    for node in policy._scheduler.tree._used:
        # A segment that was parted later has no logits and hidden state at its new end.
        ends = () if node.state.logits is None else (node.state.logits,)
        for tensor in (*node.state.kept, *ends):
            assert tensor.untyped_storage().nbytes() == tensor.nbytes
        base = None if node.state.hidden is None else node.state.hidden.base
        assert base is None or torch.as_tensor(base).untyped_storage().nbytes() <= 2 * 32 * 4


def test_settings_of_sampling_hold_row_by_row(policy, ask):
    plain, penalised, narrow, greedy = policy.sample(
        [
            ask(n=1, stop=(), max_tokens=30, temperature=0.7),
            ask(n=1, stop=(), max_tokens=30, temperature=0.7, repetition_penalty=50.0),
            ask(n=1, stop=(), max_tokens=30, min_p=1.0),
            ask(n=1, stop=(), max_tokens=30, temperature=0.0),
        ]
    )
    assert narrow[0].token_ids == greedy[0].token_ids
    drawn = penalised[0].token_ids
    assert len(set(drawn)) == len(drawn)
    assert penalised[0].token_ids != plain[0].token_ids
    alone = policy.sample([ask(n=1, stop=(), max_tokens=30, temperature=0.7)])[0]
    assert alone[0].token_ids == plain[0].token_ids


@pytest.mark.parametrize("style", ["few-shot", "completion"])
def test_the_examples_of_a_prompt_are_read_once_for_all_questions(saying, style):
    asking = Asking(PromptFiles("gsm8k"), style, shots=4)
    policy, _ = saying(*"abc", window=10**6)
    states = [State(each, asking(each)) for each in QUESTIONS]
    for one in states:  # one after the other: the first is read as a whole, and parted later
        policy.sample([SampleRequest(one, (0,), stop=(), max_tokens=3)])
    paths = [policy.path_ids(one) for one in states]
    shared = sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, zip(*paths, strict=False)))
    assert shared > 0.8 * max(map(len, paths))
    assert policy.counters.prefilled <= shared + sum(len(path) - shared for path in paths)
