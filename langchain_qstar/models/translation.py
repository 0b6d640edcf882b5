"""Between requests and rows: states become token ids, finished rows completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from langchain_qstar.errors import QuestionError
from langchain_qstar.models.backend import Sampling
from langchain_qstar.models.rows import Row
from langchain_qstar.models.text import TextCodec
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


class Translator:
    """What a policy knows of text, tokens and the window."""

    def __init__(
        self,
        codec: TextCodec,
        window: int | None,
        *,
        thinking: bool,
        longer: str = "shorten it",
    ) -> None:
        """Translate by `codec`; `thinking` lets the model think before its first step."""
        self.codec = codec
        self._longer = longer
        self._window = window
        self._thinking = thinking

    def path_ids(self, state: State) -> tuple[int, ...]:
        """The token ids of a state: its prompt, then every step's own tokens.

        Raises:
            QuestionError: The prompt alone does not fit the window.
        """
        # A thought comes before the first step and is not part of the path.
        thinking = self._thinking and not state.steps
        messages = state.messages or (("user", state.question),)
        prompt = self.codec.prompt(messages, thinking)
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

    def step_ids(self, step: Step) -> tuple[int, ...]:
        """The ids a step was drawn with; foreign text is tokenised alone."""
        return self.codec.encode(step.text) if step.token_ids is None else step.token_ids

    def rows(self, request: SampleRequest) -> list[Row]:
        """A row for every seed of a request.

        Raises:
            QuestionError: The prompt alone does not fit the window.
        """
        context = self.path_ids(request.state) + self.codec.encode(request.prefill)
        room = request.max_tokens + THOUGHT_TOKENS
        if self._window is not None:
            room = max(0, min(room, self._window - len(context)))
        limit = min(request.max_tokens, room)
        opened = self.codec.in_thought(context)
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
                    )
                    for number, row in enumerate(rows)
                ]
            )
        return completions
