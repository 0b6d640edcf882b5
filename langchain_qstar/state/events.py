"""The events of a stream, in the order in which a search has them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class SelectedNode(TypedDict):
    """A popped state; or, of rStar, where a rollout has come to."""

    id: str
    text: str
    f: float | None
    terminal: bool
    rollout: NotRequired[int]


class SelectedEvent(TypedDict):
    """`select` popped states; `open` is how many are left (of rStar: rollouts to begin)."""

    type: Literal["selected"]
    nodes: list[SelectedNode]
    open: int


class ProposedNode(TypedDict):
    """A new step."""

    id: str
    parent: str
    text: str
    samples: int
    terminal: bool
    action: NotRequired[str]
    """Of rStar always; of Q* where it says more than the text: `retrieve`, and a remembered
    `subquestion`."""


class ProposedEvent(TypedDict):
    """`propose_step`, or another action, continued the states `parents` in one batch."""

    type: Literal["proposed"]
    parents: list[str]
    nodes: list[ProposedNode]


class VotedNode(TypedDict):
    """A step whose answer was voted for; None when no vote parses."""

    id: str
    answer: str | None
    confidence: float
    votes: int


class VotedEvent(TypedDict):
    """An action of rStar counted votes."""

    type: Literal["voted"]
    nodes: list[VotedNode]


class CheckedNode(TypedDict):
    """A step and the verdicts on it, each a `Check` as a dict."""

    id: str
    text: str
    checks: list[dict[str, Any]]


class CheckedEvent(TypedDict):
    """Checks judged new steps; there is none where a search has no checks."""

    type: Literal["checked"]
    nodes: list[CheckedNode]


class PrunedNode(TypedDict):
    """A step from which the search does not go on, and why."""

    id: str
    text: str
    reason: str


class PrunedEvent(TypedDict):
    """Steps were closed: by a failed check, or by a person."""

    type: Literal["pruned"]
    nodes: list[PrunedNode]


class ScoredNode(TypedDict):
    """A step that was scored; f is None while it is not in the frontier.

    `closed` says why a check keeps it from being popped, or is None.
    """

    id: str
    text: str
    q: float | None
    reward: float | None
    f: float | None
    closed: str | None


class ScoredEvent(TypedDict):
    """`score_with_q` scored steps."""

    type: Literal["scored"]
    nodes: list[ScoredNode]


class BackedUpRollout(TypedDict):
    """A rollout that ended at node `id` and earned `reward`."""

    rollout: int
    id: str
    answer: str | None
    reward: float


class BackedUpEvent(TypedDict):
    """`backup` added rewards to the nodes of ended rollouts."""

    type: Literal["backed_up"]
    rollouts: list[BackedUpRollout]


class VerifiedNode(TypedDict):
    """A candidate, what the verifier's completions of it reached, and whether it survived."""

    id: str
    answer: str
    completed: list[str | None]
    survived: bool


class VerifiedEvent(TypedDict):
    """`verify_by_completion` asked the verifier, in one batch."""

    type: Literal["verified"]
    nodes: list[VerifiedNode]


class AnsweredEvent(TypedDict):
    """`answer` ended the search; `id` is the node whose path is the solution."""

    type: Literal["answered"]
    id: str
    answer: str | None
    stopped: str


class WritingEvent(TypedDict):
    """The next piece of a text that the model is writing, where the run asks for it.

    `node` is the node of the graph that waits for it. `request` counts the requests of its
    batch from 0, `sample` the samples of one request; of Q*'s propose_step, request n
    continues `parents[n]` of the `proposed` event that follows. A sample that says what
    another says is written, and not proposed again.
    """

    type: Literal["writing"]
    node: str
    request: int
    sample: int
    text: str


SearchEvent = (
    SelectedEvent
    | WritingEvent
    | ProposedEvent
    | VotedEvent
    | CheckedEvent
    | PrunedEvent
    | ScoredEvent
    | BackedUpEvent
    | VerifiedEvent
    | AnsweredEvent
)
"""What the `stream` of a search yields before the result."""
