"""The search tree as plain data: one flat dict of records, and pure functions over it.

A tree is `nodes`: node id -> `NodeRecord`, in order of insertion. Ids say where
a node is: the root is `0`, its children `0.0`, `0.1` ..., and so on. Records
are never changed once written; what a search learns about a node later (scores,
the order in which it was popped) is in a second dict, `stats`. Both hold JSON
types only, so that they survive a checkpoint unchanged.

Nothing here knows how a node is scored or chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic, for schemas, reads no other on Python 3.11

ROOT: Final = "0"
"""The id of the root, which holds the question and no step."""


class WrittenText(TypedDict):
    """Text that a model wrote, with its own tokens."""

    text: str
    token_ids: list[int] | None
    logprobs: list[float]


class PassageRecord(TypedDict):
    """A passage that a retriever found."""

    text: str
    """On one line, as the model reads it."""
    id: str | None
    """Of the document, None when it has none."""
    metadata: dict[str, Any]
    """The document's own, such as its source."""


class RememberedRecord(TypedDict):
    """An answer to a sub-question that an earlier search found, as it was read from a store."""

    key: str
    """Of the entry in the store."""
    subquestion: str
    """As it was asked then."""
    text: str
    """The answer as the model wrote it."""
    answer: str
    """What it comes to."""
    asked_in: str
    """The question that it was found for."""
    evidence: str
    """Why it was stored, in words."""
    confidence: float
    """Its share of the votes then, in [0, 1]."""
    votes: int


class TurnRecord(TypedDict):
    """An earlier question of a thread, and what its search came to."""

    question: str
    answer: str | None
    steps: str
    """The text of its solution."""
    messages: list[list[str]]
    """[role, content] pairs: how later prompts show it."""


class NodeRecord(TypedDict):
    """One step of the tree and the state it leads to; written once."""

    id: str
    parent: str | None
    order: int
    """Position in the order of insertion; the root is 0."""
    action: str
    text: str
    """The step's text, with its terminator; empty for the root."""
    token_ids: list[int] | None
    logprobs: list[float]
    """Natural-log probability of each token, or empty when unknown."""
    samples: int
    """How many sampled candidates were this very text."""
    length: int
    """Tokens from the start of the prompt to the end of this step."""
    terminal: bool
    """Whether the state is a complete solution."""
    truncated: bool
    """Whether the state is too deep or too long to be continued (choice 12)."""
    answer: str | None
    """The final answer of a terminal state; None when it does not parse. Of rStar also of a
    one-step thought that states an answer and is continued all the same."""
    guessed: NotRequired[bool]
    """Whether the answer is not marked as one, but read off the last sentence."""
    key: str
    """Digest of the whole text of the state, see `state_key`."""
    run: NotRequired[dict[str, Any]]
    """Of the root only: question, seed, settings and names of this run."""
    earlier: NotRequired[dict[str, float]]
    """Of the root only: what earlier runs in the same thread spent."""
    left: NotRequired[dict[str, float]]
    """Of the root only: budgets of this run that are smaller than its settings say, because
    earlier runs spent of the thread's."""
    turns: NotRequired[list[TurnRecord]]
    """Of the root only: earlier questions of the thread that the run knows, oldest first."""
    repeats: NotRequired[bool]
    """Of rStar's steps: whether it says again what its path has said; no rollout goes there."""
    replaces: NotRequired[str]
    """Of a step that a person wrote: the id of the step in whose place."""
    cut: NotRequired[str]
    """Of a step that a budget cut short: which, by its name in the settings. Nothing goes on
    from there."""
    subquestion: NotRequired[WrittenText]
    """Of rStar's sub-questions: the question; `text` and the rest are its answer."""
    passages: NotRequired[list[PassageRecord]]
    """Of a step by `retrieve`: what `text` shows, with where it is from."""
    failure: NotRequired[str]
    """Of a step by `retrieve` without text: why there are no passages."""
    remembered: NotRequired[RememberedRecord]
    """Of a sub-question whose answer was remembered, and not written by the policy."""
    memory: NotRequired[dict[str, Any]]
    """Of the root only: where the run remembers, `state.channels.MemoryFacts`."""
    confidence: NotRequired[float]
    """Of rStar's voted nodes: the share of the votes drawn that say what `text` says, in
    [0, 1]. Votes that do not parse count in the denominator only."""
    votes: NotRequired[int]
    """How many votes were drawn for `confidence`."""
    tally: NotRequired[dict[str, int]]
    """The distinct answers of those votes, first come first, and how many gave each."""


