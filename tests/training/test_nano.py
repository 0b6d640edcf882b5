"""Training nano: resumable to the bit, and loadable by unmodified transformers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the transformers extra")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.training.nano import (
    Batch,
    Documents,
    Recipe,
    Trainer,
    _train,
    learning_rate_factor,
    loss_weights,
    main,
    respelt,
)
from langchain_qstar.training.tokenizer import save_tokenizer
from langchain_qstar.training.workers import Workers, run_together

TINY = Recipe(
    hidden=32,
    layers=2,
    heads=1,
    intermediate=64,
    tokens=24_000,
    batch_tokens=3000,
    schedule="0:1 1:1",
    seed=7,
    workers=1,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    Trainer(TINY, folder, "cpu", save_every=1e9).run()
    return folder


def test_the_weights_load_with_unmodified_auto_classes(trained: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(trained)
    model = AutoModelForCausalLM.from_pretrained(trained)
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert model.dtype == torch.float16
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Tom has 4 apples."}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert text == "<|user|>\nTom has 4 apples.\n<|assistant|>\n"
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    out = model.float().generate(ids, max_new_tokens=3, do_sample=False)
    assert out.shape[1] <= ids.shape[1] + 3


def test_a_digit_is_one_token(trained: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(trained)
    assert tokenizer.tokenize("120*7=840") == ["1", "2", "0", "*", "7", "=", "8", "4", "0"]
    assert tokenizer.decode(tokenizer("Zoë buys 3 kg of 梨.").input_ids) == "Zoë buys 3 kg of 梨."


def test_the_loss_falls(trained: Path) -> None:
    log = [json.loads(line) for line in (trained / "training.jsonl").read_text().splitlines()]
    untrained = math.log(TINY.vocabulary)
    assert log[-1]["loss"] < untrained - 0.03


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(trained: Path, tmp_path: Path) -> None:
    first = Trainer(TINY, tmp_path, "cpu", save_every=0.0)
    steps = 0
    step = first._step

    def stop_after_three(batch: Batch) -> tuple[float, int]:
        nonlocal steps
        if steps == 3:
            raise KeyboardInterrupt
        steps += 1
        return step(batch)

    first._step = stop_after_three  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert not (tmp_path / "model.safetensors").exists()
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["progress"]["steps"] == 3
    Trainer(TINY, tmp_path, "cpu", save_every=1e9).run()
    resumed = (tmp_path / "model.safetensors").read_bytes()
    assert resumed == (trained / "model.safetensors").read_bytes()


def test_a_batch_is_always_the_same_and_never_too_large(trained: Path) -> None:
    documents = Documents(AutoTokenizer.from_pretrained(trained), TINY)
    batches = documents.batches(2)
    assert batches == documents.batches(2)
    for batch in batches:
        assert len(batch) * max(len(ids) for ids, _ in batch) <= TINY.batch_tokens
    streamed = documents.stream(2, skip=1)
    assert next(streamed) == (2, 1, batches[1])


def test_a_line_s_first_numbers_weigh_most_and_words_least(trained: Path) -> None:
    pieces = [
        "Tom",
        "\u0120pays",
        "\u0120",
        "4",
        "*",
        "2",
        "=",
        "8",
        ".",
        "\u010a",
        "\u0120",
        "8",
        "+",
        "1",
    ]
    assert loss_weights(pieces) == [0.3] * 3 + [3.0] * 4 + [0.5] + [0.3] * 3 + [3.0] * 3
    tokenizer = AutoTokenizer.from_pretrained(trained)
    for ids, weights in Documents(tokenizer, TINY).batches(2)[0]:
        assert len(ids) == len(weights)
        prompt = weights.count(0.05)
        assert set(weights[:prompt]) == {0.05}
        assert str(tokenizer.decode(ids[:prompt])).endswith("<|assistant|>\n")


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    schedule = "0:0 1:1 5:1 10:0"
    factors = [learning_rate_factor(n * 1e6, schedule) for n in (0, 0.5, 3, 7.5, 10, 12)]
    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0, 0.0])


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", "x", "--no-such-thing", "1"])
    assert "unrecognized" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch's own compiler
def test_compiled_it_learns_what_it_learns_uncompiled(tmp_path: Path) -> None:
    """But for rounding, which updates of the size that the optimiser gives them make larger."""
    recipe = replace(TINY, layers=1, tokens=9_000)
    weights = {}
    for folder, compiled in (("compiled", True), ("plain", False)):
        trainer = Trainer(recipe, tmp_path / folder, "cpu", save_every=1e9, compiled=compiled)
        before = {name: each.clone() for name, each in trainer.model.state_dict().items()}
        trainer.run()
        weights[folder] = trainer.model.state_dict()
    assert before.keys() == weights["compiled"].keys()
    for name, each in weights["plain"].items():
        moved = (each - before[name]).abs().mean()
        assert moved > 0
        assert (each - weights["compiled"][name]).abs().mean() < 0.1 * moved


def test_two_workers_are_one_run_and_resume_to_the_bit(tmp_path: Path) -> None:
    def run(folder: str, tokens: int) -> dict[str, torch.Tensor]:
        recipe = replace(TINY, workers=2, batch_tokens=1500, tokens=tokens)
        how = {"device": "cpu", "save_every": 1e9}
        run_together(_train, 2, recipe, tmp_path / folder, how)
        saved = torch.load(tmp_path / folder / "checkpoint.pt", weights_only=True)
        assert saved["progress"]["tokens"] >= tokens
        assert {draw % 2 for draw, _ in saved["positions"]} == {0, 1}
        weights: dict[str, torch.Tensor] = saved["model"]
        return weights

    whole = run("whole", 12_000)
    run("stopped", 5_000)
    resumed = run("stopped", 12_000)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_goes_on_with_another_number_of_workers_on_fresh_draws(tmp_path: Path) -> None:
    alone = replace(TINY, tokens=4_000)
    Trainer(alone, tmp_path, "cpu", 1e9).run()
    for rank in (0, 1):
        trainer = Trainer(
            replace(alone, workers=2), tmp_path, "cpu", 1e9, SilentWorkers(rank=rank, size=2)
        )
        assert (trainer.progress.draw, trainer.progress.batch) == (2 + rank, 0)


def test_training_goes_on_from_exported_weights_on_fresh_draws(
    trained: Path, tmp_path: Path
) -> None:
    trainer = Trainer(replace(TINY, start=str(trained)), tmp_path, "cpu", 1e9)
    exported = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32)
    ours = trainer.model.state_dict()
    assert all(torch.equal(ours[name], t) for name, t in exported.state_dict().items())
    assert (tmp_path / "tokenizer.json").read_text() == (trained / "tokenizer.json").read_text()
    recorded = json.loads((trained / "recipe.json").read_text())["trained"]
    assert trainer.progress.tokens == recorded["tokens"]
    assert (trainer.progress.draw, trainer.progress.batch) == (recorded["draw"] + 1, 0)


def test_a_run_with_another_vocabulary_begins_with_the_words_of_the_one_before(
    trained: Path, tmp_path: Path
) -> None:
    trainer = Trainer(
        replace(TINY, start=str(trained), vocabulary=400), tmp_path, "cpu", save_every=1e9
    )
    former = AutoTokenizer.from_pretrained(trained)
    exported = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32).state_dict()
    ours = trainer.model.state_dict()
    assert len(trainer.tokenizer) == 400
    rows = ours["model.embed_tokens.weight"]
    words, before = trainer.tokenizer.get_vocab(), exported["model.embed_tokens.weight"]
    shared = words.keys() & former.get_vocab().keys()
    assert {"7", "\u0120the"} <= shared
    for token in shared:
        assert torch.equal(rows[words[token]], before[former.get_vocab()[token]])
    longer = respelt(trained, before, _with_token("zebra", tmp_path / "zebra"))[-1]
    pieces = former("zebra", add_special_tokens=False)["input_ids"]
    assert len(pieces) > 1
    assert torch.allclose(longer, before[pieces].mean(0))
    others = ours.keys() - {"model.embed_tokens.weight", "lm_head.weight"}
    assert all(torch.equal(ours[name], exported[name]) for name in others)


def _with_token(token: str, folder: Path) -> PreTrainedTokenizerFast:
    tokenizer = save_tokenizer(folder, 300)
    tokenizer.add_tokens([token])
    return tokenizer


def test_weights_of_another_shape_or_none_are_no_start(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelSpecError, match="another shape"):
        Trainer(replace(TINY, start=str(trained), hidden=64), tmp_path, "cpu", 1e9)
    with pytest.raises(ModelSpecError, match=r"no recipe\.json"):
        Trainer(replace(TINY, start=str(tmp_path / "none")), tmp_path / "b", "cpu", 1e9)


class SilentWorkers(Workers):
    """Two workers of which only one is there."""

    def gather(self, value: object) -> list[object]:
        return [value]
