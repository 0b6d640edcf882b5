"""Solutions drawn a step at a time, as a search draws them, with what a head reads of each step.

The engine has the hidden states at the end of every step that it draws, so that a bank of
labelled features costs no more than its tokens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from langchain_qstar.actions import InlineForms, Trace
from langchain_qstar.baselines.sampled import Sampled
from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.evaluation.banks import Kept
from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.nodes.endings import ends_of
from langchain_qstar.protocols import (
    Completion,
    Finish,
    Policy,
    SampleRequest,
    State,
    Step,
    Task,
)
from langchain_qstar.seeds import question_seed, sample_seed

MOST_STEPS: Final = 32
"""A solution of more is cut, like one of too many tokens."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A solution.

    Attributes:
        steps: Of it, with their own tokens and log-probabilities.
        hidden: After each step: float16 [steps, layers * width]; None where it was not asked for.
        finish: `length` where it was cut, else as it ended.
        generated: Tokens of the steps, an end token included.
        line: What it went on with when it had ended without an answer and was asked for it.
        line_tokens: Of that.
    """

    steps: tuple[Step, ...]
    hidden: Any
    finish: Finish
    generated: int
    line: str | None = None
    line_tokens: int = 0


async def drawn(
    policy: Policy,
    task: Task,
    question: str,
    number: int,
    parameters: SamplingParameters,
    *,
    hidden: bool,
) -> Drawn:
    """Draw sample `number` of a question.

    Args:
        policy: One of ours whose `feature_layers` are set, if `hidden` states are wanted.
        task: How it is asked, and where steps and solutions end.
        question: Its text.
        number: Of the sample, which its seeds follow from.
        parameters: How tokens are drawn.
        hidden: Whether to keep the hidden states at the ends of steps.
    """
    opening = InlineForms(task).opening("propose_step", Trace(question))
    root = State(question, task.messages(question))
    state, features, generated = root, [], 0
    own = question_seed(0, question)
    finish: Finish = "length"
    for place in range(MOST_STEPS):
        room = task.solution_tokens - generated
        if room <= 0:
            break
        request = SampleRequest(
            state=state,
            seeds=(sample_seed(own, f"{number}.{place}", 0),),
            stop=opening.stop,
            max_tokens=min(opening.max_tokens, room),
            prefill=opening.prefill,
            ends=ends_of(opening, task),
            **asdict(parameters),
        )
        ((made,),) = await policy.asample([request])
        generated += made.generated
        blank = not made.text.strip()
        if not blank:
            state = state.then(Step(made.text, "propose_step", made.token_ids, made.logprobs))
            if hidden:
                assert isinstance(policy, LocalPolicy)
                features.append((await policy.afeatures([state]))[0].astype(np.float16))
        if blank or made.finish in ("eos", "error", "cancelled") or task.is_terminal(state.text):
            finish = "eos" if blank and made.finish == "stop" else made.finish
            finish = "stop" if task.is_terminal(state.text) else finish
            break
    found = Drawn(state.steps, np.stack(features) if features else None, finish, generated)
    whole = Sampled(state.steps, task.read(state.text)[0] if _ended(finish) else None)
    asking = whole.asking(root, task, policy, sample_seed(own, f"{number}", 0))
    if not _ended(finish) or asking is None:
        return found
    ((line,),) = await policy.asample([asking])
    return replace(found, line=line.text, line_tokens=line.generated)


def _ended(finish: Finish) -> bool:
    return finish in ("stop", "eos")


def answered(kept: Kept, task: Task) -> str | None:
    """The answer of a solution that has steps, with the line that it was asked for."""
    if kept.sample.finish not in ("stop", "eos"):
        text = kept.sample.text
        return task.read(text)[0] if task.is_terminal(text) else None
    whole = Sampled(kept.steps, task.read(kept.sample.text)[0])
    if whole.answer is None and kept.line is not None:
        whole = whole.concluded(Completion(kept.line), task)
    return whole.answer
