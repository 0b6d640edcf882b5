"""How near a search comes to raw batched decoding, and what others pay for the same work.

    python benchmarks/engine.py --quick
    python benchmarks/engine.py --full --record
    python benchmarks/engine.py --full --llamacpp --record
    python benchmarks/engine.py --full --rows --record
    python benchmarks/engine.py --device cuda --shape 8b

A random Llama of 28M parameters in fp32 on one CPU thread. Every question has a
prompt of 600 tokens, 520 of them shared by all; each expansion draws 6 children
of 8 to 60 tokens below a child of the last expansion (70 %) or any open node.
Lengths and choices are scripted, so every way does the same work. The clock is
CPU seconds of the process (wall seconds on a GPU); the ways take turns, and
figures are medians over the turns. With 1, 4 and 16 questions at once:

search_over_ceiling_N   our search over the ceiling: the model's forward pass on a full batch of
                        6 N rows in a static cache, nothing drawn, distinct prompt tokens read once
naive_over_search_N     one `generate` call per sample over our search
nrs_over_search_N       `generate(num_return_sequences=6)` per expansion over our search
prefilled_over_distinct tokens of prompts that were read over distinct ones: 1 when nothing is
                        read twice
tokens_per_second_N     of our search

The ceiling and the two others are timed on a part of the work and scaled up. `--quick` does the
work of `--full` once, but for 16 questions at once, which it leaves out, and for one, of which it
does the beginning. (Half of the expansions, as it once did, is other work: prompts are read for
half as many tokens, and there are fewer rows at once, since rows that end last end alone.)

The same scripts and weights on llama.cpp, with eight questions at once, keys and
values in 16 bits (with the extra `llamacpp`; `--llamacpp` measures nothing else, and
is recorded apart):

llamacpp_over_ceiling   our search over bare `llama_decode` on a full batch of 48 rows, each with
                        a cache of its own, distinct prompt tokens read once
llamacpp_speedup_8      a `create_completion` call per sample, with its own prefix match, over
                        our search

`--rows` measures nothing but rows of a model of 0.5B with its vocabulary of 152,000, each behind
300 tokens of its own, CPU seconds a token that the model reads: qwen2.5-coder-0.5b in 4 bits
where the variable QSTAR_MODELS names its folder, else random weights of that shape in 8 bits:

engine_over_raw_N       our engine with a memory for each row (`row_tokens`) over bare
                        `llama_decode`, which has that too
shared_over_raw_N       the same with one memory for all rows, our default
row_tokens_per_second_N of our engine with a memory for each row
memory_over_weights     memory in use without the cache that was asked for, over the weights
transformers_over_raw_N our engine on transformers, random weights in float32, over the model's
                        forward pass in a static cache; only with `--full`
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    StaticCache,
)

from langchain_qstar.evaluation.recording import provenance, write_record
from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.protocols import SampleRequest, State, Step

RESULTS: Final = Path(__file__).parent / "results"
REPEATS: Final = 3
"""Turns of the full form."""

CHILDREN: Final = 6
SHARED: Final = 520
OWN: Final = 80
QUICK: Final = {1: 6, 4: 6}
FULL: Final = {1: 16, 4: 6, 16: 3}
GPU: Final = {1: 8, 16: 8, 64: 4}
"""Questions at once: expansions of each."""

SHAPES: Final[dict[str, dict[str, Any]]] = {
    "30m": {
        "vocab_size": 4096,
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    },
    "0.5b": {
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}


@dataclass(frozen=True)
class Expansion:
    """Children to draw: below which node, how long each; node 0 is the root."""

    parent: int
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Script:
    """The whole of one question's search, decided beforehand."""

    shared: tuple[int, ...]
    own: tuple[int, ...]
    expansions: tuple[Expansion, ...]

    def contexts(self) -> list[int]:
        """Tokens before the children of each expansion."""
        ends = [SHARED + OWN]
        contexts = []
        for expansion in self.expansions:
            contexts.append(ends[expansion.parent])
            ends += [contexts[-1] + length for length in expansion.lengths]
        return contexts