class StatRecord(TypedDict, total=False):
    """What a search learnt about one node. A missing key is not known yet."""

    visits: int
    value: float
    """Of rStar: the sum of the rewards backed up through the node, Q of UCT's Q / N."""
    q: float | None
    """Q-value of the step; None when no model scores it."""
    reward: float | None
    """Process reward of the step, R_P; None when no model scores it. Of rStar: what a
    trajectory that ends here earns, r."""
    g: float
    h: float
    f: float
    popped: int
    """Place in the order of pops; the root is 0."""
    checks: list[dict[str, Any]]
    """Verdicts on the step, `solution.Check` as JSON types."""
    closed: str
    """Why the state is never popped, though nothing is wrong with its place in the tree."""
    decision: Literal["approved", "forbidden", "replaced"]
    """What a person said about the step, last; an approved one is open though a check failed."""
    expanded: int
    """Which batch of the policy expanded the node; the first is 0."""
    cut: str
    """Which budget cut the node's expansion short, by its name in the settings."""
    completed: list[str | None]
    """Of rStar's candidates: the answers that the verifier's completions of it reached, mask
    by mask; None for one that failed or does not parse."""
    belief: float
    """Of rStar's candidates: how likely a judge finds it right, in [0, 1]."""


Nodes = Mapping[str, NodeRecord]
Stats = Mapping[str, StatRecord]


def is_closed(learnt: StatRecord) -> bool:
    """Whether a search must not go on from a node; what a person approves is open again."""
    return "closed" in learnt and learnt.get("decision") != "approved"


def child_id(parent: str, number: int) -> str:
    """The id of child `number` (counted from 0) of `parent`."""
    return f"{parent}.{number}"


def depth(node_id: str) -> int:
    """Number of steps from the root to the node; 0 for the root."""
    return node_id.count(".")


def lineage(node_id: str) -> list[str]:
    """The ids from the root down to `node_id`, both included.

    >>> lineage("0.2.1")
    ['0', '0.2', '0.2.1']
    """
    parts = node_id.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def path(nodes: Nodes, node_id: str) -> list[NodeRecord]:
    """The records of the steps that lead to `node_id`, without the root."""
    records = []
    record = nodes[node_id]
    while (parent := record["parent"]) is not None:
        records.append(record)
        record = nodes[parent]
    records.reverse()
    return records


def samples_of(nodes: Nodes, node_id: str) -> int:
    """How many samples a state stands for: those that drew it with `count_repeats`, else 1."""
    run: Mapping[str, Any] = nodes[ROOT].get("run", {})
    counts = run.get("settings", {}).get("count_repeats", False)
    return nodes[node_id]["samples"] if counts else 1


def trajectory(nodes: Nodes, node_id: str) -> str:
    """The text of the state: its step texts joined in order."""
    return "".join(record["text"] for record in path(nodes, node_id))


def reasoning(nodes: Nodes, node_id: str) -> str:
    """The text of the state without what was retrieved: what may state an answer."""
    return "".join(
        record["text"] for record in path(nodes, node_id) if record["action"] != "retrieve"
    )


def standing(actions: Sequence[str]) -> list[bool]:
    """Of the steps of a path, by their actions: whether no re-answer took the step's place."""
    return [after != "re_answer" for after in (*actions, "")[1:]] if actions else []


def children(nodes: Nodes, node_id: str) -> Iterator[str]:
    """The ids of the children of `node_id` that are in `nodes`, in order."""
    number = 0
    while (each := child_id(node_id, number)) in nodes:
        yield each
        number += 1


def below(nodes: Nodes, node_id: str) -> list[str]:
    """The ids of all nodes below `node_id`, also where numbers were left out. Looks at all."""
    start = f"{node_id}."
    return [each for each in nodes if each.startswith(start)]


def state_key(text: str) -> str:
    """A digest that two states share when their texts are the same.

    Trailing white space does not count: a last line with and without its
    newline is the same state. Leading white space does, for code needs it.
    Source: docs/papers.md, choices 4 and 15.
    """
    return blake2b(text.rstrip().encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
