"""Steps are judged while the rest of their batch decodes, and nothing else changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from langchain_qstar import QStarChain, ScriptedPolicy, ScriptedScorer
from langchain_qstar.errors import CheckError
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.protocols import Listener, Policy, SampleRequest
from langchain_qstar.tasks import NANO

QUESTION = "What is 2 and 3?"
SCRIPT = {
    "": ["2+3=6\n", "2+3=5\n", "Two and three.\n"],
    "2+3=5\n": ["The answer is 5.\n"],
    "Two and three.\n": ["The answer is 5.\n", ""],
}
SCORER = ScriptedScorer({"2+3=6": 0.9, "2+3=5": 0.5, "The answer is 5.": 0.5})
PATIENCE = 20.0


class OneByOne(ScriptedPolicy):
    """Finishes its completions one after the other, and waits after each of them."""

    def __init__(self, script: Any, after: Callable[[str], object] = len) -> None:
        super().__init__(script)
        self.after = after
        self.decoding = False

    def sample_aloud(self, requests: Sequence[SampleRequest], listener: Listener) -> Any:
        self.decoding = True
        answers = self.sample(requests)
        for number, completions in enumerate(answers):
            for sample, completion in enumerate(completions):
                if listener.piece:
                    listener.piece(number, sample, completion.text)
                if listener.finished:
                    listener.finished(number, completion.text)
                self.after(completion.text)
        self.decoding = False
        return answers

    async def asample_aloud(self, requests: Sequence[SampleRequest], listener: Listener) -> Any:
        return self.sample_aloud(requests, listener)


class Recorder:
    """A check that passes everything and remembers what it saw; others can wait for a text."""

    def __init__(self) -> None:
        self.judged: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, state: Any, step: str) -> bool:
        with self._changed:
            self.judged.append(step)
            self._changed.notify_all()
        return True

    def wait_for(self, text: str) -> bool:
        with self._changed:
            if not self._changed.wait_for(lambda: text in self.judged, PATIENCE):
                raise TimeoutError(f"{text!r} was not judged while the batch decoded")
        return True


def chain(policy: Policy, *checks: Any, **settings: Any) -> QStarChain:
    given = {"num_samples": 3, "num_trajectories": 1, **settings}
    return QStarChain(policy, SCORER, task=NANO, settings=given, checks=list(checks))


def found(solution: Any) -> Any:
    return solution.model_copy(update={"seconds": 0.0})


async def solved(searcher: QStarChain, *, awaited: bool) -> Any:
    return found(await searcher.ainvoke(QUESTION) if awaited else searcher.invoke(QUESTION))


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_step_is_judged_before_its_batch_has_ended(awaited):
    recorder = Recorder()
    policy = OneByOne(SCRIPT, lambda text: text.strip() and recorder.wait_for(text))
    await solved(chain(policy, recorder), awaited=awaited)
    assert recorder.judged[:3] == SCRIPT[""]


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_step_whose_tokens_are_events_is_judged_as_early(awaited):
    recorder = Recorder()
    policy = OneByOne(SCRIPT, lambda text: text.strip() and recorder.wait_for(text))
    asked: Any = {"configurable": {"stream_tokens": True}}
    searcher = chain(policy, recorder)
    if awaited:
        events = [each async for each in searcher.astream(QUESTION, asked)]
    else:
        events = list(searcher.stream(QUESTION, asked))
    assert recorder.judged[:3] == SCRIPT[""]
    assert [each["text"] for each in events[:-1] if each["type"] == "writing"][:3] == SCRIPT[""]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("failed_check", ["prune", "penalise", "keep"])
async def test_the_tree_is_the_one_of_a_policy_that_tells_nothing(awaited, failed_check):
    quiet = chain(ScriptedPolicy(SCRIPT), "arithmetic", failed_check=failed_check)
    telling = chain(OneByOne(SCRIPT), "arithmetic", failed_check=failed_check)
    assert await solved(telling, awaited=awaited) == found(quiet.invoke(QUESTION))


def test_a_step_is_judged_once():
    recorder = Recorder()
    solution = chain(OneByOne(SCRIPT), recorder).invoke(QUESTION)
    assert len(recorder.judged) == len(solution.tree) - 1
    assert all(node.checks[0].verdict == "passed" for node in solution.tree[1:])


def test_a_check_that_hangs_does_not_keep_the_batch_from_ending():
    batch_ended = threading.Event()
    in_time = []

    def hangs(state, step):
        in_time.append(batch_ended.wait(PATIENCE))

    class Ending(OneByOne):
        def sample_aloud(self, requests, listener):
            answers = super().sample_aloud(requests, listener)
            batch_ended.set()
            return answers

    assert chain(Ending(SCRIPT), hangs).invoke(QUESTION).answer == "5"
    assert all(in_time)


def test_a_check_that_raises_makes_a_step_not_checkable_as_ever():
    def broken(state, step):
        raise RuntimeError("oh")

    solution = chain(OneByOne(SCRIPT), broken).invoke(QUESTION)
    assert {node.checks[0].reason for node in solution.tree[1:]} == {"RuntimeError: oh"}


def test_a_check_that_says_nonsense_is_an_error_of_the_search_as_ever():
    def nonsense(state, step):
        return "yes"

    with pytest.raises(CheckError, match="check nonsense returned 'yes'"):
        chain(OneByOne(SCRIPT), nonsense).invoke(QUESTION)


def test_without_checks_the_policy_is_asked_as_ever():
    class Refusing(OneByOne):
        def sample_aloud(self, requests, listener):
            raise AssertionError

    assert chain(Refusing(SCRIPT)).invoke(QUESTION).answer is not None


def test_who_stands_in_for_a_policy_is_asked_itself():
    class Counting:
        def __init__(self, policy):
            self._policy, self.calls = policy, 0

        def __getattr__(self, name):
            return getattr(self._policy, name)

        def sample(self, requests):
            self.calls += 1
            return self._policy.sample(requests)

    policy: Any = Counting(OneByOne(SCRIPT))
    assert chain(policy, "arithmetic").invoke(QUESTION).answer == "5"
    assert policy.calls > 0


def test_a_subquestion_is_judged_with_its_answer():
    script = {
        "Q:": [" How many?\n"],
        "Q: How many?\nA:": [" 2+3=5\n"],
        "Q: How many?\nA: 2+3=5\n": ["The answer is 5.\n"],
    }
    recorder = Recorder()
    whole = "Q: How many?\nA: 2+3=5\n"

    def after(text: str) -> None:
        if text.startswith("A:"):
            recorder.wait_for(whole)

    policy = OneByOne(script, after)
    chain(policy, recorder, actions=("subquestion",), max_pops=1, fallback=False).invoke(QUESTION)
    assert recorder.judged == [whole]


@pytest.mark.nano
async def test_the_bundled_model_tells_of_steps_before_their_batch_ends():
    nano: Any = resolve_policy("nano")
    recorder = Recorder()
    batches = []

    class Waiting:
        """Ends a batch only when all that was told of has been judged."""

        name, window = nano.name, nano.window
        count_tokens = staticmethod(nano.count_tokens)
        sample, asample = staticmethod(nano.sample), staticmethod(nano.asample)

        def sample_aloud(self, requests, listener):
            told: list[str] = []

            def tell(number: int, text: str) -> None:
                told.append(text)
                listener.finished(number, text)

            answers = nano.sample_aloud(requests, Listener(finished=tell))
            for text in told:
                recorder.wait_for(text)
            batches.append((sorted(told), sorted(each.text for group in answers for each in group)))
            return answers

        async def asample_aloud(self, requests, listener):
            return await nano.asample_aloud(requests, listener)

    question = "Ann has 17 boxes with 34 pens each. She gives away 58 pens. How many has she left?"
    settings: Any = {"num_samples": 4, "num_trajectories": 1, "max_pops": 6, "temperature": 1.2}
    waiting: Any = Waiting()

    def of(policy: Any) -> QStarChain:
        return QStarChain(policy, None, task=NANO, settings=settings, checks=[recorder])

    early = of(waiting).invoke(question)
    assert batches
    assert all(told == answered for told, answered in batches)
    for later in (of(nano).invoke(question), await of(nano).ainvoke(question)):
        assert [(each.id, each.text) for each in later.tree] == [
            (each.id, each.text) for each in early.tree
        ]