def make_scripts(questions: int, expansions: int, vocabulary: int) -> list[Script]:
    """The same scripts every time."""
    order = random.Random(questions)
    shared = tuple(order.choices(range(vocabulary), k=SHARED))
    scripts = []
    for _ in range(questions):
        chosen = [Expansion(0, _lengths(order))]
        while len(chosen) < expansions:
            last = 1 + CHILDREN * (len(chosen) - 1)
            near = order.random() < 0.7
            parent = order.randrange(last if near else 1, last + CHILDREN)
            chosen.append(Expansion(parent, _lengths(order)))
        own = tuple(order.choices(range(vocabulary), k=OWN))
        scripts.append(Script(shared, own, tuple(chosen)))
    return scripts


def _lengths(order: random.Random) -> tuple[int, ...]:
    return tuple(round(order.triangular(8, 60, 22)) for _ in range(CHILDREN))


def make_model(shape: str, device: str) -> tuple[Any, Any]:
    """A random model that never ends by itself, and a tokenizer of as many words."""
    torch.manual_seed(0)
    config = LlamaConfig(
        **SHAPES[shape],
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    with torch.device(device):
        model: Any = LlamaForCausalLM(config)
    words = {f"w{number}": number for number in range(config.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        chat_template="{% for m in messages %}{{ m['content'] }} {% endfor %}",
    )
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    return model.to(dtype).eval(), fast


class Bench:
    """The four ways of doing the scripted work on one model."""

    def __init__(self, shape: str, device: str) -> None:
        self.device = device
        self.model, self.tokenizer = make_model(shape, device)
        self.vocabulary = SHAPES[shape]["vocab_size"]

    def seconds(self, work: Callable[[], Any]) -> float:
        """What `work` takes on the clock of the device."""
        if self.device == "cpu":
            start = time.process_time()
            work()
            return time.process_time() - start
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    def search(self, scripts: Sequence[Script]) -> tuple[float, float]:
        """Seconds of our search, and prompt tokens read over distinct ones."""
        policy = TransformersPolicy(self.model, self.tokenizer, threads=1)

        async def all_of_them() -> None:
            await asyncio.gather(
                *(_search(policy, number, script) for number, script in enumerate(scripts))
            )

        policy.count_tokens("w1")
        seconds = self.seconds(lambda: asyncio.run(all_of_them()))
        read = policy.counters.prefilled
        policy.close()
        return seconds, read / (SHARED + OWN * len(scripts))

    @torch.inference_mode()
    def ceiling(self, scripts: Sequence[Script], steps: int) -> float:
        """Seconds of full batches of the bare model, scaled up from `steps` of them."""
        rows = CHILDREN * len(scripts)
        context = round(mean(length for script in scripts for length in script.contexts()))
        cache = self._filled(rows, context, steps + 2)
        ids = torch.ones((rows, 1), dtype=torch.int64, device=self.device)

        def decode(count: int) -> None:
            for _ in range(count):
                self.model(input_ids=ids, past_key_values=cache, use_cache=True)

        decode(2)
        each = self.seconds(lambda: decode(steps)) / steps
        return each * _tokens(scripts) / rows + self._reading(len(scripts))

    def _filled(self, rows: int, context: int, room: int) -> StaticCache:
        """A static cache that has seen `context` tokens; which ones makes no difference."""
        config = self.model.config
        cache = StaticCache(config=config, max_cache_len=context + room)
        heads, size = config.num_key_value_heads, config.head_dim
        cache.early_initialization(rows, heads, size, self.model.dtype, self.model.device)
        for layer in cache.layers:
            layer.cumulative_length.fill_(context)  # type: ignore[union-attr]
        return cache

    def _reading(self, questions: int) -> float:
        """Seconds to read the shared tokens once and the own ones of every question."""
        cache = DynamicCache(config=self.model.config)

        def read(count: int) -> None:
            ids = torch.ones((1, count), dtype=torch.int64, device=self.device)
            self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

        shared = self.seconds(lambda: read(SHARED))
        return shared + questions * self.seconds(lambda: read(OWN))

    def generate(self, context: int, length: int, **options: Any) -> float:
        """Seconds of one call of `generate`."""
        ids = torch.ones((1, context), dtype=torch.int64, device=self.device)
        return self.seconds(
            lambda: self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                min_new_tokens=length,
                max_new_tokens=length,
                **options,
            )
        )

    def naive(self, scripts: Sequence[Script], samples: int) -> float:
        """Seconds of a call for every child, scaled up from a few of mean size."""
        context, length = _mean_context(scripts), round(_tokens(scripts) / _children(scripts))
        each = mean(self.generate(context, length) for _ in range(samples))
        return each * _children(scripts)

    def together(self, scripts: Sequence[Script], samples: int) -> float:
        """Seconds of a call for every expansion, scaled up from a few of mean size."""
        expansions = [each for script in scripts for each in script.expansions]
        longest = round(mean(max(each.lengths) for each in expansions))
        context = _mean_context(scripts)
        calls = (
            self.generate(context, longest, num_return_sequences=CHILDREN) for _ in range(samples)
        )
        return mean(calls) * len(expansions)


LLAMACPP: Final = 8
"""Questions at once."""

LLAMACPP_EXPANSIONS: Final = 4
"""Of each."""

ROWS: Final = (8, 24, 48)
"""How many at once."""


class LlamaCppBench:
    """The same work with llama.cpp: through our engine, bare, and by its own completions."""

    def __init__(self, model: Any, folder: Path) -> None:
        from langchain_qstar.models.llamacpp.export import export_gguf

        _save_with_bytes(model, folder)
        self.file = export_gguf(folder, folder / "model.gguf")

    def search(self, scripts: Sequence[Script]) -> tuple[float, int]:
        """Seconds of our search, and how many tokens it drew."""
        from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy

        policy = LlamaCppPolicy(
            self.file, threads=1, type_k="f16", type_v="f16", chat_template="plain"
        )

        async def all_of_them() -> None:
            await asyncio.gather(
                *(
                    _search(policy, number, script, _given(script))
                    for number, script in enumerate(scripts)
                )
            )

        start = time.process_time()
        asyncio.run(all_of_them())
        seconds = time.process_time() - start
        drawn = policy.counters.generated
        policy.close()
        return seconds, drawn

    def ceiling(self, scripts: Sequence[Script], steps: int, drawn: int) -> float:
        """Seconds of full batches of bare `llama_decode`, scaled up from `steps` of them."""
        import llama_cpp as lib

        rows, context = CHILDREN * len(scripts), _mean_context(scripts)
        model = lib.llama_model_load_from_file(
            str(self.file).encode(), lib.llama_model_default_params()
        )
        parameters = lib.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = rows * (context + steps + 2), rows
        parameters.n_threads = parameters.n_threads_batch = 1
        bare = lib.llama_init_from_model(model, parameters)
        memory = lib.llama_get_memory(bare)

        def decode(sequences: range, positions: range, *, last_only: bool) -> float:
            batch = lib.llama_batch_init(len(sequences) * len(positions), 0, 1)
            places = [(sequence, position) for position in positions for sequence in sequences]
            for number, (sequence, position) in enumerate(places):
                batch.token[number], batch.pos[number] = 300 + number % 1000, position
                batch.n_seq_id[number], batch.seq_id[number][0] = 1, sequence
                batch.logits[number] = not last_only or number == len(places) - 1
            batch.n_tokens = len(places)
            start = time.process_time()
            assert lib.llama_decode(bare, batch) == 0
            seconds = time.process_time() - start
            lib.llama_batch_free(batch)
            return seconds

        shared = decode(range(1), range(SHARED), last_only=True)
        own = decode(range(1), range(SHARED, SHARED + OWN), last_only=True)
        decode(range(1), range(SHARED + OWN, context), last_only=True)
        for sequence in range(1, rows):
            lib.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
        each = [
            decode(range(rows), range(context + step, context + step + 1), last_only=False)
            for step in range(steps + 2)
        ][2:]
        lib.llama_free(bare)
        lib.llama_model_free(model)
        return mean(each) * drawn / rows + shared + own * len(scripts)

    def completions(self, scripts: Sequence[Script], expansions: int, drawn: int) -> float:
        """Seconds of a call for every child, questions in turn, scaled up from some expansions."""
        from llama_cpp import Llama

        llama = Llama(str(self.file), n_ctx=2048, n_threads=1, n_threads_batch=1, verbose=False)
        context, done, seconds = _mean_context(scripts), 0, 0.0
        for number in range(expansions + 1):
            script = scripts[number % len(scripts)]
            path = [*script.shared, *script.own, *script.shared[::-1]][:context]
            lengths = script.expansions[0].lengths
            start = time.process_time()
            for child, length in enumerate(lengths):
                made: Any = llama.create_completion(path, max_tokens=length, seed=child)
                done += made["usage"]["completion_tokens"] if number else 0
            # The first reads what the questions share, which counts once.
            seconds += time.process_time() - start if number else 0.0
        llama.close()
        return seconds / done * drawn


def _save_with_bytes(model: Any, folder: Path) -> None:
    """The model with a tokenizer of bytes only: paths are given as token ids."""
    model.config.eos_token_id = model.config.vocab_size - 1
    model.save_pretrained(folder)
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = {word: number for number, word in enumerate(sorted(level.alphabet()))}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = level
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)  # type: ignore[no-untyped-call]


