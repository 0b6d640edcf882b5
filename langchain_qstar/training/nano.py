"""Train the bundled model from scratch: `python -m langchain_qstar.training.nano --out FOLDER`.

One resumable command: it writes a checkpoint every few minutes, and started
again with the same folder it goes on where it stopped (kill it whenever you
like). Progress goes to standard error and, a JSON object a line, to
`training.jsonl`. Documents are drawn from their seed, so a resumed run sees the
same data in the same order. With `--workers 2` two processes of one thread
each share every step: on two cores that is faster than one process of two
threads, which meet at a barrier after every operation, and other work on the
machine slows it far less.

What it does not do: read any data set, or load any pretrained weights.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.training.averaging import WEIGHTS_FILE
from langchain_qstar.training.documents import make_document
from langchain_qstar.training.tokenizer import ASSISTANT, END, USER, save_tokenizer
from langchain_qstar.training.workers import Workers, run_together

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

QUESTION_WEIGHT, WORD_WEIGHT, OPERAND_WEIGHT, RESULT_WEIGHT = 0.05, 0.3, 3.0, 0.5
"""Loss weights of the question's tokens, of the completion's words, of what a line computes with,
and of its result. Which words and which order come next is drawn at random, so most of their
loss teaches nothing; to take the right numbers out of the text is what a small model is slowest
to learn, and a slip in a result is what a vote or a check mends best."""

_LENGTHS: Final = 8
"""The lengths of batches, less the token that is only predicted, are multiples of this."""


_REPORT_STEPS: Final = 50
_EMBEDDINGS: Final = "model.embed_tokens.weight"
_NUMBERS: Final = frozenset("0123456789+-*/=?")
_NEWLINE: Final = "\u010a"  # how byte-level BPE writes it

Batch: TypeAlias = list[tuple[list[int], list[float]]]
"""Token ids and loss weights of some documents."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the weights, given library versions and device."""

    hidden: int = 160
    layers: int = 6
    heads: int = 5
    intermediate: int = 448
    tokens: int = 82_000_000
    """Training tokens, questions included."""
    batch_tokens: int = 3_600
    muon_lr: float = 4e-3
    adam_lr: float = 2e-3
    schedule: str = (
        "0:0.001 0.28:1 11.2:1 21.5:0.388 34:0.02 34.6:0.7 37:1 50.6:0.773 70.93:0.384 82:0.02"
    )
    """Learning rate, as a factor, after so many million tokens; straight lines between."""
    seed: int = 1
    vocabulary: int = 2304
    """Tokens of the tokenizer, which is learnt before the weights are, or taken from `start` if
    that has as many; if it has not, its embeddings are carried over."""
    start: str = ""
    """A folder whose exported weights are trained on; tokens count on from its recipe. By
    default the weights begin at random."""
    workers: int = 2
    """Processes that share a step: each reads `batch_tokens` of its own draws. The bundled
    weights had one until 36.7 million tokens, so this recipe does not repeat them to the bit."""


def vocabulary_of(folder: str) -> int:
    """Tokens of the exported model in `folder`."""
    return int(json.loads((Path(folder) / "config.json").read_text("utf-8"))["vocab_size"])


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A randomly initialised Llama of the recipe's shape."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.02,
    )
    return LlamaForCausalLM(config)


def _register_attention() -> str:
    """Causal attention by plain matrix products; the name transformers knows it by.

    On the CPU in bf16 the backward pass of the fused kernel takes half of all
    training time; this whole step is 1.25 times faster. Padding stands on the
    right and carries no loss, so the causal mask is the only one needed.
    """
    import torch
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    def attend(  # the signature is transformers' own
        _module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        _mask: None,
        scaling: float,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        rows, heads, length, size = query.shape
        q, k, v = (t.reshape(rows * heads, length, size) for t in (query * scaling, key, value))
        future = torch.full((length, length), float("-inf"), dtype=q.dtype).triu(1)
        weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)) + future, dim=-1)
        mixed = torch.bmm(weights.to(v.dtype), v).view(rows, heads, length, size)
        return mixed.transpose(1, 2).contiguous(), None

    name = "causal_products"
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, lambda *_, **__: None)
    return name


