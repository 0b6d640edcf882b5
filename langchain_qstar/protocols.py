"""What models, scorers and tasks must look like to be used in a search.

Floor 1: plain data and protocols. Nothing here runs a model, and nothing here
knows LangGraph. Searches depend on these shapes only, so any object that has
them can be plugged in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

from langchain_qstar.errors import InputError

if TYPE_CHECKING:
    from langchain_qstar.actions import ActionForms

Action = Literal["propose_step", "finish", "subquestion", "re_answer", "rephrase", "retrieve"]
Finish = Literal["stop", "eos", "length", "cancelled", "error"]

TextEnd = Callable[[str], int]
"""From the text so far, without the prefill, to where it ends: the number of characters up to
and including its end and blank lines after it, or 0 while it has not ended. Deterministic; text
that follows does not move the end. One that ends a whole solution, and not a step, has an
attribute `whole` that is true."""

Likeliest = tuple[tuple[int, float], ...]
"""The most probable tokens at one place: (id, natural-log probability)."""

BLANK_LINES: Final = "\n\n\n"
"""A stop string that ends a whole text, as examples in a prompt end, and not a step."""


Image = Mapping[str, Any]
"""An image as a content block of LangChain: its `type` is `image`, and `url`, `base64` (with
`mime_type`) or `file_id` says where it is. JSON types only."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of reasoning: the text of an edge of the tree.

    `text` includes its terminator (for nano the newline), so the trajectory is
    the plain concatenation of step texts. `token_ids` are the ids the policy
    produced for exactly `text` (None when the text came from elsewhere, or the
    policy does not expose ids); they are never re-tokenised. `logprobs` holds
    one natural-log probability per token of `token_ids`, under the untempered
    model (temperature 1, no truncation), or is empty when unknown.
    """

    text: str
    action: Action = "propose_step"
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """The MDP state: a question and the steps so far (Q* paper, section 3).

    Never carries a gold answer. `messages` is the rendered prompt as
    (role, content) pairs, which the task made from `question`. `images` belong to
    the last of them; only a policy that `takes_images` is asked about any.
    """

    question: str
    messages: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    images: tuple[Image, ...] = field(default=(), hash=False)

    @property
    def text(self) -> str:
        """The trajectory so far: the step texts joined in order."""
        return "".join(step.text for step in self.steps)

    def then(self, step: Step) -> State:
        """The successor state; transitions are deterministic concatenation."""
        return State(self.question, self.messages, (*self.steps, step), self.images)


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Ask a policy to continue one state `len(seeds)` times.

    `stop` strings end a completion and are kept as the end of its text; without
    any, or with `BLANK_LINES` alone, a whole text is asked for and not a step.
    `prefill` is text put after the state's steps before sampling starts (an
    action's opening such as `Q:`); it is part of the returned text.

    `top_p` in (0, 1] keeps the smallest set of tokens that reaches it, `top_k`
    that many tokens (0 for all), `min_p` in [0, 1] those at least that probable
    relative to the most probable one. `repetition_penalty` > 0 makes tokens
    that were read or drawn already less probable. A policy may not know the
    last two; local models do.

    `grammar` is what the text after the prefill must follow, and local models
    draw nothing else: a JSON schema (text that begins with `{`), GBNF (text with
    `::=`) or Lark, as llguidance reads it. A text that `max_tokens` or a stop
    string cuts is only the beginning of one that follows it. A policy that cannot
    enforce it does without and says so (`FallsShort`), or raises `GrammarError`
    where `grammar_required`.

    `top_logprobs` of the most probable tokens are to be reported at every place;
    a policy may not know them.

    `ends` decides from the text itself where it ends, beside the stop strings: for
    steps that are more than a line, and for solutions that end with their answer. It
    is asked whenever a line of the text after the prefill is finished, and a local
    model stops there. A policy that cannot ask it while it writes cuts its text there
    (`end_in`), and is charged for what it wrote.

    `thinks` makes the thought with which a reasoning model begins its reply part of the
    text, so that it can be searched. Only a policy that `shows_thoughts` knows it.

    `budget` is the most tokens that may be generated for each completion, a thought that is
    kept apart included; None is as many as `max_tokens` and a thought come to. A completion
    that it cuts ends with finish `length`.
    """

    state: State
    seeds: tuple[int, ...]
    stop: tuple[str, ...] = ("\n",)
    max_tokens: int = 64
    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int = 0
    prefill: str = ""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    grammar: str | None = None
    grammar_required: bool = False
    top_logprobs: int = 0
    ends: TextEnd | None = None
    thinks: bool = False
    budget: int | None = None

    @property
    def whole(self) -> bool:
        """Whether all of a text is asked for, and not a step."""
        if self.ends is not None:
            return bool(getattr(self.ends, "whole", False))
        return set(self.stop) <= {BLANK_LINES}

    def end_in(self, text: str) -> int:
        """Where a completion ends that is as long as `text`, prefill included; 0 if nowhere."""
        after = len(self.prefill)
        ends = [
            at + len(mark) for mark in self.stop if mark and (at := text.find(mark, after)) >= 0
        ]
        if self.ends is not None and (end := self.ends(text[after:])):
            ends.append(after + end)
        return min(ends, default=0)


