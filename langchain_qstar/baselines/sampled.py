"""A sampled solution: its steps, its answer, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from langchain_qstar.checks.running import StepChecks
from langchain_qstar.models.steps import split_steps
from langchain_qstar.nodes.concluding import asking, is_unanswered
from langchain_qstar.protocols import Completion, Finish, Policy, SampleRequest, State, Step, Task
from langchain_qstar.solution import Sample, SolutionStep
from langchain_qstar.verification.verdict import verdict_on


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled solution; fields are those of `solution.Sample`, `verified` of `Solution`."""

    steps: tuple[Step, ...]
    answer: str | None
    guessed: bool = False
    finish: Finish = "stop"
    tokens: int = 0
    logprob: float | None = None
    failed: bool = False
    verified: bool | None = None

    @property
    def text(self) -> str:
        """The steps joined."""
        return "".join(step.text for step in self.steps)

    def asking(self, root: State, task: Task, policy: Policy, seed: int) -> SampleRequest | None:
        """What asks it for the answer that it ended without; None where there is nothing to ask.

        Args:
            root: The state in which the solution began.
            task: See `nodes.concluding`.
            policy: Who wrote it.
            seed: Of the sample.
        """
        if self.finish not in ("stop", "eos") or not is_unanswered(self.text, task):
            return None
        return asking(replace(root, steps=self.steps), task, policy, seed)

    def concluded(self, line: Completion, task: Task) -> Sampled:
        """The solution with the line that it was asked for; one that failed is only paid for."""
        paid = replace(self, tokens=self.tokens + line.generated)
        if line.finish in ("cancelled", "error") or not line.text.strip():
            return paid
        steps = self.steps
        if not self.text.endswith("\n"):
            steps = (*steps[:-1], Step(f"{steps[-1].text}\n", steps[-1].action))
        steps = (*steps, Step(line.text, token_ids=line.token_ids, logprobs=line.logprobs))
        answer, guessed = task.read("".join(step.text for step in steps))
        return replace(paid, steps=steps, answer=answer, guessed=guessed)

    def judged(self, root: State, checks: StepChecks) -> Sampled:
        """The solution with what the checks say of it."""
        state, steps = root, []
        for step in self.steps:
            found = checks.judge(state, step.text)
            steps.append(SolutionStep(text=step.text, action=step.action, checks=found))
            state = state.then(Step(step.text))
        verified = verdict_on(steps).verified
        return replace(self, failed=verified is False, verified=verified)

    def kept(self, score: float | None = None) -> Sample:
        """What a `Solution` keeps of it, with what a scorer made of it."""
        return Sample(
            text=self.text,
            answer=self.answer,
            guessed=self.guessed,
            finish=self.finish,
            completion_tokens=self.tokens,
            logprob=self.logprob,
            score=score,
            failed=self.failed,
        )


def sampled(completion: Completion, task: Task, policy: Policy | None = None) -> Sampled:
    """A solution from what the policy wrote, which may go on after its end.

    One that was cut short has an answer only if it is complete. The log-probability is
    that of all that was written.
    """
    steps = split_steps(completion, task, policy)
    text = "".join(step.text for step in steps)
    whole = text == completion.text
    finish: Finish = completion.finish if whole or completion.finish != "length" else "stop"
    failed = finish in ("cancelled", "error")
    ended = not failed and (finish != "length" or task.is_terminal(text))
    answer, guessed = task.read(text) if ended else (None, False)
    return Sampled(
        steps,
        answer,
        guessed=guessed,
        finish=finish,
        tokens=completion.generated,
        logprob=sum(completion.logprobs) if completion.logprobs else None,
    )