def loss_weights(completion: Sequence[str]) -> list[float]:
    """The loss weight of each token of a completion."""
    weights, computed = [], False
    for piece in completion:
        number = piece in _NUMBERS
        weights.append(WORD_WEIGHT if not number else RESULT_WEIGHT if computed else OPERAND_WEIGHT)
        computed = (computed or piece == "=") and piece != _NEWLINE
    return weights


class Documents:
    """Batches of tokenised documents, by number: batch n is always the same one.

    Each draw of documents is sorted by length and cut into batches of at most
    `batch_tokens` padded tokens, in an order that hides the lengths again.
    """

    _DRAW = 512

    def __init__(self, tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> None:
        self._tokenizer, self._recipe = tokenizer, recipe

    def batches(self, draw: int) -> list[Batch]:
        """The batches of one draw: lists of (token ids, their loss weights)."""
        import random

        first = (self._recipe.seed * 1_000_000 + draw) * self._DRAW
        documents = sorted(
            (self._encode(seed) for seed in range(first, first + self._DRAW)),
            key=lambda item: len(item[0]),
        )
        batches: list[Batch] = [[]]
        for item in documents:
            if batches[-1] and len(item[0]) * (len(batches[-1]) + 1) > self._recipe.batch_tokens:
                batches.append([])
            batches[-1].append(item)
        random.Random(draw).shuffle(batches)
        return batches

    def _encode(self, seed: int) -> tuple[list[int], list[float]]:
        document = make_document(seed)
        prompt = self._ids(f"{USER}\n{document.question}\n{ASSISTANT}\n")
        completion = self._ids(document.completion + END)
        pieces = self._tokenizer.convert_ids_to_tokens(completion)
        return prompt + completion, [QUESTION_WEIGHT] * len(prompt) + loss_weights(pieces)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def stream(self, draw: int, skip: int) -> Iterator[tuple[int, int, Batch]]:
        """(draw, number in the draw, batch) from a position on, tokenised ahead.

        A worker reads every `workers`-th draw, so no two read the same.
        """
        stride = self._recipe.workers
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[list[Batch]] = pool.submit(self.batches, draw)
            while True:
                batches = ahead.result()
                ahead = pool.submit(self.batches, draw + stride)
                for number in range(skip, len(batches)):
                    yield draw, number, batches[number]
                draw, skip = draw + stride, 0


def respelt(
    folder: Path, embeddings: torch.Tensor, tokenizer: PreTrainedTokenizerBase
) -> torch.Tensor:
    """Embeddings for `tokenizer`, (its tokens, hidden), out of those of the model in `folder`.

    A token begins as the mean of the tokens that spelt it before, so that what the
    layers know (arithmetic, the forms of solutions) is not learnt again.
    """
    import torch
    from transformers import AutoTokenizer

    former = AutoTokenizer.from_pretrained(folder)
    rows = []
    for token in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))):
        known = former.get_vocab().get(token)
        text = tokenizer.convert_tokens_to_string([token])
        spelt = former(text, add_special_tokens=False)["input_ids"] if known is None else [known]
        rows.append(embeddings[spelt].mean(0))
    return torch.stack(rows)


def learning_rate_factor(tokens: float, schedule: str) -> float:
    """The factor after `tokens` tokens, on straight lines through the schedule's knots."""
    knots = [tuple(map(float, knot.split(":"))) for knot in schedule.split()]
    for (x0, y0), (x1, y1) in pairwise(knots):
        if tokens / 1e6 < x1:
            return y0 + (y1 - y0) * (tokens / 1e6 - x0) / (x1 - x0)
    return knots[-1][1]


