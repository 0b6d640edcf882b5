"""Verifiers that fail, in part or in whole, and budgets that end while they are asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from langchain_qstar.chains import RStarChain
from langchain_qstar.errors import ModelError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.nodes.mutual.asking import MOST_FAILURES
from langchain_qstar.protocols import Completion, SampleRequest
from langchain_qstar.solution import Solution
from langchain_qstar.spending import allowance

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
SMALL: Any = {
    "actions": ("propose_step", "finish"),
    "num_rollouts": 6,
    "num_last_votes": 5,
    "mask_unit": "steps",
}
PHASES = ("during", "after")


def writes(text: str) -> list[str]:
    """Of three solutions two say 7, and one 12."""
    if not text:
        return ["Ann has 3+4=7 pens.\n", "Ann has 4+3=7 pens.\n", "Ann has 3*4=12 pens.\n"]
    value = "12" if "=12" in text else "7"
    return ["" if "The answer is" in text else f"The answer is {value}.\n"]


class Verifier(ScriptedPolicy):
    """A verifier whose completions a function makes, of their number in all."""

    def __init__(self, complete: Callable[[int], Completion]) -> None:
        super().__init__({})
        self._made = complete
        self.asked = 0

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        self.calls.append(tuple(requests))
        return [[self._next() for _ in each.seeds] for each in requests]

    def _next(self) -> Completion:
        self.asked += 1
        return self._made(self.asked)


def searched(verifier: Any, **settings: Any) -> Solution:
    chain = RStarChain(
        ScriptedPolicy(writes), verifier, task="nano", checks=[], settings=SMALL | settings
    )
    solution: Solution = chain.invoke(QUESTION)
    return solution


def said(text: str, **more: Any) -> Completion:
    return Completion(text, finish=more.pop("finish", "eos"), generated=4, **more)


AGREES = said("The answer is 12.\n")


def completed(solution: Solution) -> list[tuple[str | None, ...]]:
    return [node.completed for node in solution.tree if node.completed]


@pytest.mark.parametrize("verify", PHASES)
@pytest.mark.parametrize("finish", ["error", "cancelled"])
def test_completions_that_failed_disagree_and_the_others_count(verify: str, finish: Any):
    def every_fourth_fails(number: int) -> Completion:
        return AGREES if number % 4 else replace(AGREES, finish=finish)

    solution = searched(Verifier(every_fourth_fails), verify=verify)
    assert (solution.answer, solution.agreed) == ("12", True)
    assert all(each == ("12", "12", "12", None) for each in completed(solution))


SAYS = {
    "nothing": said(""),
    "blanks": said(" \n\n"),
    "no answer": said("Let me think about the pens.\n"),
    "no end": said("Ann has Ann has Ann has Ann has", finish="length"),
    "an answer without its end": said("so that makes 12", finish="length"),
    "what is not text to print": said("\x00\ud800 \x1b[31m"),
    "no number": said("The answer is a great many pens.\n"),
    "a number too large to compare": said("The answer is 9**9**9**9.\n"),
}


@pytest.mark.parametrize("verify", PHASES)
@pytest.mark.parametrize("kind", SAYS)
def test_completions_that_do_not_parse_are_disagreements(kind: str, verify: str):
    verifier = Verifier(lambda _: SAYS[kind])
    solution = searched(verifier, verify=verify)
    assert verifier.asked
    assert (solution.answer, solution.agreed) == ("7", False)
    assert solution.stopped in {"complete", "decided"}
    assert Solution.model_validate_json(solution.model_dump_json()).answer == "7"


@pytest.mark.parametrize("verify", PHASES)
def test_completions_that_did_not_come_back_are_disagreements(verify: str):
    class Short(Verifier):
        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
            return [group[:1] for group in super().sample(requests)]

    solution = searched(Short(lambda _: AGREES), verify=verify, completions_per_mask=2)
    assert completed(solution)
    assert all(each == ("12", None) * 4 for each in completed(solution))
    assert searched(Verifier(lambda _: AGREES), verify=verify, completions_per_mask=2).agreed


@pytest.mark.parametrize("verify", PHASES)
def test_a_verifier_that_comes_back_with_nothing_at_all_ends_no_search(verify: str):
    class Absent(Verifier):
        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
            super().sample(requests)
            return []

    solution = searched(Absent(lambda _: AGREES), verify=verify)
    assert (solution.answer, solution.agreed) == ("7", False)
    assert solution.stopped in {"complete", "decided"}


@pytest.mark.parametrize("verify", PHASES)
def test_a_batch_that_failed_is_asked_again_in_halves(verify: str):
    class Recovering(Verifier):
        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
            if not self.calls:
                self.calls.append(tuple(requests))
                raise TimeoutError("too slow")
            return super().sample(requests)

    solution = searched(Recovering(lambda _: AGREES), verify=verify, num_rollouts=8)
    assert (solution.answer, solution.agreed) == ("12", True)


def test_a_verifier_that_is_gone_is_given_up():
    class Gone(Verifier):
        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
            self.calls.append(tuple(requests))
            raise ConnectionError("refused")

    verifier = Gone(lambda _: AGREES)
    searched(verifier, verify="after")
    assert len(verifier.calls) == MOST_FAILURES
    assert len(verifier.calls[0]) >= MOST_FAILURES  # there was more to ask


def test_one_request_that_always_fails_costs_its_own_completion_alone():
    class Choking(Verifier):
        """It cannot bear one of the texts that it is asked first."""

        asked_about: ClassVar[list[tuple[Any, ...]]] = []

        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
            texts = tuple((each.state.question, each.seeds) for each in requests)
            if not self.asked_about:
                self.unbearable = texts[1]
            self.asked_about.append(texts)
            if self.unbearable in texts:
                raise ModelError("the text is too strange")
            return [[self._next() for _ in each.seeds] for each in requests]

    verifier = Choking(lambda _: AGREES)
    solution = searched(verifier, verify="after")
    answers = [answer for each in completed(solution) for answer in each]
    assert answers.count(None) == 1
    assert answers.count("12") == len(answers) - 1
    asked = verifier.asked_about
    assert all(asked)
    alone = asked.index((verifier.unbearable,))
    assert [verifier.unbearable in each for each in asked].count(True) <= 5
    assert len(asked[alone + 1 :]) <= 1


@pytest.mark.parametrize("verify", PHASES)
@pytest.mark.parametrize(
    ("budget", "stopped"),
    [
        *(({"max_completions": most}, "completions") for most in range(1, 36, 6)),
        *(({"max_tokens": most}, "tokens") for most in range(1, 160, 24)),
        *(({"max_nodes": most}, "nodes") for most in (2, 4, 7)),
    ],
)
def test_wherever_a_budget_ends_there_is_an_answer_and_the_reason(
    budget: dict[str, int], stopped: str, verify: str
):
    solution = searched(Verifier(lambda _: AGREES), verify=verify, num_rollouts=16, **budget)
    assert (solution.answer in {"7", "12"}) or solution.tree[0].visits <= 1
    assert solution.stopped == stopped


def test_the_time_that_ends_while_the_verifier_is_asked_is_not_waited_out(
    monkeypatch: pytest.MonkeyPatch,
):
    time, test_ends = [0.0], threading.Event()
    monkeypatch.setattr(allowance, "clock", lambda: time[0])

    class Slow(Verifier):
        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
            time[0] += 60.0
            test_ends.wait(20)
            return super().sample(requests)

    settings: Any = {"verify": "during", "num_rollouts": 16, "max_seconds": 30.0}
    solution = searched(Slow(lambda _: AGREES), **settings)
    test_ends.set()
    assert (solution.stopped, completed(solution)) == ("seconds", [])
    assert solution.answer in {"7", "12"}
