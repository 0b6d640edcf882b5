"""A running search, told one line at a time as its events arrive.

Lines, not a redrawn screen: they read the same in a terminal, a pipe and a log,
and need no library. The finished tree is drawn by `report.terminal`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from langchain_qstar.rendering import STOPPED, plain

if TYPE_CHECKING:
    from langchain_qstar.state.events import (
        AnsweredEvent,
        BackedUpEvent,
        ScoredEvent,
        ScoredNode,
        SearchEvent,
        SelectedEvent,
        VotedEvent,
    )

WIDTH: Final = 100
"""Most characters of a line; a step may be a page long."""


class SearchProgress:
    """Writes what a search does, in the order in which it happens.

    Args:
        write: Called with each line, which ends in a newline and holds no
            character that a terminal would act upon.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._pops = 0

    def __call__(self, event: SearchEvent) -> None:
        """Tell one event."""
        match event["type"]:
            case "selected":
                self._selected(event)
            case "proposed":
                pass  # the same steps come again with their scores
            case "scored":
                self._scored(event)
            case "voted":
                self._voted(event)
            case "backed_up":
                self._backed_up(event)
            case "answered":
                self._answered(event)

    def _selected(self, event: SelectedEvent) -> None:
        for node in event["nodes"]:
            if "rollout" in node:
                self._line(f"#{node['rollout']} rollout", None, node["text"] or "the question")
                continue
            what = "collect" if node["terminal"] else "expand"
            self._line(f"#{self._pops} {what}", node["f"], node["text"] or "the question")
            self._pops += 1

    def _scored(self, event: ScoredEvent) -> None:
        nodes = event["nodes"]
        if not nodes:
            return
        count = "1 step" if len(nodes) == 1 else f"{len(nodes)} steps"
        left = [node for node in nodes if node["closed"] is None]
        if not left:
            self._line(f"   {count}, closed by checks", None, nodes[0]["text"])
            return
        closed = len(nodes) - len(left)
        pruned = f" ({closed} closed by checks)" if closed else ""
        best = max(left, key=_promise)
        self._line(f"   {count}{pruned}, best", best["f"], best["text"])

    def _voted(self, event: VotedEvent) -> None:
        for node in event["nodes"]:
            answer = "no answer" if node["answer"] is None else node["answer"]
            self._line("   vote", None, f"{answer}: {node['confidence']:.0%} of {node['votes']}")

    def _backed_up(self, event: BackedUpEvent) -> None:
        for each in event["rollouts"]:
            answer = "no answer" if each["answer"] is None else each["answer"]
            self._line(f"#{each['rollout']} ends", None, f"{answer}, reward {each['reward']:.2f}")

    def _answered(self, event: AnsweredEvent) -> None:
        answer = "no answer" if event["answer"] is None else event["answer"]
        self._line("answer", None, f"{answer} ({STOPPED[event['stopped']]})")

    def _line(self, what: str, f: float | None, text: str) -> None:
        utility = "" if f is None else f" f={f:.2f}"
        line = f"{what}{utility}  {plain(text)}"
        self._write((line if len(line) <= WIDTH else line[: WIDTH - 1] + "…") + "\n")


def _promise(node: ScoredNode) -> float:
    return next((v for v in (node["f"], node["q"]) if v is not None), 0.0)
