"""A solution as a tree in the terminal.

Everything a model wrote goes through `rendering.plain` and into `rich.text.Text`,
never into a markup string, so `[red]` or an escape sequence stays what it is: text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from langchain_qstar.rendering import (
    STOPPED,
    chosen_ids,
    figures_of,
    plain,
    refutation,
    verdict_of,
    verdicts_on,
)
from langchain_qstar.solution import Check, Solution, TreeNode, Vote

CHOSEN: Final = "bold green"
ASIDE: Final = "dim"
REFUTED: Final = "red"
LOUD: Final = "bold red"
KNOWN: Final = {"verified", "verified_by", "calculations", "agreed", "steps"}
"""Of a solution, what its verdict is told from."""
MAX_LEVELS: Final = 16
"""Levels that indent; a terminal has only so many columns, so deeper nodes are drawn flush."""


def print_solution(solution: Solution, console: Console) -> None:
    """Write the tree, the votes, the cost and the answer to `console`."""
    console.print(render_solution(solution))


def render_solution(solution: Solution) -> RenderableType:
    """The tree with the chosen path marked, then votes, cost and the answer last."""
    parts: list[RenderableType] = []
    parts.append(search_tree(solution) if len(solution.tree) > 1 else _steps(solution))
    if solution.votes:
        parts.append(_votes(solution.votes, solution.unparsed))
    return Group(*parts, _cost(solution), _answer(solution))


def search_tree(solution: Solution) -> Tree:
    """The searched part of the tree: what was popped or visited, closed or ended, and the path.

    Candidates that were proposed and never popped (of rStar: that no rollout came by) are
    counted, not listed.
    """
    path = set(chosen_ids(solution.model_dump(include={"steps", "tree"})))
    root, *others = solution.tree
    children: dict[str, list[TreeNode]] = defaultdict(list)
    for node in others:
        children[node.parent or root.id].append(node)
    drawn = Tree(Text(plain(solution.question), style="bold"), guide_style=ASIDE)
    stack = [(drawn, root.id, 1)]
    while stack:
        branch, parent, level = stack.pop()
        waiting = []
        for node in children[parent]:
            if node.closed is not None:
                branch.add(_closed(node))
                continue
            if node.popped is None and not node.visits and node.id not in path:
                waiting.append(node)
                continue
            twig = branch.add(_node(node, chosen=node.id in path))
            stack.append((twig if level < MAX_LEVELS else branch, node.id, level + 1))
        if waiting:
            branch.add(_waiting(waiting, popping=root.popped is not None))
    return drawn


def _node(node: TreeNode, *, chosen: bool) -> Text:
    label = Text()
    if figures := " ".join(figures_of(node.model_dump())):
        label.append(figures + "  ", style="cyan")
    label.append(plain(node.text), style=CHOSEN if chosen else "")
    _append_verdicts(label, node.checks)
    if node.terminal:
        answer = "no answer in it" if node.answer is None else plain(node.answer)
        label.append(f"  = {answer}", style=CHOSEN if chosen else "yellow")
    return label


def _closed(node: TreeNode) -> Text:
    return Text(
        f"{plain(node.text) or node.action}  closed by {plain(node.closed or '')}", style=REFUTED
    )


def _append_verdicts(label: Text, checks: Sequence[Check]) -> None:
    failed = any(check.verdict == "failed" for check in checks)
    if said := verdicts_on(check.model_dump() for check in checks):
        label.append(f"  {said}", style=REFUTED if failed else ASIDE)


def _waiting(nodes: Sequence[TreeNode], *, popping: bool) -> Text:
    best = max((node.f for node in nodes if node.f is not None), default=None)
    known = "" if best is None else f", best f={best:.2f}"
    noun = "candidate" if len(nodes) == 1 else "candidates"
    what = "popped" if popping else "visited"
    return Text(f"{len(nodes)} {noun} not {what}{known}", style=ASIDE)


def _steps(solution: Solution) -> Text:
    lines = Text(plain(solution.question))
    for step in solution.steps:
        lines.append(f"\n  {plain(step.text)}")
        _append_verdicts(lines, step.checks)
    return lines


def _votes(votes: Sequence[Vote], unparsed: int) -> Text:
    counted = [f"{plain(v.answer)} x{v.count} ({v.weight:.0%})" for v in votes]
    counted += [f"no answer x{unparsed}"] if unparsed else []
    return Text("votes   " + ", ".join(counted))


def _cost(solution: Solution) -> Text:
    usage = solution.usage
    return Text(
        f"cost    {usage.completion_tokens} tokens generated, {usage.prompt_tokens} read "
        f"({usage.reused_tokens} from cache), completions: {usage.completions}, "
        f"model calls: {usage.calls}, {solution.seconds:.2f} s"
        + "".join(f"\n        {plain(each)}" for each in usage.shortfalls),
        style=ASIDE,
    )


def _answer(solution: Solution) -> Text:
    line = Text("answer  ")
    if solution.answer is None:
        line.append("none", style="bold red")
    else:
        line.append(plain(solution.answer), style=CHOSEN)
    known = solution.model_dump(include=KNOWN)
    line.append(verdict_of(known))
    line.append(f"  [{solution.method}: {STOPPED[solution.stopped]}]", style=ASIDE)
    if refuted := refutation(known):
        line.append(f"\nrefuted {refuted}", style=LOUD)
    return line
