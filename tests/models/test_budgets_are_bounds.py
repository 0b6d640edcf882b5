"""Budgets are bounds: no method passes one, whatever model is asked and however much it writes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from langchain_qstar.chains import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    SelfConsistencyChain,
)
from langchain_qstar.models.chat import ChatModelPolicy
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.scoring.rollouts import RolloutScorer
from langchain_qstar.solution import Solution
from langchain_qstar.spending import allowance
from langchain_qstar.tasks import get_task

QUESTION = "Tom has 3 pens and buys 4. How many?"
TASK = replace(
    get_task("nano"), step_tokens=12, solution_tokens=40, answer_prefill="The answer is", checks=()
)

SEARCHED = {"num_samples": 3, "num_trajectories": 2, "max_pops": 12, "max_depth": 4}
ROLLED = {
    "num_rollouts": 3,
    "num_steps": 2,
    "num_subquestions": 1,
    "num_votes": 2,
    "num_last_votes": 3,
    "max_depth": 3,
}


def rollouts(policy: Any) -> RolloutScorer:
    return RolloutScorer(policy, TASK, n=2)


METHODS: dict[str, Callable[[Any], Any]] = {
    "greedy": lambda policy: GreedyChain(policy, task=TASK),
    "self-consistency": lambda policy: SelfConsistencyChain(policy, n=4, task=TASK),
    "best-of-n": lambda policy: BestOfNChain(policy, rollouts(policy), n=3, task=TASK),
    "qstar": lambda policy: QStarChain(policy, None, task=TASK, settings=SEARCHED),
    "qstar verified": lambda policy: QStarChain(
        policy, None, task=TASK, settings={**SEARCHED, "verify": "after"}
    ),
    "qstar lookahead": lambda policy: QStarChain(
        policy, None, task=TASK, settings={**SEARCHED, "h_mode": "lookahead"}
    ),
    "qstar rollouts": lambda policy: QStarChain(
        policy, rollouts(policy), task=TASK, settings=SEARCHED
    ),
    "qstar two states at once": lambda policy: QStarChain(
        policy, None, task=TASK, settings={**SEARCHED, "batch_pops": 2}
    ),
    "rstar": lambda policy: RStarChain(policy, task=TASK, settings=ROLLED),
    "rstar verified as it searches": lambda policy: RStarChain(
        policy, task=TASK, settings={**ROLLED, "verify": "during"}
    ),
    "rstar three rollouts in flight": lambda policy: RStarChain(
        policy, task=TASK, settings={**ROLLED, "rollouts_in_flight": 3}
    ),
}
SEARCHES = [name for name in METHODS if "star" in name]
BATCHES = {
    "qstar lookahead": 9,
    "qstar two states at once": 6,
    "rstar": 8,
    "rstar verified as it searches": 8,
    "rstar three rollouts in flight": 24,
}
"""Nodes that one superstep makes at most, where they are not 3."""

WRITES = {"a line for ever": "a", "lines for ever": "aa\n", "nothing": ""}


@dataclass
class Model:
    """A model that writes one text again and again, and counts what it wrote."""

    policy: Any
    written: Callable[[], int]


class Counting(ScriptedPolicy):
    def __init__(self, writes: str) -> None:
        super().__init__(lambda _: [f"{writes} " if writes.isalpha() else writes])
        self.written = 0

    def sample(self, requests: Any) -> Any:
        groups = super().sample(requests)
        self.written += sum(each.generated for group in groups for each in group)
        return groups


class Chatting(BaseChatModel):
    """A chat model whose tokens are characters; it keeps to `max_tokens` and to stop strings."""

    writes: str
    _written: int = PrivateAttr(default=0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "chatting"

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        text, finish = reply(self.writes, stop or (), min(60, kwargs.get("max_tokens", 60)))
        with self._lock:
            self._written += len(text) or 1
        usage = {"input_tokens": 5, "output_tokens": len(text) or 1, "total_tokens": 6}
        message = AIMessage(text, usage_metadata=usage, response_metadata={"finish_reason": finish})
        return ChatResult(generations=[ChatGeneration(message=message)])


def reply(writes: str, stops: Any, most: int) -> tuple[str, str]:
    """What a provider's model makes of a text without an end: cut at `most`, or at a stop."""
    text = (writes * most)[:most]
    ends = [text.find(each) + len(each) for each in stops if each in text]
    if ends:
        return text[: min(ends)], "stop"
    return text, "length" if text else "stop"


