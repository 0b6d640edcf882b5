"""A Hugging Face causal language model as a policy.

One engine thread per loaded model takes everything that is queued as one batch
(`decoding.py`). Results depend on the request and its seeds, not on the batch:
exactly so in fp32 up to the rounding of batched matrix products.

Rules of a completion:
- A stop string is kept as the end of the text. When it ends inside a token,
  the text is cut there; that token is left out of `token_ids` and the part of
  it before the cut is tokenised alone, so ids and text always agree.
- An end-of-sequence token is in neither text nor `token_ids`, but it counts in
  `generated`.
- Tokens of a prefill are part of `token_ids` with log-probability 0: they were
  given, not drawn.
- A trajectory that has filled the window ends with finish `length` and no
  text; a question that fills it by itself raises `QuestionError`.

It does not: share the reading of prompts between calls, admit rows into a
running batch, stream, or run on several devices.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from langchain_qstar.errors import MissingExtraError, ModelSpecError, QuestionError
from langchain_qstar.models.engine import Engine, Job
from langchain_qstar.protocols import Completion, SampleRequest, State, Step

try:
    import torch
    import transformers

    from langchain_qstar.models.decoding import Decoder, Row, pad_left
    from langchain_qstar.models.text import TextCodec
except ImportError as error:
    if (error.name or "").startswith("langchain_qstar"):
        raise
    raise MissingExtraError(error.name or "transformers", "transformers") from error

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"

_CACHED_STATES: Final = 16384
_SMALL: Final = 10_000_000
"""Parameters below which a model on the CPU gets one thread."""

_FORWARD_TOKENS: Final = 16384
"""Most padded tokens of one forward pass that reads whole trajectories."""


@dataclass(frozen=True, slots=True)
class _Call:
    """Work for the engine thread that is not sampling."""

    run: Callable[[], Any]


class _HiddenStates:
    """Hidden states by the token ids that led to them, least recently used out."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._states: OrderedDict[bytes, Floats] = OrderedDict()

    @staticmethod
    def _key(path: Sequence[int]) -> bytes:
        return np.asarray(path, dtype=np.int32).tobytes()

    def get(self, path: Sequence[int]) -> Floats | None:
        key = self._key(path)
        if key in self._states:
            self._states.move_to_end(key)
        return self._states.get(key)

    def put(self, path: Sequence[int], state: Floats) -> None:
        key = self._key(path)
        self._states[key] = state
        self._states.move_to_end(key)
        if len(self._states) > self._capacity:
            self._states.popitem(last=False)

    def clear(self) -> None:
        self._states.clear()


