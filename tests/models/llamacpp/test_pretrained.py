"""Pretrained models with their own templates: asked well, steps are steps, ends are ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_qstar import GreedyChain, QStarChain, SelfConsistencyChain

QUESTION = "A crate holds 6 bottles. How many bottles do 4 crates hold?"
TRAIN = Path(__file__).parents[4] / "shared" / "data" / "gsm8k_train.jsonl"
BARE = re.compile(r"[\W_]*")


def loaded(file: Path, **options: Any) -> Any:
    from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy

    return LlamaCppPolicy(file, **options)


@pytest.fixture(scope="module")
def smollm2(smollm2_file: Path) -> Iterator[Any]:
    pytest.importorskip("llama_cpp")
    policy = loaded(smollm2_file)
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def qwen(qwen_file: Path) -> Iterator[Any]:
    policy = loaded(qwen_file)
    yield policy
    policy.close()


def test_an_instruct_model_is_asked_zero_shot_by_its_own_template(smollm2):
    chain = GreedyChain(smollm2, task="gsm8k")
    prompt = smollm2.codec.rendered(
        [{"role": role, "content": said} for role, said in chain.task.messages(QUESTION)]
    )
    assert smollm2.chats
    assert f"<|im_start|>user\n{QUESTION}" in prompt
    assert prompt.endswith("<|im_start|>assistant\n")
    solution = chain.invoke(QUESTION, max_tokens=200)
    assert solution.prompts == "zero-shot"
    assert 0 < solution.usage.completion_tokens <= 200
    assert all(not BARE.fullmatch(step.text) for step in solution.steps)


def test_the_same_model_without_its_template_is_shown_examples_and_ends_with_its_answer(
    smollm2_file,
):
    policy = loaded(smollm2_file, chat_template="plain")
    try:
        solution = GreedyChain(policy, task="gsm8k").invoke(QUESTION)
    finally:
        policy.close()
    assert solution.prompts == "completion (8)"
    assert "Problem:" not in solution.text
    assert solution.answer is not None
    assert solution.usage.completion_tokens < 200


def test_every_step_that_a_pretrained_model_is_sampled_for_says_something(smollm2):
    settings = {"num_samples": 2, "num_trajectories": 1, "max_pops": 4, "fallback": False}
    chain = QStarChain(smollm2, "log-probability", task="gsm8k", settings=settings)
    solution = chain.invoke(QUESTION, max_tokens=300)
    steps = [node for node in solution.tree if node.parent is not None]
    assert steps
    assert all(not BARE.fullmatch(node.text) for node in steps if not node.terminal)


@pytest.mark.slow
def test_a_model_that_can_reason_reasons_through_every_baseline(qwen):
    if not TRAIN.exists():
        pytest.skip("no ../shared/data/gsm8k_train.jsonl")
    with TRAIN.open(encoding="utf-8") as lines:
        questions = [json.loads(next(lines))["question"] for _ in range(2)]
    for chain in (GreedyChain(qwen), SelfConsistencyChain(qwen, n=2)):
        for solution in chain.batch(questions):
            assert solution.answer is not None
            assert re.search(r"\d[^\n]*=[^\n]*\d", solution.text), solution.text
            assert all(sample.finish != "length" for sample in solution.samples)
