"""propose_step: sample K next steps of every state in hand, as one batch.

Algorithm 1, step 4. Equal samples become one step that remembers how many they
were; empty ones become none; a state whose text is in the tree already is not
added again (choices 4 and 15).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from langchain_qstar.errors import ModelError
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, sample
from langchain_qstar.nodes.work import Work, record_of, state_of, to_sample
from langchain_qstar.protocols import Completion, Policy, SampleRequest, Task
from langchain_qstar.seeds import sample_seed
from langchain_qstar.settings import QStarSettings
from langchain_qstar.state.events import ProposedEvent
from langchain_qstar.state.qstar import WorkView
from langchain_qstar.tree import ROOT, NodeRecord, StatRecord, child_id


def make_propose_step(policy: Policy, task: Task, settings: QStarSettings) -> Beat:
    """The node that asks the policy for next steps.

    In lookahead mode it asks twice in the first round: for the root's steps,
    and for the steps after those, which their h needs.

    Args:
        policy: Who proposes.
        task: Prompt, end of a step, and which texts are complete solutions.
        settings: K, temperature, depth and mode.

    Returns:
        The function of the node. It raises `ModelError` when the policy answers
        a different number of requests than it was asked.
    """
    lookahead = settings.h_mode == "lookahead"

    def propose_step(view: WorkView, write: Writer) -> Generator[Call, object, Update]:
        work: Work | None = view.get("work")
        if work is None:  # resumed: select will hand the work out again
            return {}
        nodes: dict[str, NodeRecord] = {}
        stats: dict[str, StatRecord] = {}
        usage: dict[str, float] = {"batches": 0}
        while parents := to_sample(work, lookahead=lookahead):
            batch = work.batches + int(usage["batches"])
            answers = yield sample(
                policy, [_request(work, each, task, settings) for each in parents]
            )
            completions = checked(answers, len(parents), policy.name)
            fresh = _attach(work, parents, completions, policy=policy, task=task, settings=settings)
            marks: dict[str, StatRecord] = {each: {"expanded": batch} for each in parents}
            write(_event(parents, fresh))
            work = work.with_nodes(fresh).with_stats(marks)
            nodes |= fresh
            stats |= marks
            usage = _spent(usage, completions)
        return {"nodes": nodes, "stats": stats, "usage": usage, "work": work}

    return propose_step


def checked(answers: object, asked: int, name: str) -> list[list[Completion]]:
    """The completions a policy returned; `ModelError` when they are not one list a request."""
    if not isinstance(answers, Sequence) or len(answers) != asked:
        count = len(answers) if isinstance(answers, Sequence) else type(answers).__name__
        raise ModelError(f"policy {name} returned {count} results for {asked} requests")
    return [list(answer) for answer in answers]


def used(completions: Sequence[Sequence[Completion]]) -> dict[str, float]:
    """What one batch of completions cost."""
    flat = [completion for group in completions for completion in group]
    return {
        "calls": 1,
        "completions": len(flat),
        "prompt_tokens": sum(each.prompt_tokens for each in flat),
        "completion_tokens": sum(each.generated for each in flat),
        "reused_tokens": sum(each.reused_tokens for each in flat),
    }


def _spent(
    usage: dict[str, float], completions: Sequence[Sequence[Completion]]
) -> dict[str, float]:
    spent = used(completions) | {"batches": 1}
    return {key: usage.get(key, 0) + count for key, count in spent.items()}


def _request(work: Work, node_id: str, task: Task, settings: QStarSettings) -> SampleRequest:
    run = work.run
    return SampleRequest(
        state=state_of(work.nodes, node_id, task.messages(run["question"])),
        seeds=tuple(
            sample_seed(run["seed"], node_id, number)
            for number in range(settings.samples_at(root=node_id == ROOT))
        ),
        stop=task.stop,
        max_tokens=task.step_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        prefill=task.prefills.get("propose_step", ""),
    )


def _attach(
    work: Work,
    parents: Sequence[str],
    completions: Sequence[Sequence[Completion]],
    *,
    policy: Policy,
    task: Task,
    settings: QStarSettings,
) -> dict[str, NodeRecord]:
    """Records of the distinct new steps, numbered in the order they were sampled."""
    fresh: dict[str, NodeRecord] = {}
    for parent, group in zip(parents, completions, strict=True):
        siblings: dict[str, NodeRecord] = {}
        for completion in group:
            if completion.finish in ("cancelled", "error") or not completion.text.strip():
                continue
            node_id = child_id(parent, len(siblings))
            record = record_of(
                completion,
                node_id,
                work.nodes,
                order=work.size + len(fresh),
                action="propose_step",
                task=task,
                window=policy.window,
                max_depth=settings.max_depth,
            )
            key = record["key"]
            if key in siblings:
                siblings[key]["samples"] += 1
            elif work.known.setdefault(key, node_id) == node_id:  # else: another split of it
                siblings[key] = fresh[node_id] = record
    return fresh


def _event(parents: Sequence[str], fresh: dict[str, NodeRecord]) -> ProposedEvent:
    return {
        "type": "proposed",
        "parents": list(parents),
        "nodes": [
            {
                "id": record["id"],
                "parent": record["id"].rpartition(".")[0],
                "text": record["text"],
                "samples": record["samples"],
                "terminal": record["terminal"],
            }
            for record in fresh.values()
        ],
    }