def _given(script: Script) -> State:
    """The state of a question whose prompt is given as token ids."""
    parts = (Step("", token_ids=script.shared), Step("", token_ids=script.own))
    return State("x", (("user", "x"),), parts)


def measure_llamacpp(model: Any, expansions: int, repeats: int, part: int) -> dict[str, float]:
    """The figures of llama.cpp."""
    over, speedup = [], []
    with tempfile.TemporaryDirectory() as folder:
        bench = LlamaCppBench(model, Path(folder))
        scripts = make_scripts(LLAMACPP, expansions, model.config.vocab_size)
        bench.search(make_scripts(1, 1, model.config.vocab_size))  # imports, first touches
        for _ in range(repeats):
            seconds, drawn = bench.search(scripts)
            ceiling = bench.ceiling(scripts, 10 * part, drawn)
            alone = bench.completions(scripts, 2 * part, drawn)
            over.append(seconds / ceiling)
            speedup.append(alone / seconds)
    return {"llamacpp_over_ceiling": median(over), "llamacpp_speedup_8": median(speedup)}


async def _search(
    policy: LocalPolicy, number: int, script: Script, root: State | None = None
) -> None:
    """One question: every expansion after the one before it."""
    shared, own = (" ".join(f"w{token}" for token in part) for part in (script.shared, script.own))
    states = [root or State(own, (("system", shared), ("user", own)))]
    for count, expansion in enumerate(script.expansions):
        parent = states[expansion.parent]
        seed = 10**6 * number + 10 * count
        groups = await policy.asample(
            [
                SampleRequest(parent, (seed + child,), stop=(), max_tokens=length, temperature=1.0)
                for child, length in enumerate(expansion.lengths)
            ]
        )
        states += [parent.then(Step(c.text, token_ids=c.token_ids)) for (c,) in groups]