_HALVES: Final = re.compile("[\ud800-\udfff]")
"""Of a pair that UTF-16 makes a character of: in a string of Python each of them is alone."""


def whole_characters(text: str) -> str:
    """`text` with U+FFFD for each half of a character, which nothing outside Python can hold."""
    return text if text.isascii() else _HALVES.sub("\ufffd", text)


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled continuation.

    `text` starts with the request's prefill and ends with the stop string that
    ended it, if one did. `token_ids`/`logprobs` as in `Step`. `generated` is
    the number of tokens the model generated for it (an end-of-sequence token
    counts, prefill does not). `prompt_tokens` is the length of what was read,
    `reused_tokens` the part of that taken from a cache. A reasoning model's
    thought is in neither text nor ids; its `thought_tokens` are part of
    `generated`. `likeliest` are, for each of `token_ids`, the most probable tokens
    at its place as (id, natural-log probability), the most probable first, under the
    untempered model without a grammar; none where a token was given, and empty
    unless the request asks for `top_logprobs`.

    A `finish` of `cancelled` says that it was given up, by its caller or because a budget was
    spent: `text` is the beginning of what the model would have written, maybe nothing.

    Halves of characters (lone surrogates), which some models' wrappers let through and no file,
    store or reply can hold, are U+FFFD in `text`.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] = ()
    finish: Finish = "stop"
    generated: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    thought_tokens: int = 0
    likeliest: tuple[Likeliest, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", whole_characters(self.text))


@runtime_checkable
class Policy(Protocol):
    """A frozen language model that proposes steps.

    `sample` returns, for each request and in order, one completion per seed in
    the order of the seeds. The same request with the same seeds gives the same
    completions whatever else is in the batch (exactly in fp32). A temperature
    of 0 is greedy. Raises `ModelError` when the model fails and `QuestionError`
    when the prompt does not fit the window.
    """

    @property
    def name(self) -> str:
        """A short name for reports, such as `nano` or `hf:org/model`."""
        ...

    @property
    def window(self) -> int | None:
        """Context length in tokens, or None when unknown."""
        ...

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text` for this model (an estimate if remote)."""
        ...

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """Sample completions for all requests as one batch."""
        ...

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`, without blocking the event loop; cancellable."""
        ...


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of completions while their batch decodes, on any thread and in any order.

    What it has is called by the model and must return at once and raise nothing.

    Attributes:
        piece: Hears (number of the request, number of the sample, next piece of its text).
            Joined, the pieces of a sample are its text. None spares the model the work
            of making text of every token.
        finished: Hears (number of the request, whole text) as soon as a completion is
            finished. It may hear of one twice, when it had to be drawn again, or not at all.
    """

    piece: Callable[[int, int, str], None] | None = None
    finished: Callable[[int, str], None] | None = None

    def __bool__(self) -> bool:
        return self.piece is not None or self.finished is not None


@runtime_checkable
class Audible(Protocol):
    """A policy that tells what it writes while it writes it. Optional.

    What is sampled is what `Policy.sample` returns, which such a policy is not asked for besides.
    """

    def sample_aloud(
        self, requests: Sequence[SampleRequest], listener: Listener
    ) -> list[list[Completion]]:
        """As `Policy.sample`, and tell `listener` meanwhile."""
        ...

    async def asample_aloud(
        self, requests: Sequence[SampleRequest], listener: Listener
    ) -> list[list[Completion]]:
        """As `sample_aloud`, without blocking the event loop."""
        ...


@runtime_checkable
class FallsShort(Protocol):
    """A policy that says what it could not do as asked. Optional; `Usage` shows it."""

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What was done instead of what was asked, in a line each; none twice."""
        ...


@runtime_checkable
class SeesImages(Protocol):
    """A policy that can say whether it reads the images of a state. Optional."""

    @property
    def takes_images(self) -> bool:
        """Whether images of a state reach the model."""
        ...


@runtime_checkable
class ShowsThoughts(Protocol):
    """A policy that can write the thoughts of a reasoning model as text. Optional."""

    @property
    def shows_thoughts(self) -> bool:
        """Whether `SampleRequest.thinks` is known."""
        ...


@runtime_checkable
class GoesOn(Protocol):
    """A policy that can say whether a text that a limit cut is gone on with exactly. Optional."""

    @property
    def goes_on(self) -> bool:
        """Whether a step of its own token ids is read as if it had not been cut."""
        ...


@runtime_checkable
class KeepsTime(Protocol):
    """A policy that can say whether it looks at the clock while it writes. Optional."""

    @property
    def keeps_time(self) -> bool:
        """Whether it ends completions at the `deadline` of `spending.allowance`, as `cancelled`."""
        ...


@runtime_checkable
class Chats(Protocol):
    """A policy that can say whether it answers chats. Optional; one that cannot is asked so."""

    @property
    def chats(self) -> bool:
        """Whether it was trained to answer chats: it has a chat template."""
        ...


@runtime_checkable
class TellsLogprobs(Protocol):
    """A policy that can say whether its completions carry log-probabilities. Optional."""

    @property
    def gives_logprobs(self) -> bool | None:
        """True: all do. False: none does. None: only the completions themselves tell."""
        ...


def gives_logprobs(policy: Policy) -> bool | None:
    """Whether completions of a policy carry log-probabilities; None where it cannot say."""
    return policy.gives_logprobs if isinstance(policy, TellsLogprobs) else None


def answers_chats(policy: Policy) -> bool:
    """Whether a policy is asked by instructions, and not by a text to go on with."""
    return policy.chats if isinstance(policy, Chats) else True


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Candidate steps of one state, to be scored together.

    `counts` says how many samples were this very step, for each of `steps`; when it is
    empty, one each. `before` is the value of the last scored step of the state, None at the
    root and where it is not known. Both are for scorers that compare; others leave them alone.
    """

    state: State
    steps: tuple[Step, ...]
    counts: tuple[int, ...] = ()
    before: float | None = None

    @property
    def samples(self) -> tuple[int, ...]:
        """How many samples each step stands for."""
        return self.counts or (1,) * len(self.steps)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of the steps of one `ScoreRequest`, in order, and what they cost.

    `values` lie in [0, 1]; those of rules (`scoring/rules.py`) may be any finite
    number. `generated_tokens`, `completions` and `read_tokens`
    are what the scorer itself spent (a head on cached hidden states spends 0).
    `stood_in` says that they are another scorer's, who took the place of the one that was
    asked for because the steps lack what that reads (`scoring/stand_in.py`).
    """

    values: tuple[float, ...]
    completions: int = 0
    generated_tokens: int = 0
    read_tokens: int = 0
    stood_in: bool = False


@runtime_checkable
class StepScorer(Protocol):
    """A Q-value model, Q(state, step), or a process reward model, r(state, step).

    Both have the same shape; which of the two a scorer is, is decided by where
    it is plugged in (`q_model` or `utility`).
    """

    @property
    def name(self) -> str:
        """A short name for reports."""
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all requests as one batch."""
        ...

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, without blocking the event loop."""
        ...


ScoreCallable = Callable[[State, Sequence[str]], Sequence[float]]
"""The plain form users write: `(state, steps) -> list[float]`, values in [0, 1]."""


Judgement = bool | tuple[bool | None, str] | None
"""What a check says of a step: True (passed), False (failed) or None (not checkable),
alone or in a pair with the reason."""

StepCheck = Callable[[State, str], Judgement]
"""A check: `(state, step) -> Judgement`, of the step's text after the state's steps.

It is deterministic: the same state and step get the same judgement. Its name in
results is its attribute `name`, or the name of the function. An exception that it
raises makes the step not checkable, with the exception as the reason.

It is taken for a test: where it passes the step that states the answer, and no check fails
another step, the answer is verified (`Solution.verified`). One that judges calculations only
says so by an attribute `calculation = True`, as `arithmetic` and `symbolic` do: that those
hold does not say that the right things were calculated.
"""


_SHOWN: Final = 60
"""Characters of a gold answer that an error shows, from its end."""


def _same(a: str, b: str) -> bool:
    return a == b


def _none(_: str) -> str | None:
    return None


def _stripped(text: str) -> str | None:
    return text.strip() or None


def _as_written(text: str) -> str:
    return text


@dataclass(frozen=True)
class Task:
    """How a family of questions is prompted, split, ended, answered and compared.

    All behaviour is plain callables, so that a user's own task is a value.
    A task never sees a gold answer during search.

    Attributes:
        name: What `task="..."` selects.
        messages: Question text -> (role, content) pairs; the last role is `user`.
        stop: Strings that end one line: a sub-question, a passage, and a step where there
            is no `step_end`.
        step_end: Where a step ends whose form is not told by `stop` alone, such as a
            thought with its formula in several lines (`stepping.thought_end`). The text
            it reads begins where the step begins.
        step_tokens: Most tokens of one step.
        solution_tokens: Most tokens of a whole solution (greedy, rollouts).
        thinks: Whether its solutions begin with the thought of a reasoning model, as part
            of their text (`stepping.thinking.with_thoughts` makes it so).
        is_terminal: Trajectory text -> True when it is a complete solution.
        answer: Trajectory text -> the final answer that it marks as such, or None (data,
            not an error).
        guess: Trajectory text -> what its end says without marking it as the answer, or
            None. Asked of ended solutions whose `answer` is None; used answers are told
            as `guessed`.
        answer_prefill: How an answer line begins, such as `The answer is`. A solution that
            ended without an answer is continued from there once, greedily, up to the end
            of the line; the empty text asks for nothing.
        gold: The answer as a data set writes it -> the final answer, or None when it
            cannot be read. Graders and labelling use it; a search never does.
        equivalent: Whether two extracted answers are the same answer.
        canonical: Trajectory text -> the text that decides whether two states are
            the same state; a search keeps one of them. By default they are the
            same when their texts are.
        prefills: The opening text of each action this task's model knows.
        checks: What judges the steps of its solutions.
        forms: How rStar's actions are asked for (`actions.ActionForms`); None leaves
            it to the task's own prompt and `prefills`.
    """

    name: str
    messages: Callable[[str], tuple[tuple[str, str], ...]]
    answer: Callable[[str], str | None]
    is_terminal: Callable[[str], bool]
    stop: tuple[str, ...] = ("\n",)
    step_end: TextEnd | None = None
    step_tokens: int = 64
    solution_tokens: int = 512
    thinks: bool = False
    guess: Callable[[str], str | None] = _none
    answer_prefill: str = ""
    gold: Callable[[str], str | None] = _stripped
    equivalent: Callable[[str, str], bool] = _same
    canonical: Callable[[str], str] = _as_written
    prefills: dict[Action, str] = field(default_factory=dict)
    checks: tuple[StepCheck, ...] = ()
    forms: ActionForms | None = None

    def read(self, text: str) -> tuple[str | None, bool]:
        """The answer of a solution that has ended, and whether it is only guessed.

        Args:
            text: A whole solution.

        Returns:
            What the text marks as its answer; else what its end says, and True; else
            None, and False.
        """
        marked = self.answer(text)
        if marked is not None:
            return marked, False
        guess = self.guess(text)
        return guess, guess is not None

    def right_answer(self, written: str) -> str:
        """The gold answer that a data set writes, as `gold` reads it.

        Raises:
            InputError: It cannot be read, so that every solution would be graded wrong.
        """
        right = self.gold(written)
        if right is None:
            shown = written if len(written) <= _SHOWN else f"...{written[-_SHOWN:]}"
            raise InputError(f"the task {self.name} cannot read the gold answer {shown!r}")
        return right

    @property
    def prompts(self) -> str:
        """Which prompts it asks with, for results; empty where its messages do not say."""
        return str(getattr(self.messages, "prompts", ""))
