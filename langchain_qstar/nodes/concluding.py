"""A solution that ended without an answer is asked for it once: `The answer is`, and a line more.

What is written then joins the solution, so that its text shows where the answer is from.
The sampling is greedy; a text that was cut short is not asked, for it was not at its end.

Source: zero-shot chain of thought extracts its answers so (Kojima et al., "Large Language
Models are Zero-Shot Reasoners", NeurIPS 2022, section 3).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, Final

from langchain_qstar.actions import Opening
from langchain_qstar.nodes.phase import Call, sample
from langchain_qstar.nodes.replies import checked, used
from langchain_qstar.nodes.room import room_for
from langchain_qstar.protocols import Completion, Policy, SampleRequest, State, Step, Task
from langchain_qstar.seeds import sample_seed
from langchain_qstar.stepping.thinking import is_open

ANSWER_TOKENS: Final = 32
"""Most tokens of the line that states the answer."""

_LINE: Final = ("\n",)


def is_unanswered(text: str, task: Task) -> bool:
    """Whether a solution that ended with `text` is to be asked for its answer.

    One that ended within its thought is not: it has said nothing.
    """
    asks = bool(task.answer_prefill and text.strip()) and not (task.thinks and is_open(text))
    return asks and task.read(text)[0] is None


def asking(state: State, task: Task, policy: Policy, seed: int) -> SampleRequest | None:
    """What asks for the answer of the solution that `state` holds; None without room for it.

    Args:
        state: The prompt, and the whole solution as its steps.
        task: Whose `answer_prefill` opens the line.
        policy: Who wrote the solution.
        seed: Of the sample, whose temperature is 0.
    """
    if not state.text.endswith("\n"):
        state = state.then(Step("\n"))
    opening = Opening(state, _LINE, ANSWER_TOKENS, task.answer_prefill)
    room = room_for(opening, policy)
    if room < 1:
        return None
    return SampleRequest(
        state=state,
        seeds=(seed,),
        stop=_LINE,
        max_tokens=room,
        temperature=0.0,
        prefill=task.answer_prefill,
        thinks=task.thinks,
    )


def concluded(solution: Completion, line: Completion) -> Completion:
    """A solution with the line that it was asked for, as one completion.

    It is as long as both. A line that failed, or says nothing, changes nothing.
    """
    if line.finish in ("cancelled", "error") or not line.text.strip():
        return solution
    apart = "" if solution.text.endswith("\n") else "\n"
    whole = replace(line, text=solution.text + apart + line.text, likeliest=())
    if apart or solution.token_ids is None or line.token_ids is None:
        return replace(whole, token_ids=None, logprobs=())
    known = solution.logprobs and line.logprobs
    return replace(
        whole,
        token_ids=solution.token_ids + line.token_ids,
        logprobs=solution.logprobs + line.logprobs if known else (),
    )


def conclude(
    policy: Policy, task: Task, seed: int, solutions: Sequence[tuple[State, Completion]]
) -> Generator[Call, Any, tuple[list[Completion], dict[str, float]]]:
    """Ask solutions for their answers, as one batch; those that say the same are asked once.

    Args:
        policy: Who wrote them.
        task: See `asking`.
        seed: Of the run.
        solutions: The state in which each was asked for, and what was written there.

    Returns:
        The solutions with the lines that state their answers, and what that cost.
    """
    asked: dict[str, SampleRequest] = {}
    places = [state.text + solution.text for state, solution in solutions]
    for place, (state, solution) in zip(places, solutions, strict=True):
        written = Step(solution.text, "finish", solution.token_ids, solution.logprobs)
        own = sample_seed(seed, f"answer of {place}", 0)
        if request := asking(state.then(written), task, policy, own):
            asked[place] = request
    if not asked:
        return [solution for _, solution in solutions], {}
    groups = checked((yield sample(policy, list(asked.values()))), len(asked), policy.name)
    lines = {place: group[0] for place, group in zip(asked, groups, strict=True) if group}
    whole = [
        concluded(solution, lines[place]) if place in lines else solution
        for place, (_, solution) in zip(places, solutions, strict=True)
    ]
    return whole, used(groups)
