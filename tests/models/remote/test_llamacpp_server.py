"""Against the real server of llama-cpp-python, started here with the bundled model as GGUF."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from langchain_qstar import GreedyChain, QStarChain, SelfConsistencyChain
from langchain_qstar.errors import GrammarError
from langchain_qstar.models.remote.abilities import find_abilities, plain_prompt
from langchain_qstar.models.remote.grammars import ServerGrammars
from langchain_qstar.models.remote.policy import RemotePolicy
from langchain_qstar.models.remote.transport import Patience, Transport
from langchain_qstar.models.remote.wire import CHAT
from langchain_qstar.models.resolve import NANO_FOLDER, resolve_policy, unload_policies

NEEDED = ("llama_cpp", "gguf", "uvicorn", "fastapi", "sse_starlette", "starlette_context")
MISSING = [name for name in NEEDED if find_spec(name) is None]

pytestmark = [
    pytest.mark.nano,
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(bool(MISSING), reason=f"needs llama-cpp-python[server]: no {MISSING}"),
]

QUESTIONS = [
    f"Tom has {4 + number % 7} bags. Each bag has {3 + number // 7} apples. "
    "Ann has 5 more apples than Tom. How many apples does Ann have?"
    for number in range(64)
]
SEARCH = {"max_pops": 3, "num_samples": 2, "num_trajectories": 1}


class LlamaServer:
    """`python -m llama_cpp.server` as a process of its own."""

    def __init__(self, gguf, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        options = {
            "--model": gguf,
            "--model_alias": "nano",
            "--port": port,
            "--host": "127.0.0.1",
            "--n_ctx": 512,
            "--n_threads": 1,
            "--n_threads_batch": 1,
            "--verbose": False,
        }
        command = [str(part) for pair in options.items() for part in pair]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "llama_cpp.server", *command],
                stdout=output,
                stderr=output,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        while not self.answers():
            assert self.process.poll() is None, log.read_text()
            time.sleep(0.1)

    def answers(self):
        try:
            with urlopen(f"{self.url}/models", timeout=5) as reply:  # noqa: S310  # our own
                return bool(reply.status == 200)
        except (URLError, OSError):
            return False

    def megabytes(self):
        """The memory it holds."""
        told = subprocess.check_output(["ps", "-o", "rss=", "-p", str(self.process.pid)])
        return int(told) / 1000

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    from langchain_qstar.models.llamacpp.export import export_gguf

    folder = tmp_path_factory.mktemp("served")
    gguf = export_gguf(NANO_FOLDER, folder / "nano.gguf")
    started: list[LlamaServer] = []

    def make():
        started.append(LlamaServer(gguf, folder / f"{len(started)}.log"))
        return started[-1]

    yield make
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def server(start):
    return start()


@pytest.fixture
def policy(server):
    yield resolve_policy(f"openai:nano@{server.url}")
    unload_policies()


def test_what_it_can_is_found_out(policy):
    assert policy.abilities.way == "text"
    assert policy.abilities.options >= {"seed", "stop", "logprobs", "top_k", "min_p"}
    assert policy.shortfalls == ("n: not known to the server; one request a sample",)


def test_without_a_template_its_chat_endpoint_is_found_not_to_continue(server):
    async def ask():
        transport = Transport([server.url], Patience())
        found = await find_abilities(transport, "nano", None, logprobs=True, window=None)
        await transport.close()
        return found

    assert asyncio.run(ask()).way == "instruct"


def test_greedy_solutions_are_those_of_transformers(policy):
    remote, local = GreedyChain(policy, task="nano"), GreedyChain("nano")
    for question in QUESTIONS[:8]:
        assert remote.invoke(question).text == local.invoke(question).text


def test_log_probabilities_are_those_of_transformers(policy, ask):
    request = ask(QUESTIONS[0], temperature=0.0)
    (remote,) = policy.sample([request])[0]
    (local,) = resolve_policy("nano").sample([request])[0]
    assert remote.text == local.text
    assert remote.logprobs == pytest.approx(local.logprobs, abs=1e-3)
    assert (remote.generated, remote.prompt_tokens) == (local.generated, local.prompt_tokens)


def test_a_gbnf_grammar_decides_what_is_said(policy, ask):
    request = ask(
        QUESTIONS[0],
        n=6,
        temperature=1.0,
        grammar='root ::= [0-9] [0-9] "!"',
        grammar_required=True,
    )
    for completion in policy.sample([request])[0]:
        assert re.fullmatch(r"[0-9][0-9]!", completion.text)
        assert completion.finish == "eos"
    assert not any(line.startswith("grammar") for line in policy.shortfalls)


SCHEMA = {
    "type": "object",
    "properties": {"bags": {"enum": [3, 40, 500]}, "sure": {"type": "boolean"}},
    "required": ["bags", "sure"],
    "additionalProperties": False,
}


def test_a_json_schema_decides_what_is_said(policy, ask):
    grammar = json.dumps(SCHEMA)
    request = ask(
        QUESTIONS[0], n=4, stop=(), max_tokens=160, grammar=grammar, grammar_required=True
    )
    told = [json.loads(each.text) for each in policy.sample([request])[0]]
    assert all(each["bags"] in {3, 40, 500} and isinstance(each["sure"], bool) for each in told)


def test_lark_is_refused_before_anything_is_drawn_where_it_is_required(policy, ask):
    request = ask(QUESTIONS[0], grammar='start: "yes" | "no"', grammar_required=True)
    with pytest.raises(GrammarError, match=r"\(Lark\), the server does not enforce it"):
        policy.sample([request])
    assert policy.sample([ask(QUESTIONS[0])])[0][0].text  # nor did asking harm the server


def test_its_chat_endpoint_takes_a_schema_in_its_own_words(server):
    async def ask():
        transport = Transport([server.url], Patience())
        found = ServerGrammars(transport, CHAT, plain_prompt("nano", None))
        fields = await found.fields(json.dumps(SCHEMA))
        await transport.close()
        return fields

    assert asyncio.run(ask()) == {"response_format": {"type": "json_object", "schema": SCHEMA}}


def test_the_same_seeds_draw_the_same_steps(policy, ask):
    request = ask(QUESTIONS[0], n=4, temperature=1.0)
    texts = [each.text for each in policy.sample([request])[0]]
    assert texts == [each.text for each in policy.sample([request])[0]]
    assert len(set(texts)) > 1


def test_a_search_ends_with_an_answer_and_tells_what_fell_short(policy):
    solution = QStarChain(policy, task="nano", settings={"max_pops": 8}).invoke(QUESTIONS[0])
    assert solution.answer == "17"
    assert solution.policy == "openai:nano"
    assert solution.usage.completion_tokens > 0
    assert set(policy.shortfalls) <= set(solution.usage.shortfalls)


def test_many_searches_at_once_lose_nothing_and_need_no_memory(policy, server):
    chain = QStarChain(policy, task="nano", settings=SEARCH)
    chain.invoke(QUESTIONS[0])
    before = server.megabytes()
    solutions = chain.batch(QUESTIONS, {"max_concurrency": len(QUESTIONS)})
    assert [each.question for each in solutions] == QUESTIONS
    assert all(each.usage.completions for each in solutions)
    assert not any(each.startswith("error") for each in policy.shortfalls)
    assert server.megabytes() < before + 100


async def test_when_one_of_two_servers_is_killed_the_searches_go_on(start):
    servers = start(), start()
    policy = RemotePolicy.connect("nano", [each.url for each in servers], backoff=0.01)
    chain = SelfConsistencyChain(policy, task="nano", n=2)
    questions = QUESTIONS[:24]
    try:
        whole = await chain.abatch(questions)
        searches = asyncio.create_task(chain.abatch(questions))
        await asyncio.sleep(0.2)  # in the middle of it; at any other moment it must work too
        servers[0].kill()
        assert [each.text for each in await searches] == [each.text for each in whole]
        assert not any(each.startswith("error") for each in policy.shortfalls)
    finally:
        policy.close()