def _tokens(scripts: Sequence[Script]) -> int:
    return sum(sum(each.lengths) for script in scripts for each in script.expansions)


def _children(scripts: Sequence[Script]) -> int:
    return sum(len(each.lengths) for script in scripts for each in script.expansions)


def _mean_context(scripts: Sequence[Script]) -> int:
    return round(mean(length for script in scripts for length in script.contexts()))


def measure(bench: Bench, sizes: dict[int, int], repeats: int, part: int) -> dict[str, float]:
    """All figures; `part` says on how much of the work the other ways are timed."""
    figures: dict[str, list[float]] = {}
    bench.search(make_scripts(1, 1, bench.vocabulary))  # imports, byte code, first touches
    sets = {
        questions: make_scripts(questions, expansions, bench.vocabulary)
        for questions, expansions in sizes.items()
    }
    for _ in range(repeats):
        # What a call of its own costs does not depend on how many questions there are, only on
        # the context; one mean context for all of them, the shortest, is in the others' favour.
        shortest = min(sets.values(), key=_mean_context)
        count = _children(shortest)
        others = bench.naive(shortest, 2 * part) / count, bench.together(shortest, part) / count
        for questions, scripts in sets.items():
            ceiling = bench.ceiling(scripts, steps=10 * part)
            search, read = bench.search(scripts)
            found = {
                f"search_over_ceiling_{questions}": search / ceiling,
                f"naive_over_search_{questions}": others[0] * _children(scripts) / search,
                f"nrs_over_search_{questions}": others[1] * _children(scripts) / search,
                f"tokens_per_second_{questions}": _tokens(scripts) / search,
                "prefilled_over_distinct": read,
            }
            for name, value in found.items():
                figures.setdefault(name, []).append(value)
    return {name: median(values) for name, values in figures.items()}


