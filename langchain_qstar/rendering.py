"""How a solution looks: text made safe to show, the chosen path, and HTML.

Floor 0: works on plain data, the JSON form of a `Solution`, so that a file
written by another process renders the same. Model output is foreign text: it
is escaped here and never interpreted, neither as HTML nor as terminal codes.

It does not draw in terminals (see `report.terminal`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

# C0 and C1 controls (terminal commands), bidirectional overrides (reordered
# text), line separators and lone surrogates (not encodable).
_COMMANDS: Final = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
# What takes no room or looks like a space: words may be hidden in it, or cut by it. The two
# joiners, which scripts and emoji need, and the selectors of emoji are left alone.
_INVISIBLE: Final = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f\u2800"
    "\u3164\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNSAFE: Final = re.compile(f"[{_COMMANDS}{_INVISIBLE}]")
_UNSAFE_LINES: Final = re.compile(f"(?!\n)[{_COMMANDS}{_INVISIBLE}]")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/]*@")
_PICTURES: Final = 0x2400  # the block of visible symbols for C0 controls

MAX_ROWS: Final = 400
"""Most tree rows in a page; a notebook with thousands of rows stops scrolling."""

MOST_QUOTED: Final = 120
"""Characters of a step, or of a reason, in the line that says what refutes a solution."""

STOPPED: Final[Mapping[str, str]] = {
    "complete": "the search ended as asked",
    "exhausted": "nothing was left to expand",
    "decided": "nothing left could change the answer",
    "pops": "the budget of pops ended",
    "tokens": "the budget of tokens ended",
    "completions": "the budget of completions ended",
    "seconds": "the budget of seconds ended",
    "nodes": "the budget of nodes ended",
    "interrupted": "it was interrupted",
}
"""`Solution.stopped` in words."""


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(_PICTURES + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"


def plain(text: str) -> str:
    """One line of `text` that no terminal or bidi engine acts upon, and in which nothing is hidden.

    Surrounding white space is removed, inner line breaks and tabs become
    spaces, other control characters and invisible ones become visible symbols.
    """
    return _UNSAFE.sub(_visible, " ".join(text.split()))


def plain_lines(text: str) -> str:
    """As `plain`, but line breaks stay, and tabs become spaces."""
    return _UNSAFE_LINES.sub(_visible, text.replace("\t", "    ").replace("\r\n", "\n"))


def without_credentials(text: str) -> str:
    """`text` with `***` for what stands before the host in its addresses."""
    return _CREDENTIALS.sub("***@", text)


def path_ids(nodes: Iterable[tuple[str, str | None, str]], steps: Sequence[str]) -> tuple[str, ...]:
    """The ids of the nodes that spell `steps`, from the root down.

    Args:
        nodes: `(id, parent, text)` of each node, parents before children.
        steps: The step texts of the chosen trajectory, in order.

    Returns:
        The root's id and one id a step, or nothing if no path has these texts.
    """
    parents: dict[str, str | None] = {}
    level: dict[str, int] = {}  # id -> how many of `steps` its path spells
    last = None
    for node, parent, text in nodes:
        parents[node] = parent
        if parent is None:
            level[node] = 0
        elif parent in level and level[parent] < len(steps) and steps[level[parent]] == text:
            level[node] = level[parent] + 1
        if last is None and level.get(node) == len(steps):
            last = node
    path: list[str] = []
    while last is not None:
        path.append(last)
        last = parents[last]
    return tuple(reversed(path))


def chosen_ids(solution: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the chosen path, the root's first; of an old file they are found by text."""
    steps, nodes = solution["steps"], solution["tree"]
    ids = [step.get("id") for step in steps]
    if all(ids):
        return ("0", *ids)
    spelled = ((node["id"], node["parent"], node["text"]) for node in nodes)
    return path_ids(spelled, [step["text"] for step in steps])


def figures_of(node: Mapping[str, Any]) -> list[str]:
    """What a search knows of a node: `#3 q=0.81 f=0.74`, or `N=5 Q/N=0.62 vote=0.90`."""
    figures = [] if node["popped"] is None else [f"#{node['popped']}"]
    figures += [f"{name}={node[name]:.2f}" for name in ("q", "f") if node[name] is not None]
    if node.get("value") is not None:
        figures += [f"N={node['visits']}", f"Q/N={node['value'] / node['visits']:.2f}"]
    if node.get("confidence") is not None:
        figures.append(f"vote={node['confidence']:.2f}")
    if node.get("remembered") is not None:
        figures.append("remembered")
    return figures


def solution_html(solution: Mapping[str, Any]) -> str:
    """A self-contained HTML fragment of a solution: no script, nothing loaded.

    Args:
        solution: `Solution.model_dump(mode="json")`, or the same read from a file.
    """
    answer = solution["answer"]
    shown = "no answer" if answer is None else plain(answer)
    judged, refuted = verdict_of(solution), refutation(solution)
    parts = [
        '<div style="font-family:sans-serif;line-height:1.4">',
        f"<p>{escape(plain(solution['question']))}</p>",
        _ordered(step_line(step) for step in solution["steps"]),
        f"<p><b>{escape(shown)}</b>{escape(judged)} &middot; {escape(_facts(solution))}</p>",
    ]
    if refuted:
        parts.append(f'<p style="color:#b00020"><b>{escape(refuted)}</b></p>')
    if solution["votes"]:
        votes = "; ".join(f"{plain(v['answer'])} {v['weight']:.0%}" for v in solution["votes"])
        parts.append(f"<p>votes: {escape(votes)}</p>")
    if solution["tree"]:
        parts.append(_tree_html(solution))
    return "\n".join([*parts, "</div>"])