class _Server:
    """What the engine thread runs. It never refers to the policy object."""

    def __init__(
        self,
        model: Any,
        codec: TextCodec,
        eos: Sequence[int],
        *,
        max_rows: int,
        threads: int | None,
    ) -> None:
        self.codec = codec
        self._threads = threads
        self.decoder = Decoder(model, codec, eos)
        self.hidden = _HiddenStates(_CACHED_STATES)
        self.max_rows = max_rows
        config = model.config.get_text_config()
        self.window: int | None = getattr(config, "max_position_embeddings", None)
        self.depth = int(config.num_hidden_layers)
        self._row_tokens = self._affordable_tokens(model, config)

    @staticmethod
    def _affordable_tokens(model: Any, config: Any) -> int:
        """Tokens of keys and values that a batch may hold."""
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        each = 2 * config.num_hidden_layers * heads * size * model.dtype.itemsize
        if model.device.type == "cuda":
            memory = torch.cuda.mem_get_info(model.device)[0] // 3
        else:
            memory = 2 * 2**30
        return max(1, int(memory // each))

    def serve(self, jobs: list[Job], closing: Callable[[], bool]) -> None:
        """Resolve the jobs: all sampling as one batch, then everything else."""
        if self._threads is not None and torch.get_num_threads() != self._threads:
            # Holds for this thread only: callers keep their own setting.
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            self._sample([job for job in jobs if not isinstance(job.payload, _Call)], closing)
            for job in jobs:
                if isinstance(job.payload, _Call) and not closing():
                    job.resolve(job.payload.run())

    def _sample(self, jobs: list[Job], closing: Callable[[], bool]) -> None:
        prepared: list[tuple[Job, list[list[Row]]]] = []
        for job in jobs:
            try:
                prepared.append((job, [self._rows(request, job) for request in job.payload]))
            except QuestionError as error:
                job.fail(error)
        rows = [row for _, groups in prepared for group in groups for row in group if row.limit]
        # Rows of like length together: less padding.
        rows.sort(key=lambda row: len(row.prompt))
        for batch in self._batches(rows):
            if closing():
                return
            self.decoder.run(batch, closing)
            self._remember(batch)
        if closing():
            return
        for job, groups in prepared:
            job.resolve(
                [
                    [self._completion(request, row) for row in group]
                    for request, group in zip(job.payload, groups, strict=True)
                ]
            )

    def _rows(self, request: SampleRequest, job: Job) -> list[Row]:
        prompt = self.path(request.state) + self.codec.encode(request.prefill)
        limit = request.max_tokens
        if self.window is not None:
            limit = max(0, min(limit, self.window - len(prompt)))
        return [
            Row(
                prompt=prompt,
                seed=seed,
                limit=limit,
                stop=request.stop,
                temperature=request.temperature,
                top_p=request.top_p,
                top_k=request.top_k,
                cancelled=job.future.cancelled,
            )
            for seed in request.seeds
        ]

    def path(self, state: State) -> tuple[int, ...]:
        """The token ids of a state: its prompt, then every step's own tokens."""
        prompt = self.codec.prompt(state.messages or (("user", state.question),))
        if self.window is not None and len(prompt) >= self.window:
            raise QuestionError(
                f"the question is {len(prompt)} tokens long with its prompt; "
                f"this model reads at most {self.window - 1}: shorten it"
            )
        ids = list(prompt)
        for step in state.steps:
            ids += self.codec.encode(step.text) if step.token_ids is None else step.token_ids
        return tuple(ids)

    def _batches(self, rows: list[Row]) -> Iterable[list[Row]]:
        batch: list[Row] = []
        longest = 0
        for row in rows:
            longest = max(longest, len(row.prompt) + row.limit)
            full = len(batch) >= self.max_rows or longest * (len(batch) + 1) > self._row_tokens
            if batch and full:
                yield batch
                batch, longest = [], len(row.prompt) + row.limit
            batch.append(row)
        if batch:
            yield batch

    def _remember(self, rows: list[Row]) -> None:
        for row in rows:
            if row.hidden is not None:
                self.hidden.put((*row.prompt, *row.ids), row.hidden)

    def _completion(self, request: SampleRequest, row: Row) -> Completion:
        given = self.codec.encode(request.prefill)
        return Completion(
            text=request.prefill + row.text,
            token_ids=(*given, *row.ids, *row.cut),
            logprobs=(*(0.0 for _ in given), *row.logprobs),
            finish=row.finish,
            generated=row.generated,
            prompt_tokens=len(row.prompt),
            reused_tokens=row.reused,
        )

    def record(self, layers: tuple[int, ...]) -> None:
        """Record these hidden layers from now on, forgetting any others."""
        if layers != self.decoder.layers:
            self.hidden.clear()
            self.decoder.layers = layers

    def features(self, paths: list[tuple[int, ...]]) -> Floats:
        """Hidden states at the last token of each path, float32 [n, d]."""
        found = {path: self.hidden.get(path) for path in paths}
        missing = sorted(path for path, state in found.items() if state is None)
        for group in self._groups(_with_prefixes(missing)):
            found.update(self._read(group))
        for path in missing:
            self.hidden.put(path, _present(found[path]))
        return np.stack([_present(found[path]) for path in paths]).astype(np.float32)

    def _read(self, group: list[list[tuple[int, ...]]]) -> dict[tuple[int, ...], Floats]:
        ids, mask, positions = pad_left([chain[-1] for chain in group], self.decoder.device)
        output = self.decoder.forward(ids, mask, positions, hidden=True)
        rows = [row for row, chain in enumerate(group) for _ in chain]
        ends = [len(path) - len(chain[-1]) - 1 for chain in group for path in chain]
        wanted = torch.cat(
            [output.hidden_states[layer][rows, ends] for layer in self.decoder.layers], dim=-1
        )
        paths = [path for chain in group for path in chain]
        return dict(zip(paths, wanted.float().cpu().numpy(), strict=True))

    @staticmethod
    def _groups(chains: list[list[tuple[int, ...]]]) -> Iterable[list[list[tuple[int, ...]]]]:
        group: list[list[tuple[int, ...]]] = []
        for chain in sorted(chains, key=lambda chain: len(chain[-1])):
            if group and len(chain[-1]) * (len(group) + 1) > _FORWARD_TOKENS:
                yield group
                group = []
            group.append(chain)
        if group:
            yield group

    def logprobs(self, paths: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[list[float]]:
        """Log-probabilities of each (prefix, continuation)'s continuation tokens."""
        scored: list[list[float]] = [[] for _ in paths]
        order = [[(*prefix, *ids)] for prefix, ids in paths if ids]
        numbers = {
            id(chain): n
            for chain, n in zip(order, (n for n, (_, ids) in enumerate(paths) if ids), strict=True)
        }
        for group in self._groups(order):
            ids, mask, positions = pad_left([chain[0] for chain in group], self.decoder.device)
            logits = self.decoder.forward(ids, mask, positions, last_only=False).logits
            for row, chain in enumerate(group):
                number = numbers[id(chain)]
                length = len(paths[number][1])
                before = logits[row, -length - 1 : -1].float().log_softmax(dim=-1)
                scored[number] = before.gather(1, ids[row, -length:, None])[:, 0].tolist()
        return scored


def _present(state: Floats | None) -> Floats:
    assert state is not None
    return state


def _with_prefixes(paths: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Chain sorted paths so that each is a prefix of the next: one reading serves all."""
    chains: list[list[tuple[int, ...]]] = []
    for path in paths:
        last = chains[-1][-1] if chains else None
        if last is not None and path[: len(last)] == last:
            chains[-1].append(path)
        else:
            chains.append([path])
    return chains


class TransformersPolicy:
    """A causal LM and its tokenizer as a `Policy`, with values for a Q head.

    Besides the protocol it offers `features` (hidden states of states) and
    `token_logprobs` (scoring given text). The thread that runs the model starts
    with the first call and ends with `close`, or with the object.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str | None = None,
        max_rows: int = 512,
        threads: int | None = None,
    ) -> None:
        """Wrap a loaded model; it is put in evaluation mode.

        Args:
            model: A `transformers` causal LM, on the device it shall run on.
            tokenizer: Its tokenizer. Without a chat template, messages are
                joined as plain text.
            name: For reports; default the model's own name or path.
            max_rows: Most completions in one batch.
            threads: CPU threads of the engine. Default: one for a model of
                less than ten million parameters on the CPU, whose operations
                are too short to be shared out (on a busy machine two threads
                that wait for each other were 20 times slower than one);
                otherwise what torch is set to.

        Raises:
            ModelSpecError: The two are not a causal LM and a tokenizer.
        """
        if not hasattr(model, "forward") or not hasattr(tokenizer, "decode"):
            raise ModelSpecError("expected a (model, tokenizer) pair of transformers objects")
        model.eval()
        codec = TextCodec(tokenizer)
        self._name = name or getattr(model.config, "_name_or_path", "") or type(model).__name__
        if threads is None and _is_small(model):
            threads = 1
        self._server = _Server(
            model, codec, _eos_tokens(model, tokenizer), max_rows=max_rows, threads=threads
        )
        self._engine = Engine(self._name, self._server.serve)
        self._close = weakref.finalize(self, self._engine.close)
        self._layers_lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: Any = None,
        local_files_only: bool | None = None,
        name: str | None = None,
        max_rows: int = 512,
        threads: int | None = None,
    ) -> TransformersPolicy:
        """Load a folder, or a model of the Hugging Face hub.

        Code that comes with a model is never run (`trust_remote_code` is off).

        Args:
            source: A folder, or `ORG/NAME`.
            revision: Branch, tag or commit of a hub model.
            device: Default: a GPU when there is one, else the CPU.
            dtype: Default: float32 on the CPU, the stored type elsewhere.
            local_files_only: Default: true for folders.
            name: For reports.
            max_rows: Most completions in one batch.
            threads: CPU threads of the engine, see the constructor.

        Raises:
            ModelSpecError: Nothing there, or what is there cannot be loaded.
        """
        folder = Path(source).is_dir()
        offline = folder if local_files_only is None else local_files_only
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or (torch.float32 if device == "cpu" else "auto")
        options = {
            "revision": revision,
            "local_files_only": offline,
            "trust_remote_code": False,
        }
        try:
            with _no_progress_bars() if folder else nullcontext():
                tokenizer = transformers.AutoTokenizer.from_pretrained(str(source), **options)
                model = transformers.AutoModelForCausalLM.from_pretrained(
                    str(source), dtype=dtype, **options
                )
        except Exception as error:
            # Loaders raise anything from OSError to SafetensorError on bad files.
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise ModelSpecError(f"cannot load a model from {source}: {reason}") from error
        placed: Any = model
        return cls(
            placed.to(device),
            tokenizer,
            name=name or str(source),
            max_rows=max_rows,
            threads=threads,
        )

    @property
    def name(self) -> str:
        """A short name for reports."""
        return self._name

    @property
    def window(self) -> int | None:
        """Context length in tokens, or None when the model does not say."""
        return self._server.window

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def close(self) -> None:
        """End the engine thread; waiting calls fail with `ModelError`."""
        self._close()

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text` alone."""
        return len(self._server.codec.encode(text))

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """The text each token adds; joined, they are the text of `ids`.

        The first tokens of a character that takes several add nothing.
        """
        return self._server.codec.token_texts(ids)

    def path_ids(self, state: State) -> tuple[int, ...]:
        """The token ids of a state: its prompt, then every step's own tokens.

        Raises:
            QuestionError: The prompt alone does not fit the window.
        """
        return self._server.path(state)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """Sample all requests as one batch; see `Policy.sample`.

        Raises:
            QuestionError: A question does not fit the window.
            ModelError: The model failed, or was closed.
        """
        completions: list[list[Completion]] = _wait(self._engine.submit(list(requests)))
        return completions

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`; cancelling the task frees its rows at the next token."""
        future: Future[list[list[Completion]]] = self._engine.submit(list(requests))
        return await asyncio.wrap_future(future)

    @property
    def feature_layers(self) -> tuple[int, ...]:
        """Hidden layers that `features` returns; default the middle and the last."""
        depth = self._server.depth
        return self._server.decoder.layers or (depth // 2, depth)

    @feature_layers.setter
    def feature_layers(self, layers: Sequence[int]) -> None:
        depth = self._server.depth
        if not layers or any(not -depth <= layer <= depth for layer in layers):
            raise ModelSpecError(f"layers must lie between 0 and {depth}, got {list(layers)}")
        chosen = tuple(layer % (depth + 1) for layer in layers)
        _wait(self._engine.submit(_Call(lambda: self._server.record(chosen))))

    def features(self, states: Sequence[State]) -> Floats:
        """Hidden states at the last token of each state's trajectory.

        After the first call, sampling records the hidden state of every step
        that ends on a stop string, so the states of sampled steps cost nothing
        here; others are read by one batched forward pass.

        Args:
            states: n states, with or without steps.

        Returns:
            float32 [n, layers * hidden_size], the `feature_layers` side by
            side. Layer 0 is the embedding; the last one is after the final norm.

        Raises:
            QuestionError: A question does not fit the window.
            ModelError: The model failed, or was closed.
        """
        hidden: Floats = _wait(self._submit_features(states))
        return hidden

    async def afeatures(self, states: Sequence[State]) -> Floats:
        """As `features`, without blocking the event loop."""
        return await asyncio.wrap_future(self._submit_features(states))

    def _submit_features(self, states: Sequence[State]) -> Future[Floats]:
        server, layers = self._server, self.feature_layers
        paths = [server.path(state) for state in states]

        def read() -> Floats:
            server.record(layers)
            return server.features(paths)

        return self._engine.submit(_Call(read))

    def token_logprobs(
        self, states: Sequence[State], steps: Sequence[Step]
    ) -> list[tuple[float, ...]]:
        """Natural-log probability of each token of `steps[i]` after `states[i]`.

        Args:
            states: n states.
            steps: n steps; one without ids is tokenised alone.

        Returns:
            One tuple per pair, under the untempered model.

        Raises:
            QuestionError: A question does not fit the window.
            ModelError: The model failed, or was closed.
        """
        server = self._server
        pairs = [
            (
                server.path(state),
                server.codec.encode(step.text) if step.token_ids is None else step.token_ids,
            )
            for state, step in zip(states, steps, strict=True)
        ]
        scored = _wait(self._engine.submit(_Call(lambda: server.logprobs(pairs))))
        return [tuple(values) for values in scored]


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Standard error belongs to the search's own progress."""
    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _wait(future: Future[Any]) -> Any:
    """The future's result; an interrupted wait drops the work."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _is_small(model: Any) -> bool:
    """Whether one CPU thread is enough."""
    if torch.device(model.device).type != "cpu":
        return False
    return bool(sum(parameter.numel() for parameter in model.parameters()) < _SMALL)


def _eos_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends a completion, by the model's and tokenizer's word."""
    generation = getattr(model, "generation_config", None)
    declared = getattr(generation, "eos_token_id", None)
    ids = list(declared) if isinstance(declared, (list, tuple)) else [declared]
    ids.append(tokenizer.eos_token_id)
    return sorted({int(token) for token in ids if token is not None})