def measure_rows(*, full: bool) -> tuple[dict[str, float], str]:
    """The figures of rows, and of what model they are."""
    from engine_parts import llamacpp_rows, transformers_rows
    from real_models.files import AbsentError, model_file

    from langchain_qstar.models.llamacpp.export import export_gguf

    counts, turns = (ROWS, 5) if full else (ROWS[:2], 2)
    with tempfile.TemporaryDirectory() as folder:
        try:
            file, name = model_file("qwen2.5-coder-0.5b"), "qwen2.5-coder-0.5b in 4 bits"
        except AbsentError:
            model, _ = make_model("0.5b", "cpu")
            _save_with_bytes(model, Path(folder))
            del model
            file = export_gguf(folder, Path(folder) / "model.gguf", weights="q8_0")
            name = "random weights of the shape of Qwen2.5-0.5B in 8 bits"
        figures = llamacpp_rows.measure(file, counts, turns)
    if full:
        figures |= transformers_rows.measure(*make_model("0.5b", "cpu"), counts[:2], turns)
    return figures, name


def _versioned() -> list[str]:
    llamacpp = ["llama-cpp-python"] if find_spec("llama_cpp") else []
    return ["torch", "transformers", *llamacpp]


def record(figures: dict[str, float], options: argparse.Namespace, more: dict[str, str]) -> None:
    """Write the figures down with all that is needed to repeat them."""
    on_gpu = options.device != "cpu"
    part = "_rows" * options.rows or "_llamacpp" * options.llamacpp
    what = f"_{options.device}_{options.shape}" if on_gpu else part
    document = provenance(Path(__file__), _versioned())
    write_record(
        RESULTS / f"engine{what}.json",
        {**document, **more, "repeats": REPEATS, "figures": figures},
    )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description="the engine against raw decoding and generate()")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="within 45 s (the default)")
    size.add_argument("--full", action="store_true", help="whole searches, repeated")
    parser.add_argument("--record", action="store_true", help="write them to results/")
    parser.add_argument(
        "--llamacpp", action="store_true", help="llama.cpp; not with the rest of --full"
    )
    parser.add_argument("--rows", action="store_true", help="rows of a model of 0.5B, no searches")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--shape", default="30m", choices=list(SHAPES))
    options = parser.parse_args()
    if options.record and not options.full:
        parser.error("--record needs --full")
    bare = options.llamacpp or options.rows
    if bare and (options.device != "cpu" or not find_spec("llama_cpp")):
        parser.error("llama.cpp is measured on the CPU, with the extra `llamacpp`")
    torch.set_num_threads(1)
    if options.rows:
        figures, name = measure_rows(full=options.full)
        finish(figures, options, model=name)
        return
    bench = Bench(options.shape, options.device)
    sizes = GPU if options.device == "cuda" else FULL if options.full else QUICK
    repeats, part = (REPEATS, 2) if options.full else (1, 1)
    figures = {} if options.llamacpp else measure(bench, sizes, repeats, part)
    both = not options.full and options.device == "cpu" and find_spec("llama_cpp")
    if options.llamacpp or both:
        figures |= measure_llamacpp(bench.model, LLAMACPP_EXPANSIONS, repeats, part)
    if options.device == "cuda":
        figures["peak_gigabytes"] = torch.cuda.max_memory_allocated() / 1e9
    finish(figures, options)


def finish(figures: dict[str, float], options: argparse.Namespace, **more: str) -> None:
    """Record if asked, with what `more` says of the run, and print."""
    if options.record:
        record(figures, options, more)
    for name, value in figures.items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
