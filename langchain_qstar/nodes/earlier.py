"""What a run takes over from the run before it in its thread, where `remember_thread` says so.

The same question with the same models and settings, but for those that only say when to stop,
goes on in the tree that is there: what it spent counts, and its tree is the one that one search
with the later budget would have grown. An expansion that a budget cut short is made again, and
paid for again. (A completion by which an earlier end made up for the lack
of an answer stays in the tree, as one more complete state.)

Any other question begins a tree of its own, whose prompts show the thread's earlier questions
and their solutions as a conversation: the last ones, as many as leave room in the policy's
window for a solution. Their images are not shown again. No step of the other tree is taken
over: it was a step to another answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from langchain_qstar.nodes.room import TEMPLATE_TOKENS
from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import Policy, Task
from langchain_qstar.solution import Solution
from langchain_qstar.tree import ROOT, NodeRecord, Nodes, StatRecord, Stats, TurnRecord, below

MOST_TURNS: Final = 8
"""Earlier questions that a run knows at most."""

STOPPING: Final = frozenset(
    {"max_pops", "num_trajectories", "num_rollouts", "remember_thread"}
    | {"max_tokens", "max_completions", "max_seconds", "max_nodes", "completion_share"}
    | {"max_thread_tokens", "max_thread_completions", "max_thread_seconds", "max_thread_nodes"}
)
"""Settings that say when a search stops, and nothing about how its tree grows."""


@cache
def _prompt() -> Prompt:
    return load_prompt("turn", {"steps", "answer"})


def finished_root(view: Mapping[str, Any], run: Mapping[str, Any]) -> NodeRecord | None:
    """The root of the finished search in the thread, if it is one of this machine."""
    root: NodeRecord | None = view.get("nodes", {}).get(ROOT)
    if root is None or not view.get("stopped"):
        return None
    stored = root["run"]
    same = stored["layout"] == run["layout"] and stored["settings"].keys() == run["settings"].keys()
    return root if same else None


def goes_on(stored: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether a run with these facts grows the tree of the stored one, further or not."""
    return _growing(stored) == _growing(run)


def _growing(run: Mapping[str, Any]) -> dict[str, Any]:
    settings = {key: each for key, each in run["settings"].items() if key not in STOPPING}
    return {**run, "settings": settings}


def uncut(nodes: Nodes, stats: Stats) -> tuple[dict[str, NodeRecord], dict[str, StatRecord]]:
    """A tree without the expansions that a budget cut short: they are made again."""
    cut = [each for each, learnt in stats.items() if "cut" in learnt]
    below_cut = {each for parent in cut for each in below(nodes, parent)}
    kept = {each: learnt for each, learnt in stats.items() if each not in below_cut}
    for parent in set(cut) - below_cut:
        gone = {"cut", "expanded"}
        if "popped" not in kept[parent]:  # its place in the frontier is what it leads to
            gone |= {"g", "h", "f"}
        kept[parent] = {key: each for key, each in kept[parent].items() if key not in gone}  # type: ignore[assignment]
    return {each: record for each, record in nodes.items() if each not in below_cut}, kept


def turns_after(
    root: NodeRecord, solution: Solution, told: str | None, task: Task
) -> list[TurnRecord]:
    """The thread's questions up to a search that has ended, oldest first.

    Args:
        root: Of the search that has ended; it has the turns before.
        solution: What the stored search comes to.
        told: The answer that its run gave. A run that stopped and never gave what it found
            makes no turn: a person was asked about it and has not approved it.
        task: How a question is prompted, and where an answer is.
    """
    steps = solution.text.rstrip()
    if not steps or told != solution.answer:
        return root.get("turns", [])
    said = steps
    if solution.answer is not None and task.answer(steps) is None:
        said = _prompt().fill(steps=steps, answer=solution.answer)
    asked = [[role, content] for role, content in task.messages(solution.question)]
    turn: TurnRecord = {
        "question": solution.question,
        "answer": solution.answer,
        "steps": steps,
        "messages": [*asked, ["assistant", said]],
    }
    return [*root.get("turns", []), turn]


def fitting(
    turns: Sequence[TurnRecord], length: int, policy: Policy, task: Task
) -> tuple[list[TurnRecord], int]:
    """The last of `turns` that leave room for a solution, and the tokens of them.

    Args:
        turns: Oldest first.
        length: Tokens of the question's own prompt.
        policy: Whose window it is.
        task: How long a solution may be.
    """
    kept: list[TurnRecord] = []
    used = 0
    for turn in reversed(turns[-MOST_TURNS:]):
        size = sum(
            policy.count_tokens(content) + TEMPLATE_TOKENS for _, content in turn["messages"]
        )
        window = policy.window
        if window is not None and length + used + size + task.solution_tokens > window:
            break
        kept.insert(0, turn)
        used += size
    return kept, used
