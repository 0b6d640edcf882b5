"""Between requests and rows: states become token ids, finished rows completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_qstar.errors import QuestionError
from langchain_qstar.models.engine.backend import Sampling
from langchain_qstar.models.engine.grammars import Grammars
from langchain_qstar.models.engine.rows import Row
from langchain_qstar.models.engine.text import Message, TextCodec
from langchain_qstar.protocols import Completion, SampleRequest, State, Step

THOUGHT_TOKENS: Final = 4096
"""Most tokens of one thought; a longer one ends the completion."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may use.

    Attributes:
        window: Context length in tokens, None when unknown.
        depth: Hidden layers.
        max_rows: Most completions that run at once.
        row_tokens: Most tokens of the rows that run at once.
        cache_bytes: Memory for what was read, beyond that of running rows.
        full_rows: How many rows keep the hardware busy; more are not faster.
        shared_contexts: Whether rows use the tree's memory of their context and
            need no own, so that `row_tokens` is about what they draw only.
        longer: What lets a model read longer texts, for the message that tells so.
    """

    window: int | None
    depth: int
    max_rows: int = 512
    row_tokens: int = 2**20
    cache_bytes: int = 2**30
    full_rows: int = 96
    shared_contexts: bool = False
    longer: str = "shorten it"


@dataclass(frozen=True, slots=True)
class PromptState(State):
    """A state whose prompt is given by its token ids instead of messages."""

    prompt_ids: tuple[int, ...] = ()


class Translator:
    """What a policy knows of text, tokens and the window."""

    def __init__(
        self,
        codec: TextCodec,
        window: int | None,
        grammars: Grammars,
        *,
        thinking: bool,
        longer: str = "shorten it",
    ) -> None:
        """Translate by `codec`; `thinking` lets the model think before its first step."""
        self.codec = codec
        self._longer = longer
        self._window = window
        self._grammars = grammars
        self._thinking = thinking

    def path_ids(self, state: State, *, thinks: bool = False) -> tuple[int, ...]:
        """The token ids of a state: its prompt, then every step's own tokens.

        Args:
            state: Prompt and steps.
            thinks: Whether the steps begin with a thought.

        Raises:
            QuestionError: The prompt alone does not fit the window.
        """
        prompt = self._prompt_ids(state, thinks=thinks)
        window = self._window
        if window is not None and len(prompt) >= window:
            raise QuestionError(
                f"the question is {len(prompt)} tokens long with its prompt; "
                f"this model reads at most {window - 1}: {self._longer}"
            )
        ids = list(prompt)
        for step in state.steps:
            ids += self.step_ids(step)
        return tuple(ids)

    def _prompt_ids(self, state: State, *, thinks: bool) -> tuple[int, ...]:
        if isinstance(state, PromptState):
            if not state.prompt_ids:
                raise QuestionError("the prompt is empty; give at least one token")
            return state.prompt_ids
        # A thought that is kept apart comes before the first step, and is not part of the path.
        thinking = thinks or (self._thinking and not state.steps)
        return self.codec.prompt(state.messages or (("user", state.question),), thinking)

    def chat_state(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> PromptState:
        """The state in which the model is to answer a chat; see `TextCodec.chat`."""
        return PromptState("", prompt_ids=self.codec.chat(messages, tools, thinking=self._thinking))

    def text_state(self, text: str) -> PromptState:
        """The state in which the model is to continue a bare text."""
        return PromptState("", prompt_ids=self.codec.document(text))

    def step_ids(self, step: Step) -> tuple[int, ...]:
        """The ids a step was drawn with; foreign text is tokenised alone."""
        return self.codec.encode(step.text) if step.token_ids is None else step.token_ids

    def rows(self, request: SampleRequest) -> list[Row]:
        """A row for every seed of a request.

        Raises:
            QuestionError: The prompt alone does not fit the window.
            GrammarError: Its grammar cannot be enforced.
        """
        grammar = None if request.grammar is None else self._grammars.compile(request.grammar)
        context = self.path_ids(request.state, thinks=request.thinks) + self.codec.encode(
            request.prefill
        )
        room = request.max_tokens + THOUGHT_TOKENS
        if self._window is not None:
            room = max(0, min(room, self._window - len(context)))
        limit = min(request.max_tokens, room)
        opened = not request.thinks and self.codec.in_thought(context)
        return [
            Row(
                context=context,
                stop=request.stop,
                sampling=Sampling(
                    seed=seed,
                    temperature=request.temperature,
                    top_p=request.top_p,
                    top_k=request.top_k,
                    min_p=request.min_p,
                    repetition_penalty=request.repetition_penalty,
                ),
                limit=limit,
                thought_limit=room - limit,
                opened=opened and room > limit,
                grammar=grammar,
                alternatives=request.top_logprobs,
                ends=request.ends,
                aloud=request.thinks,
                budget=request.budget,
            )
            for seed in request.seeds
        ]

    def completions(
        self, requests: Sequence[SampleRequest], groups: list[list[Row]], reads: list[int]
    ) -> list[list[Completion]]:
        """The results of finished rows.

        Args:
            requests: What was asked.
            groups: The rows of each request.
            reads: For each request how many tokens of its context were read.
        """
        completions = []
        for request, rows, read in zip(requests, groups, reads, strict=True):
            given = self.codec.encode(request.prefill)
            completions.append(
                [
                    Completion(
                        text=request.prefill + row.text,
                        token_ids=(*given, *row.ids, *row.cut),
                        logprobs=(*(0.0 for _ in given), *row.logprobs),
                        finish=row.finish,
                        generated=row.generated,
                        prompt_tokens=len(row.context),
                        reused_tokens=len(row.context) - (0 if number else read),
                        thought_tokens=row.thought,
                        likeliest=(*(() for _ in given), *row.likeliest) if row.likeliest else (),
                    )
                    for number, row in enumerate(rows)
                ]
            )
        return completions