class Handler(BaseHTTPRequestHandler):
    """Of an OpenAI-compatible server with such a model."""

    protocol_version = "HTTP/1.1"
    writes = ""
    written = 0
    before: Callable[[], None] = staticmethod(lambda: None)

    def do_GET(self) -> None:
        self._send({"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        type(self).before()
        text, finish = reply(self.writes, body.get("stop", ()), body["max_tokens"])
        type(self).written += len(text) or 1
        choice = {
            "index": 0,
            "finish_reason": finish,
            "message": {"role": "assistant", "content": text},
        }
        usage = {"prompt_tokens": 5, "completion_tokens": len(text) or 1}
        self._send({"choices": [choice], "usage": usage})

    def _send(self, data: Any) -> None:
        text = json.dumps(data).encode()
        try:
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def serve(socket_enabled: None) -> Iterator[Callable[[str], Any]]:
    """Starts servers, and connects a policy to each."""
    from langchain_qstar.models.remote.policy import RemotePolicy

    ends: list[Callable[[], None]] = []

    def start(writes: str) -> Any:
        handler: Any = type("Own", (Handler,), {"writes": writes})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        policy = RemotePolicy.connect("m", url, retries=0, timeout=20)
        ends.extend([policy.close, server.shutdown, server.server_close])
        handler.written = 0  # what it was asked to find out what it can is not the search's
        return policy, handler

    yield start
    for end in ends:
        end()


@pytest.fixture(params=["scripted", "engine", "server", "chat"])
def model(request: pytest.FixtureRequest) -> Callable[[str], Model]:
    """Makes a model by what it writes."""

    def scripted(writes: str) -> Model:
        policy = Counting(writes)
        return Model(policy, lambda: policy.written)

    def engine(writes: str) -> Model:
        policy, _ = request.getfixturevalue("saying")(writes or "<|end|>", window=4000)
        return Model(policy, lambda: policy.counters.generated)

    def server(writes: str) -> Model:
        policy, handler = request.getfixturevalue("serve")(writes)
        return Model(policy, lambda: handler.written)

    def chat(writes: str) -> Model:
        chatting = Chatting(writes=writes)
        return Model(ChatModelPolicy(chatting), lambda: chatting._written)

    return {"scripted": scripted, "engine": engine, "server": server, "chat": chat}[request.param]


def counts(solution: Solution) -> tuple[int, int]:
    return solution.usage.completion_tokens, solution.usage.completions


# --- tokens and completions


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("writes", WRITES)
def test_tokens_are_never_passed(model: Any, name: str, writes: str):
    for most in (1, 30):
        made = model(WRITES[writes])
        solution = METHODS[name](made.policy).invoke(QUESTION, max_tokens=most)
        assert solution.usage.completion_tokens == made.written() <= most
        assert solution.answer is None
        if writes == "a line for ever":
            assert solution.stopped == "tokens"


@pytest.mark.parametrize("name", METHODS)
async def test_tokens_are_never_passed_without_blocking(model: Any, name: str):
    made = model("a")
    solution = await METHODS[name](made.policy).ainvoke(QUESTION, max_tokens=30)
    assert solution.usage.completion_tokens == made.written() <= 30
    assert solution.stopped == "tokens"


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("writes", WRITES)
def test_completions_are_never_passed(model: Any, name: str, writes: str):
    for most in (1, 2, 5):
        made = model(WRITES[writes])
        solution = METHODS[name](made.policy).invoke(QUESTION, max_completions=most)
        assert solution.usage.completions <= most
        assert solution.usage.completion_tokens == made.written()
        if name in SEARCHES and writes == "lines for ever":
            assert solution.stopped == "completions"


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("backend", ["policy", "llamacpp"])
async def test_neither_does_a_model_that_is_computed(
    request: pytest.FixtureRequest, name: str, backend: str
):
    made = request.getfixturevalue(backend)
    policy = made() if backend == "llamacpp" else made
    solution = METHODS[name](policy).invoke(QUESTION, max_tokens=50)
    assert solution.usage.completion_tokens == policy.counters.generated <= 50
    solution = await METHODS[name](policy).ainvoke(QUESTION, max_completions=4)
    assert solution.usage.completions <= 4


@pytest.mark.parametrize("name", ["greedy", "qstar", "rstar"])
def test_thoughts_that_are_kept_apart_count(saying: Any, name: str):
    policy, _ = saying("<think>", *"abcdefgh", thinking=True, window=4000)
    solution = METHODS[name](policy).invoke(QUESTION, max_tokens=30)
    assert solution.usage.completion_tokens == policy.counters.generated <= 30
    assert (solution.stopped, solution.answer) == ("tokens", None)


@pytest.mark.parametrize("name", SEARCHES)
def test_nodes_are_passed_by_one_batch_at_most(name: str):
    for most in (1, 2, 6):
        writes = ScriptedPolicy(lambda text: [f"{len(text)}{each}\n" for each in "abcdef"])
        solution = METHODS[name](writes).invoke(QUESTION, max_nodes=most)
        assert len(solution.tree) <= most + BATCHES.get(name, 3)
        assert solution.stopped == "nodes"


# --- what is left of a search that a budget ended


def test_what_was_cut_is_in_the_tree_and_closed_and_says_by_what():
    solution = METHODS["qstar"](Counting("a")).invoke(QUESTION, max_tokens=30)
    cut = [each for each in solution.tree if each.closed == "cut: max_tokens"]
    assert cut
    assert all(each.answer is None and not each.terminal for each in cut)
    assert not any(each.parent == one.id for each in solution.tree for one in cut)


class Rambling(Counting):
    """Its steps lead nowhere; greedily it writes a solution."""

    def __init__(self, solution: str) -> None:
        super().__init__("a")
        self.solution = solution

    def sample(self, requests: Any) -> Any:
        if requests[0].temperature:
            return super().sample(requests)
        at_once = [replace(each, state=replace(each.state, steps=())) for each in requests]
        return ScriptedPolicy({"": [self.solution]}).sample(at_once)


def test_an_answer_that_was_cut_short_is_none():
    """`The answer is 1` may be the beginning of 12."""
    task = replace(
        TASK,
        answer=lambda text: "".join(text.partition("is ")[2].split()) or None,
        is_terminal=lambda text: "is 1" in text,
        answer_prefill="",
    )
    chain = QStarChain(Rambling("The answer is 1 2 3 4\n"), None, task=task, settings=SEARCHED)
    # A quarter is for the completion, which is 7 tokens long.
    found = [chain.invoke(QUESTION, max_tokens=most) for most in (16, 20, 24, 28)]
    assert [each.answer for each in found] == [None, None, None, "1234"]


def test_the_completion_of_a_search_that_found_nothing_has_its_share():
    ends = "so it is\nThe answer is 7.\n"
    found = METHODS["qstar"](Rambling(ends)).invoke(QUESTION, max_tokens=80)
    assert (found.answer, found.stopped) == ("7", "tokens")
    kept = {**SEARCHED, "completion_share": 0.0}
    all_spent = QStarChain(Rambling(ends), None, task=TASK, settings=kept)
    assert all_spent.invoke(QUESTION, max_tokens=80).answer is None


def test_an_ample_budget_changes_nothing(saying: Any):
    trees = []
    for most in (None, 100_000):
        policy, _ = saying("aa\n", window=4000)
        settings = {**SEARCHED, "max_tokens": most}
        chain = QStarChain(policy, None, task=TASK, settings=settings)
        trees.append([(each.id, each.text) for each in chain.invoke(QUESTION).tree])
    assert trees[0] == trees[1]


def test_a_search_within_a_budget_is_the_same_alone_and_in_company(policy: Any):
    chain = QStarChain(
        policy, None, task=TASK, settings={**SEARCHED, "temperature": 1.0, "max_tokens": 70}
    )
    alone = chain.invoke(QUESTION)
    together = chain.batch([QUESTION, "2 + 3?", "What is 10 minus 4?", QUESTION])
    for each in together[::3]:
        assert [node.text for node in each.tree] == [node.text for node in alone.tree]
        assert each.usage.completion_tokens == alone.usage.completion_tokens


# --- seconds


class Clock:
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(allowance, "clock", made)
    return made


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("writes", ["a", "aa\n"])
@pytest.mark.parametrize("how", ["blocking", "awaited"])
async def test_an_engine_stops_between_two_tokens(
    saying: Any, clock: Clock, name: str, writes: str, *, how: str
):
    """Every step of it, a token of every row, takes a second, and nothing else takes time."""
    policy, backend = saying(writes, window=4000)

    def second() -> None:
        clock.time += 1.0

    backend.before_forward = second
    chain = METHODS[name](policy)
    if how == "blocking":
        solution = await asyncio.to_thread(chain.invoke, QUESTION, max_seconds=9.0)
    else:
        solution = await chain.ainvoke(QUESTION, max_seconds=9.0)
    assert clock.time <= 100.0 + 9.0 + 1.0
    assert solution.stopped == "seconds"
    assert solution.usage.completion_tokens == policy.counters.generated > 0


class Stuck:
    """Something that takes longer than the time allows: until the test ends."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.freed = threading.Event()
        self.cancelled = 0

    def __call__(self) -> None:
        self.clock.time += 60.0
        self.freed.wait(20)

    async def later(self) -> None:
        self.clock.time += 60.0
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@pytest.fixture
def stuck(clock: Clock) -> Iterator[Stuck]:
    made = Stuck(clock)
    yield made
    made.freed.set()


@pytest.mark.parametrize("name", METHODS)
def test_a_model_that_does_not_come_back_is_given_up(name: str, stuck: Stuck):
    class Slow(Counting):
        def sample(self, requests: Any) -> Any:
            stuck()
            return super().sample(requests)

    solution = METHODS[name](Slow("a")).invoke(QUESTION, max_seconds=30.0)
    assert (solution.stopped, solution.answer) == ("seconds", None)
    assert any("given up when the time was over" in each for each in solution.usage.shortfalls)


@pytest.mark.parametrize("name", METHODS)
async def test_a_coroutine_that_does_not_come_back_is_cancelled(name: str, stuck: Stuck):
    class Slow(Counting):
        async def asample(self, requests: Any) -> Any:
            await stuck.later()

    solution = await METHODS[name](Slow("a")).ainvoke(QUESTION, max_seconds=30.0)
    assert (solution.stopped, solution.answer) == ("seconds", None)
    assert stuck.cancelled > 0


@pytest.mark.parametrize("name", ["greedy", "qstar", "rstar"])
@pytest.mark.parametrize("how", ["blocking", "awaited"])
async def test_requests_to_a_server_are_cancelled(serve: Any, stuck: Stuck, name: str, *, how: str):
    policy, handler = serve("a")
    handler.before = staticmethod(stuck)
    chain = METHODS[name](policy)
    if how == "blocking":
        solution = await asyncio.to_thread(chain.invoke, QUESTION, max_seconds=30.0)
    else:
        solution = await chain.ainvoke(QUESTION, max_seconds=30.0)
    assert (solution.stopped, solution.answer) == ("seconds", None)
    assert any("given up when the time was over" in each for each in solution.usage.shortfalls)


@pytest.mark.parametrize("name", ["greedy", "qstar", "rstar"])
@pytest.mark.parametrize("how", ["blocking", "awaited"])
async def test_calls_of_a_chat_model_are_given_up(stuck: Stuck, name: str, *, how: str):
    class Slow(Chatting):
        def _generate(self, *args: Any, **options: Any) -> Any:
            stuck()
            return super()._generate(*args, **options)

        async def _agenerate(self, *_: Any, **__: Any) -> Any:
            await stuck.later()

    chain = METHODS[name](ChatModelPolicy(Slow(writes="a")))
    if how == "blocking":
        solution = await asyncio.to_thread(chain.invoke, QUESTION, max_seconds=30.0)
    else:
        solution = await chain.ainvoke(QUESTION, max_seconds=30.0)
        assert stuck.cancelled > 0
    assert (solution.stopped, solution.answer) == ("seconds", None)


@pytest.mark.parametrize("how", ["blocking", "awaited"])
async def test_a_scorer_that_does_not_come_back_is_given_up(stuck: Stuck, *, how: str):
    class Slow:
        name = "slow"

        def score(self, requests: Any) -> Any:
            stuck()

        async def ascore(self, requests: Any) -> Any:
            await stuck.later()

    writes = ScriptedPolicy(lambda text: [] if text else ["The answer is 7.\n"])
    chain = QStarChain(writes, Slow(), task=TASK, settings=SEARCHED)
    if how == "blocking":
        solution = await asyncio.to_thread(chain.invoke, QUESTION, max_seconds=30.0)
    else:
        solution = await chain.ainvoke(QUESTION, max_seconds=30.0)
    assert (solution.stopped, solution.answer) == ("seconds", "7")
