"""What a search that has ended learnt about sub-questions: answers that are worth remembering.

Pure functions of the tree. An answer is worth it when a majority of votes gave it, or when it
lies on the path of a solution for which more speaks than votes: it is verified, a second
model agrees with it, or its calculations hold. A failed check that no person overruled, a person's
refusal, or having been remembered itself, is a reason against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from langchain_qstar.actions import InlineForms, Thought
from langchain_qstar.nodes.mutual.candidates import failed_itself
from langchain_qstar.nodes.remembering import Lesson, Refusal, Subquestion
from langchain_qstar.protocols import Step, Task
from langchain_qstar.solution import Solution
from langchain_qstar.tree import ROOT, NodeRecord, Nodes, Stats, is_closed, path

FEWEST_VOTES: Final = 2
"""Of which a majority is one."""


def path_lessons(
    nodes: Nodes, stats: Stats, chosen: str, solution: Solution, task: Task
) -> list[Lesson]:
    """Of Q*: the sub-questions on the path of a supported solution, or one with most votes."""
    evidence = _evidence(solution)
    if evidence is None:
        return []
    forms = InlineForms(task)
    lessons = []
    on_path = {each["id"] for each in path(nodes, chosen)}
    for record in _asked(nodes, stats):
        if record["id"] not in on_path:
            continue
        asked, text = _inline(record, solution.question, task)
        thought = Thought("subquestion", Step(text), Step(asked.text))
        answer = task.answer(forms.statement(thought))
        if answer is not None:
            lessons.append(Lesson(asked, text, answer, *evidence))
    return lessons


def voted_lessons(nodes: Nodes, stats: Stats, solution: Solution) -> list[Lesson]:
    """Of rStar: the sub-questions with a majority, or on the path of a supported solution."""
    support = _support(solution)
    on_path = {step.id for step in solution.steps}
    lessons = []
    for record in _asked(nodes, stats):
        tally, votes = record.get("tally", {}), record.get("votes", 0)
        answer = max(tally, key=lambda each: tally[each], default=None)
        if answer is None:
            continue
        confidence = record.get("confidence", 0.0)
        if confidence > 0.5 and votes >= FEWEST_VOTES:
            evidence = f"{tally[answer]} of {votes} votes"
        elif support and record["id"] in on_path:
            evidence = support
        else:
            continue
        asked = Subquestion(record["subquestion"]["text"], record["terminal"])
        lessons.append(Lesson(asked, record["text"], answer, evidence, confidence, votes))
    return lessons


def refusals(nodes: Nodes, stats: Stats, task: Task) -> set[Refusal]:
    """The answers to sub-questions that a person forbade or replaced, remembered ones among them.

    What is closed only because it lies below such a step is none.
    """
    question: str = nodes[ROOT]["run"]["question"]
    return {
        _refusal(record, question, task)
        for each, record in nodes.items()
        if record["action"] == "subquestion"
        and _is_refused(stats, each)
        and not _is_refused(stats, str(record["parent"]))
    }


def _is_refused(stats: Stats, node_id: str) -> bool:
    return stats.get(node_id, {}).get("decision") in {"forbidden", "replaced"}


def _refusal(record: NodeRecord, question: str, task: Task) -> Refusal:
    if memory := record.get("remembered"):
        return memory["key"], memory["text"]
    if written := record.get("subquestion"):
        return Subquestion(written["text"], record["terminal"]).key, record["text"]
    asked, text = _inline(record, question, task)
    return asked.key, text


def _asked(nodes: Nodes, stats: Stats) -> Iterator[NodeRecord]:
    for node_id, record in nodes.items():
        new = record["action"] == "subquestion" and "remembered" not in record
        closed = is_closed(stats.get(node_id, {}))
        if new and not closed and not failed_itself(stats, node_id):
            yield record


def _evidence(solution: Solution) -> tuple[str, float, int] | None:
    """Why what is on the path of a solution is believed; its share of the votes, and theirs."""
    total = sum(vote.count for vote in solution.votes)
    vote = next((each for each in solution.votes if each.answer == solution.answer), None)
    share = vote.count / total if vote else 1.0
    if support := _support(solution):
        return support, share, total
    if vote and share > 0.5 and total >= FEWEST_VOTES and not _is_doubted(solution):
        return f"{vote.count} of {total} trajectories", share, total
    return None


def _support(solution: Solution) -> str:
    """What speaks for a solution beside its votes, the strongest alone; empty for nothing."""
    if solution.verified:
        return f"verified by {', '.join(solution.verified_by)}"
    if _is_doubted(solution):
        return ""
    if solution.agreed:
        return "a second model agrees"
    return "calculations hold" if solution.calculations == "hold" else ""


def _is_doubted(solution: Solution) -> bool:
    """Whether a check failed a step of a solution, or the second model disagrees with it."""
    return solution.verified is False or solution.agreed is False


def _inline(record: NodeRecord, question: str, task: Task) -> tuple[Subquestion, str]:
    """A sub-question of Q* and its answer: the question ends where the first step does."""
    text = record["text"]
    ends = [at + len(mark) for mark in task.stop if (at := text.find(mark)) >= 0]
    end = min(ends, default=len(text))
    asked = text[:end]
    return Subquestion(asked, InlineForms(task).is_last(question, asked)), text[end:]