def _loss(model: Any, batch: Batch, pad: int, device: str) -> torch.Tensor:
    import torch
    import torch.nn.functional as F

    longest = max(len(ids) for ids, _ in batch)
    # Few distinct shapes: the CPU's kernels are compiled and kept for each.
    length = -(-(longest - 1) // _LENGTHS) * _LENGTHS + 1
    ids = torch.full((len(batch), length), pad)
    weights = torch.zeros((len(batch), length))
    for row, (tokens, weighed) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        weights[row, : len(tokens)] = torch.tensor(weighed)
    ids, weights = ids.to(device), weights.to(device)
    with torch.autocast(device.split(":", maxsplit=1)[0], dtype=torch.bfloat16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    flat = weights[:, 1:].flatten()
    return (loss * flat).sum() / flat.sum()


def _optimizers(model: Any, recipe: Recipe) -> list[torch.optim.Optimizer]:
    import torch

    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.muon_lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=recipe.adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


@dataclass
class Progress:
    """Where training is: saved in every checkpoint."""

    tokens: int = 0
    steps: int = 0
    draw: int = 0
    batch: int = 0
    seconds: float = 0.0


class Trainer:
    """Runs a recipe in a folder, from its checkpoint if there is one."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        device: str,
        save_every: float,
        workers: Workers | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        import torch

        self.recipe, self.folder, self.device, self.save_every = recipe, folder, device, save_every
        self.workers = workers or Workers()
        if recipe.start and not (Path(recipe.start) / "recipe.json").is_file():
            raise ModelSpecError(f"{recipe.start} holds no recipe.json; start from an export")
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer = self._load_tokenizer()
        model: Any = build_model(recipe, self.tokenizer)
        if torch.device(device).type == "cpu":
            model.config._attn_implementation = _register_attention()  # noqa: SLF001
        self.model = model.to(device)
        self._forward = torch.compile(self.model, dynamic=True) if compiled else self.model
        self.optimizers = _optimizers(self.model, recipe)
        self.progress = Progress(draw=self.workers.rank)
        self._checkpoint = folder / "checkpoint.pt"
        if self._checkpoint.exists():
            saved = torch.load(self._checkpoint, map_location=device, weights_only=True)
            self.model.load_state_dict(saved["model"])
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.progress = Progress(**saved["progress"])
            self._take_position(saved["positions"])
        elif recipe.start:
            self._start_from(Path(recipe.start))

    def _start_from(self, folder: Path) -> None:
        """Take the weights of an exported model, and read on where its documents ended."""
        from safetensors.torch import load_file

        trained = json.loads((folder / "recipe.json").read_text("utf-8"))["trained"]
        weights = {
            name: tensor.float() for name, tensor in load_file(folder / WEIGHTS_FILE).items()
        }
        if len(weights[_EMBEDDINGS]) != len(self.tokenizer):
            weights[_EMBEDDINGS] = respelt(folder, weights[_EMBEDDINGS], self.tokenizer)
        expected = {name: tensor.shape for name, tensor in self.model.state_dict().items()}
        del expected["lm_head.weight"]  # tied to the embeddings, so not stored
        if {name: tensor.shape for name, tensor in weights.items()} != expected:
            raise ModelSpecError(f"{folder} holds a model of another shape than the recipe's")
        self.model.load_state_dict(weights, strict=False)
        self.progress = Progress(**trained)
        self._take_fresh_draws(after=trained["draw"])

    def _take_position(self, positions: list[tuple[int, int]]) -> None:
        """Go on where this worker stopped; another number of workers starts on fresh draws."""
        if len(positions) == self.workers.size:
            self.progress.draw, self.progress.batch = positions[self.workers.rank]
        else:
            self._take_fresh_draws(after=max(draw for draw, _ in positions))

    def _take_fresh_draws(self, after: int) -> None:
        first = (after // self.workers.size + 1) * self.workers.size
        self.progress.draw, self.progress.batch = first + self.workers.rank, 0

    def _load_tokenizer(self) -> PreTrainedTokenizerFast:
        from transformers import AutoTokenizer

        if self.workers.rank == 0 and not (self.folder / "tokenizer.json").exists():
            if self.recipe.start and vocabulary_of(self.recipe.start) == self.recipe.vocabulary:
                AutoTokenizer.from_pretrained(self.recipe.start).save_pretrained(self.folder)
            else:
                save_tokenizer(self.folder, self.recipe.vocabulary)
        self.workers.gather(None)
        return cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(self.folder))

    def run(self) -> None:
        """Train until the recipe's tokens are seen, then write the weights in fp16."""
        last_save = time.monotonic()
        started, base = last_save, self.progress.seconds
        running: float | None = None
        documents = Documents(self.tokenizer, self.recipe)
        for draw, number, batch in documents.stream(self.progress.draw, self.progress.batch):
            loss, tokens = self._step(batch)
            running = loss if running is None else 0.97 * running + 0.03 * loss
            p = self.progress
            p.draw, p.batch, p.steps = draw, number + 1, p.steps + 1
            p.tokens += tokens
            p.seconds = base + time.monotonic() - started
            if p.steps % _REPORT_STEPS == 0:
                self._report(running)
            if self._is_due(last_save):
                self.save()
                last_save = time.monotonic()
            if p.tokens >= self.recipe.tokens:
                self._report(running)
                break
        self.save()
        if self.workers.rank == 0:
            self.export()

    def _is_due(self, last_save: float) -> bool:
        """Whether to save now; workers, whose clocks differ, ask each other now and then."""
        due = time.monotonic() - last_save > self.save_every
        asks = self.workers.size == 1 or self.progress.steps % _REPORT_STEPS == 0
        return asks and any(self.workers.gather(due))

    def _step(self, batch: Batch) -> tuple[float, int]:
        """One update; this worker's loss and the tokens that all have read."""
        import torch

        factor = learning_rate_factor(self.progress.tokens, self.recipe.schedule)
        rates = (self.recipe.muon_lr, self.recipe.adam_lr)
        for optimizer, rate in zip(self.optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        loss = _loss(self._forward, batch, int(self.tokenizer.pad_token_id or 0), self.device)
        loss.backward()  # type: ignore[no-untyped-call]
        tokens = self.workers.average(self.model.parameters(), sum(len(ids) for ids, _ in batch))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RuntimeError(f"the loss became {value} at step {self.progress.steps}")
        return value, tokens

    def _report(self, loss: float) -> None:
        if self.workers.rank > 0:
            return
        p = self.progress
        row = {
            **asdict(p),
            "loss": round(loss, 4),
            "tokens_per_second": round(p.tokens / p.seconds),
        }
        with (self.folder / "training.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        left = (self.recipe.tokens - p.tokens) * p.seconds / max(1, p.tokens)
        sys.stderr.write(
            f"\r{p.tokens / 1e6:6.2f}M of {self.recipe.tokens / 1e6:.0f}M tokens  "
            f"loss {loss:.4f}  {row['tokens_per_second']} tokens/s  {left / 60:.0f} min left "
        )
        sys.stderr.flush()

    def save(self) -> None:
        """Write the checkpoint; a kill while writing leaves the one before."""
        import torch

        positions = self.workers.gather((self.progress.draw, self.progress.batch))
        if self.workers.rank > 0:
            return
        temporary = self._checkpoint.with_suffix(".tmp")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizers": [o.state_dict() for o in self.optimizers],
                "progress": asdict(self.progress),
                "positions": positions,
            },
            temporary,
        )
        temporary.replace(self._checkpoint)

    def export(self) -> None:
        """Write the model in Hugging Face format, fp16, beside the checkpoint."""
        import copy

        import torch

        model = copy.deepcopy(self.model).to(torch.float16)
        model.generation_config.eos_token_id = self.tokenizer.eos_token_id
        model.generation_config.pad_token_id = self.tokenizer.pad_token_id
        model.save_pretrained(self.folder)
        (self.folder / "recipe.json").write_text(
            json.dumps({**asdict(self.recipe), "trained": asdict(self.progress)}, indent=2) + "\n",
            encoding="utf-8",
        )


def main(arguments: list[str] | None = None) -> None:
    """Command line of the training run."""
    import torch

    defaults = Recipe()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; resumed if it exists"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: all cores)")
    parser.add_argument("--save-every", type=float, default=180.0, metavar="SECONDS")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="1.1 to 1.5 times as fast on a CPU; needs a C++ compiler",
    )
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args(arguments))
    folder, device = options.pop("out"), options.pop("device")
    threads, save_every = options.pop("threads"), options.pop("save_every")
    compiled = options.pop("compile")
    if threads:
        torch.set_num_threads(threads)
    recipe = Recipe(**options)
    how = {"device": device, "save_every": save_every, "compiled": compiled}
    run_together(_train, recipe.workers, recipe, folder, how)


def _train(workers: Workers, recipe: Recipe, folder: Path, how: dict[str, Any]) -> None:
    Trainer(recipe, folder, workers=workers, **how).run()


if __name__ == "__main__":
    main()