MARKS: Final[Mapping[str, str]] = {"passed": "✓", "failed": "✗", "not_checkable": ""}
"""How a verdict is shown beside a step."""


def verdict_of(solution: Mapping[str, Any]) -> str:
    """What is known about a solution, ready to stand after its answer; empty for nothing.

    Such as ` (verified by tests)`, ` (calculations hold; a second model agrees)`.
    """
    said = []
    if solution["verified"] is not None:
        judged = "verified" if solution["verified"] else "refuted"
        said.append(f"{judged} by {', '.join(plain(name) for name in solution['verified_by'])}")
    elif solution.get("calculations") == "hold":
        said.append("not verified; its calculations hold")
    if solution.get("agreed") is not None:
        said.append(f"a second model {'agrees' if solution['agreed'] else 'disagrees'}")
    return f" ({'; '.join(said)})" if said else ""


def refutation(solution: Mapping[str, Any]) -> str:
    """Which check failed which step of the path and why, in one line; empty if none did.

    Args:
        solution: Its `verified` and its `steps`.
    """
    if solution["verified"] is not False:
        return ""
    steps = solution["steps"]
    found = [
        f"check {plain(check['name'])} failed step {number} of {len(steps)}, "
        f"{_short(plain(step['text']))!r}: {_short(plain(check['reason'])) or 'no reason given'}"
        for number, (step, after) in enumerate(zip(steps, [*steps[1:], {}], strict=True), 1)
        for check in step.get("checks", ())
        # What was answered again is no part of the solution any more.
        if check["verdict"] == "failed" and after.get("action") != "re_answer"
    ]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return found[0] + more if found else ""


def _short(text: str) -> str:
    return text if len(text) <= MOST_QUOTED else f"{text[: MOST_QUOTED - 1]}…"


def verdicts_on(checks: Iterable[Mapping[str, str]]) -> str:
    """The verdicts on a step that say something: `✓`, or `✗ 2+3=6: 2+3 is 5`."""
    shown = {
        f"{MARKS[check['verdict']]} {plain(check['reason'])}"
        if check["verdict"] == "failed"
        else MARKS[check["verdict"]]: None
        for check in checks
    }
    return " ".join(filter(None, (each.strip() for each in shown)))


def step_line(step: Mapping[str, Any]) -> str:
    """A step and the verdicts on it, on one line."""
    return f"{plain(step['text'])} {verdicts_on(step.get('checks', ()))}".rstrip()


def _ordered(texts: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(plain(text))}</li>" for text in texts)
    return f"<ol>{items}</ol>" if items else ""


def _facts(solution: Mapping[str, Any]) -> str:
    usage = solution["usage"]
    return (
        f"{solution['method']}: {STOPPED[solution['stopped']]}; "
        f"{usage['completion_tokens']} tokens generated in {usage['completions']} completions; "
        f"{solution['seconds']:.2f} s; seed {solution['seed']}"
    )


def _tree_html(solution: Mapping[str, Any]) -> str:
    nodes = solution["tree"]
    path = set(chosen_ids(solution))
    rows = [_row_html(node, chosen=node["id"] in path) for node in _preorder(nodes)[:MAX_ROWS]]
    hidden = len(nodes) - len(rows)
    if hidden:
        rows.append(f"<div>and {hidden} more</div>")
    return (
        f"<details><summary>tree of {len(nodes)} nodes</summary>"
        f'<div style="font-family:monospace">{"".join(rows)}</div></details>'
    )


def _preorder(nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    # A stack, not recursion: a tree may be deeper than Python's call stack.
    children: dict[str | None, list[Mapping[str, Any]]] = defaultdict(list)
    for node in nodes:
        children[node["parent"]].append(node)
    ordered: list[Mapping[str, Any]] = []
    stack = children[None][::-1]
    while stack:
        node = stack.pop()
        ordered.append(node)
        stack.extend(reversed(children[node["id"]]))
    return ordered


def _row_html(node: Mapping[str, Any], *, chosen: bool) -> str:
    figures = figures_of(node)
    # A file may say anything.
    depth = node["depth"] if isinstance(node["depth"], int) else 0
    style = f"margin-left:{depth}em" + (";font-weight:bold" if chosen else "")
    text = step_line(node) or ("root" if node["parent"] is None else node["action"])
    if node.get("closed") is not None:
        text += f" [{plain(node['closed'])}]"
    if node.get("closed") is not None:
        style += ";text-decoration:line-through;opacity:0.6"
    return f'<div style="{style}">{escape(" ".join(figures))} {escape(text)}</div>'
