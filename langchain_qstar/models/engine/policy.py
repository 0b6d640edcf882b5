"""A local model with a tokenizer as a policy, whatever library computes it.

One engine thread per loaded model; requests of all callers join what is running
(`scheduler.py`). Results depend on the request and its seeds, not on the batch:
exactly so in fp32 up to the rounding of batched matrix products.

Besides what `rows.py` says about where a completion ends:
- Tokens of a prefill are part of `token_ids` with log-probability 0: they were
  given, not drawn.
- A trajectory that has filled the window ends with finish `length` and no
  text; a question that fills it by itself raises `QuestionError`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing, contextmanager
from typing import Any, TypeAlias

import numpy as np

from langchain_qstar.errors import ModelError, ModelSpecError
from langchain_qstar.models.engine import streaming
from langchain_qstar.models.engine.backend import Backend, Counters
from langchain_qstar.models.engine.grammars import Grammars
from langchain_qstar.models.engine.jobs import CallJob, FeatureJob, NextJob, SampleJob, ScoreJob
from langchain_qstar.models.engine.rows import Endings, Row
from langchain_qstar.models.engine.scheduler import Scheduler
from langchain_qstar.models.engine.streaming import Overheard, Piece, Pieces
from langchain_qstar.models.engine.text import Message, TextCodec
from langchain_qstar.models.engine.thread import Engine
from langchain_qstar.models.engine.translation import Limits, Translator
from langchain_qstar.models.remaking import Remade
from langchain_qstar.protocols import Completion, Listener, SampleRequest, State, Step
from langchain_qstar.spending.allowance import deadline
from langchain_qstar.stopping import wait

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"


class LocalPolicy(Remade):
    """A `Policy` over a `Backend`, with values for a Q head.

    Besides the protocol it offers `features` (hidden states of states) and
    `token_logprobs` (scoring given text). The thread that runs the model starts
    with the first call and ends with `close`, or with the object.
    """

    def __init__(
        self,
        backend: Backend,
        codec: TextCodec,
        eos: Sequence[int],
        limits: Limits,
        *,
        name: str,
        thinking: bool = False,
    ) -> None:
        """Put a policy in front of a backend.

        Args:
            backend: Computes the model.
            codec: Its tokenizer.
            eos: Every token that ends a completion.
            limits: What it may use.
            name: For reports.
            thinking: Let the model think before the first step of a solution.
        """
        self._codec = codec
        self._limits = limits
        self._name = name
        size = backend.vocabulary
        grammars = Grammars(lambda: codec.grammar_tokenizer(size, eos), size)
        self._translator = Translator(
            codec, limits.window, grammars, thinking=thinking, longer=limits.longer
        )
        self._backend = backend
        self._scheduler = Scheduler(
            backend,
            Endings(codec, eos, backend.vocabulary),
            max_rows=limits.max_rows,
            row_tokens=limits.row_tokens,
            cache_bytes=limits.cache_bytes,
            shared_contexts=limits.shared_contexts,
        )
        self._engine = Engine(name, self._scheduler)
        self._close = weakref.finalize(self, self._engine.close)

    @property
    def name(self) -> str:
        """A short name for reports."""
        return self._name

    @property
    def window(self) -> int | None:
        """Context length in tokens, or None when the model does not say."""
        return self._limits.window

    @property
    def shows_thoughts(self) -> bool:
        """See `ShowsThoughts`."""
        return True

    @property
    def goes_on(self) -> bool:
        """See `GoesOn`: paths are read by the ids that were drawn."""
        return True

    @property
    def keeps_time(self) -> bool:
        """See `KeepsTime`: the engine looks at the clock between two tokens."""
        return True

    @property
    def gives_logprobs(self) -> bool:
        """True: every token that is drawn has one."""
        return True

    @property
    def full_rows(self) -> int:
        """How many completions at once keep the hardware busy; more are not faster."""
        return self._limits.full_rows

    @property
    def counters(self) -> Counters:
        """What the model has done so far; still changing while anybody waits for it."""
        return self._scheduler.counters

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def close(self) -> None:
        """End the engine thread; waiting calls fail with `ModelError`."""
        self._close()

    @property
    def chats(self) -> bool:
        """Whether it has a chat template, its own or a given one."""
        return self._codec.chats

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text` alone."""
        return len(self._codec.encode(text))

    @property
    def codec(self) -> TextCodec:
        """The model's tokenizer and chat template."""
        return self._codec

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """The text each token adds; joined, they are the text of `ids`.

        The first tokens of a character that takes several add nothing.
        """
        return self._codec.token_texts(ids)

    def chat_state(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> State:
        """The state in which the model is to answer a chat.

        Args:
            messages: Messages as the model's chat template reads them; a last one
                of the role `assistant` is continued.
            tools: Tools by their JSON schemas, for a template that shows them.

        Raises:
            ModelSpecError: The template refuses the messages.
        """
        return self._translator.chat_state(messages, tools)

    def text_state(self, text: str) -> State:
        """The state in which the model is to continue a bare text, without a template."""
        return self._translator.text_state(text)

    def path_ids(self, state: State) -> tuple[int, ...]:
        """The token ids of a state: its prompt, then every step's own tokens.

        Raises:
            QuestionError: The prompt alone does not fit the window.
        """
        return self._translator.path_ids(state)

    def sample(
        self, requests: Sequence[SampleRequest], *, timeout: float | None = None
    ) -> list[list[Completion]]:
        """Sample all requests together with whatever is running; see `Policy.sample`.

        Args:
            requests: What to sample.
            timeout: Most seconds to wait; then the rows are freed.

        Raises:
            QuestionError: A question does not fit the window.
            GrammarError: A grammar cannot be enforced.
            ModelError: The model failed, was closed, or took longer than `timeout`.
        """
        groups = [self._translator.rows(request) for request in requests]
        with self._in_time(timeout):
            reads = wait(self._submit_rows(groups), timeout)
        return self._translator.completions(requests, groups, reads)

    async def asample(
        self,
        requests: Sequence[SampleRequest],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as `sample`
    ) -> list[list[Completion]]:
        """As `sample`; cancelling the task frees its rows at the next token."""
        groups = [self._translator.rows(request) for request in requests]
        with self._in_time(timeout):
            async with asyncio.timeout(timeout):
                reads = await asyncio.wrap_future(self._submit_rows(groups))
        return self._translator.completions(requests, groups, reads)

    def sample_aloud(
        self, requests: Sequence[SampleRequest], listener: Listener
    ) -> list[list[Completion]]:
        """As `sample`; see `Audible`.

        The listener is called on the engine's thread, which all searches share: it, and
        making text of tokens, holds up every one of them.
        """
        groups = [self._translator.rows(request) for request in requests]
        overheard = Overheard(self._codec, requests, groups, listener)
        reads = wait(self._submit_rows(groups))
        return overheard.end(self._translator.completions(requests, groups, reads))

    async def asample_aloud(
        self, requests: Sequence[SampleRequest], listener: Listener
    ) -> list[list[Completion]]:
        """As `sample_aloud`; cancelling the task frees its rows at the next token."""
        groups = [self._translator.rows(request) for request in requests]
        overheard = Overheard(self._codec, requests, groups, listener)
        reads = await asyncio.wrap_future(self._submit_rows(groups))
        return overheard.end(self._translator.completions(requests, groups, reads))

    def _submit_rows(self, groups: list[list[Row]]) -> Future[list[int]]:
        """Complete rows, which end with what they have when the caller's time is over."""
        return self._engine.submit(SampleJob(groups, deadline()))

    @contextmanager
    def _in_time(self, timeout: float | None) -> Iterator[None]:
        """Running out of time is an error of ours."""
        try:
            yield
        except TimeoutError:
            raise ModelError(
                f"model {self._name} was not done after {timeout} s; raise timeout, or ask for less"
            ) from None

    def stream(self, request: SampleRequest, *, timeout: float | None = None) -> Iterator[Piece]:
        """Sample one completion and hand out its text as it is written.

        Args:
            request: With one seed.
            timeout: Most seconds until the last piece.

        Yields:
            Pieces; joined, their texts are what `sample` returns, and the last
            has the completion. Closing the iterator frees the row at the next token.

        Raises:
            QuestionError: The question does not fit the window.
            GrammarError: The grammar cannot be enforced.
            ModelError: The model failed, was closed, or took longer than `timeout`.
        """
        with self._in_time(timeout):
            yield from streaming.stream(*self._streamed(request), timeout)

    async def astream(
        self,
        request: SampleRequest,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as `stream`
    ) -> AsyncGenerator[Piece]:
        """As `stream`, without blocking the event loop."""
        pieces = streaming.astream(*self._streamed(request), timeout)
        with self._in_time(timeout):
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece

    def _streamed(
        self, request: SampleRequest
    ) -> tuple[streaming.Submit, Pieces, Callable[[Any], Completion]]:
        """How a row is begun, made into pieces, and ended."""
        (row,) = self._translator.rows(request)

        def submit(listener: streaming.Hear) -> Future[Any]:
            row.listener = listener
            return self._engine.submit(SampleJob([[row]]))

        def finish(reads: list[int]) -> Completion:
            return self._translator.completions([request], [[row]], reads)[0][0]

        return submit, Pieces(self._codec, row.context, request.stop, request.prefill), finish

    @property
    def feature_layers(self) -> tuple[int, ...]:
        """Hidden layers that `features` returns; default the middle and the last."""
        depth = self._limits.depth
        return self._backend.layers or (depth // 2, depth)

    @feature_layers.setter
    def feature_layers(self, layers: Sequence[int]) -> None:
        depth = self._limits.depth
        if not layers or any(not -depth <= layer <= depth for layer in layers):
            raise ModelSpecError(f"layers must lie between 0 and {depth}, got {list(layers)}")
        chosen = tuple(layer % (depth + 1) for layer in layers)
        backend = self._backend

        def choose() -> None:
            backend.layers = chosen

        wait(self._engine.submit(CallJob(choose)))

    def features(self, states: Sequence[State]) -> Floats:
        """Hidden states at the last token of each state's trajectory.

        After the first call, sampling records the hidden states at the end of
        every step, so those of sampled steps cost nothing here; of others only
        what is new is read, all of it together.

        Args:
            states: n states, with or without steps.

        Returns:
            float32 [n, layers * hidden_size], the `feature_layers` side by
            side. Layer 0 is the embedding; the last one is after the final norm.

        Raises:
            QuestionError: A question does not fit the window.
            ModelError: The model failed, or was closed.
        """
        hidden: Floats = wait(self._submit_features(states))
        return hidden

    async def afeatures(self, states: Sequence[State]) -> Floats:
        """As `features`, without blocking the event loop."""
        return await asyncio.wrap_future(self._submit_features(states))

    def _submit_features(self, states: Sequence[State]) -> Future[Floats]:
        paths = [self.path_ids(state) for state in states]
        return self._engine.submit(FeatureJob(paths, self.feature_layers))

    def next_logprobs(
        self, states: Sequence[State], words: Sequence[str]
    ) -> list[tuple[tuple[float, ...], int]]:
        """Natural-log probabilities of `words` to come next after each state.

        Args:
            states: n states.
            words: Texts of one token each.

        Returns:
            For each state the log-probabilities of the words, in order, and
            how many tokens had to be read for them.

        Raises:
            QuestionError: A question does not fit the window.
            ModelSpecError: A word is not one token for this model.
            ModelError: The model failed, or was closed.
        """
        found = wait(self._submit_next(states, words))
        return [(tuple(values), read) for values, read in found]

    async def anext_logprobs(
        self, states: Sequence[State], words: Sequence[str]
    ) -> list[tuple[tuple[float, ...], int]]:
        """As `next_logprobs`, without blocking the event loop."""
        found = await asyncio.wrap_future(self._submit_next(states, words))
        return [(tuple(values), read) for values, read in found]

    def _submit_next(self, states: Sequence[State], words: Sequence[str]) -> Future[Any]:
        tokens: list[int] = []
        for word in words:
            ids = self._codec.encode(word)
            if len(ids) != 1:
                raise ModelSpecError(
                    f"{word!r} is {len(ids)} tokens for {self._name}; give texts of one token"
                )
            tokens += ids
        paths = [self.path_ids(state) for state in states]
        return self._engine.submit(NextJob(paths, tuple(tokens)))

    def token_logprobs(
        self, states: Sequence[State], steps: Sequence[Step]
    ) -> list[tuple[float, ...]]:
        """Natural-log probability of each token of `steps[i]` after `states[i]`.

        Only what was never read is read, and steps of one state share it.

        Args:
            states: n states.
            steps: n steps; one without ids is tokenised alone.

        Returns:
            One tuple per pair, under the untempered model.

        Raises:
            QuestionError: A question does not fit the window.
            ModelError: The model failed, or was closed.
        """
        pairs = [
            (self.path_ids(state), self._translator.step_ids(step))
            for state, step in zip(states, steps, strict=True)
        ]
        scored = iter(wait(self._engine.submit(ScoreJob([pair for pair in pairs if pair[1]]))))
        return [next(scored) if ids else () for _, ids in pairs]
