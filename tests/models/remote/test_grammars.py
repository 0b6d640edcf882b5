"""Grammars at servers that take them in their own words, ignore them, refuse them, or break."""

from __future__ import annotations

import asyncio
import importlib.util
import json

import pytest

from langchain_qstar import QStarChain, Task
from langchain_qstar.errors import GrammarError, ModelError
from langchain_qstar.models.remote import grammars

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

GBNF = 'root ::= "yes"'
LARK = 'start: "yes"'
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"ok": {"enum": [True]}},
        "required": ["ok"],
        "x-guidance": {"lenient": True},
    }
)
SAYS = {GBNF: "yes", LARK: "yes", SCHEMA: '{"ok": true}'}
PROBE = grammars.PROBE_TOKENS


@pytest.fixture(autouse=True)
def no_translation(monkeypatch):
    """Schemas are not sent as GBNF unless a test says so."""
    find = importlib.util.find_spec
    monkeypatch.setattr(grammars, "find_spec", lambda name: name != "llama_cpp" and find(name))


def probes(server):
    return [body for body in server.imitation.asked if body.get("max_tokens") == PROBE]


@pytest.mark.parametrize(
    ("grammar", "name"),
    [
        (GBNF, "grammar"),
        (GBNF, "ebnf"),
        (GBNF, "structured_outputs"),
        (GBNF, "guided_grammar"),
        (LARK, "structured_outputs"),
        (LARK, "ebnf"),
        (LARK, "guided_grammar"),
        (SCHEMA, "response_format"),
        (SCHEMA, "structured_outputs"),
        (SCHEMA, "guided_json"),
        (SCHEMA, "json_schema"),
    ],
)
def test_the_servers_word_for_a_grammar_is_found_and_used(serve, connect, ask, grammar, name):
    server = serve(enforces=frozenset({name}))
    policy = connect(server)
    (completion,) = policy.sample([ask(max_tokens=20, grammar=grammar)])[0]
    assert (completion.text, completion.finish) == (SAYS[grammar], "eos")
    assert policy.shortfalls == ()
    assert "x-guidance" not in json.dumps(server.imitation.asked[-1])


def test_llama_cpp_pythons_word_for_a_schema_is_found(serve, connect, ask):
    def before(path, body):
        kind = body.get("response_format", {}).get("type")
        return (500, "a validation error") if kind == "json_schema" else None

    server = serve(enforces=frozenset({"response_format"}), before=before)
    (completion,) = connect(server, retries=0).sample([ask(max_tokens=20, grammar=SCHEMA)])[0]
    assert completion.text == SAYS[SCHEMA]
    assert server.imitation.asked[-1]["response_format"]["type"] == "json_object"


def test_a_server_is_asked_once_for_each_notation_and_not_before_it_is_needed(serve, connect, ask):
    server = serve(enforces=frozenset({"grammar", "guided_json"}))
    policy = connect(server)
    assert probes(server) == []
    policy.sample([ask(str(number), max_tokens=9, grammar=GBNF) for number in range(8)])
    assert len(probes(server)) == 1
    policy.sample([ask(max_tokens=20, grammar=SCHEMA), ask(max_tokens=9, grammar=GBNF)])
    assert len(probes(server)) == 1 + 3


@pytest.mark.parametrize("grammar", [GBNF, LARK, SCHEMA])
def test_a_server_that_ignores_grammars_is_not_trusted(serve, connect, ask, grammar):
    server = serve()
    policy = connect(server)
    (completion,) = policy.sample([ask(max_tokens=20, grammar=grammar)])[0]
    assert completion.text == "step 0\n"
    (line,) = policy.shortfalls
    assert line.startswith("grammar: ")
    assert line.endswith("the server does not enforce it; left out")


@pytest.mark.parametrize("grammar", [GBNF, LARK, SCHEMA])
async def test_a_form_that_is_required_and_not_enforced_is_an_error(serve, connect, ask, grammar):
    policy = connect(serve())
    request = ask(max_tokens=20, grammar=grammar, grammar_required=True)
    with pytest.raises(GrammarError, match=r"cannot be held to a grammar .*use a local model"):
        policy.sample([request])
    with pytest.raises(GrammarError, match="cannot be held"):
        await policy.asample([request])


@pytest.mark.parametrize("sent", [(500, "broken"), (400, {"error": "unknown"}), (200, "<html>")])
def test_a_server_that_breaks_over_a_probe_is_well(serve, connect, ask, sent):
    server = serve(before=lambda path, body: sent if body.get("max_tokens") == PROBE else None)
    policy = connect(server)
    (completion,) = policy.sample([ask(max_tokens=20, grammar=GBNF)])[0]
    assert completion.text == "step 0\n"
    assert len(probes(server)) == 4  # each word once, and no second attempt
    assert policy._transport.replicas.well() == (server.url,)


def test_a_server_that_is_busy_when_asked_is_asked_again(serve, connect, ask):
    busy = iter([True, True])

    def before(path, body):
        return (503, "busy") if body.get("max_tokens") == PROBE and next(busy, False) else None

    server = serve(enforces=frozenset({"grammar"}), before=before)
    policy = connect(server)
    assert policy.sample([ask(max_tokens=20, grammar=GBNF)])[0][0].text == "yes"
    assert len(probes(server)) == 3


def test_a_server_that_is_gone_when_asked_is_asked_again_later(serve, connect, ask):
    server = serve(enforces=frozenset({"grammar"}))
    policy = connect(server)
    server.imitation.before = lambda path, body: (503, "busy")
    with pytest.raises(ModelError, match="is busy or broken"):
        policy.sample([ask(max_tokens=20, grammar=GBNF)])
    server.imitation.before = lambda path, body: None
    assert policy.sample([ask(max_tokens=20, grammar=GBNF)])[0][0].text == "yes"


def test_a_grammar_that_the_server_refuses_is_told(serve, connect, ask):
    def before(path, body):
        refused = "grammar" in body and body["max_tokens"] != PROBE
        return (400, {"error": {"message": "unsupported rule"}}) if refused else None

    policy = connect(serve(enforces=frozenset({"grammar"}), before=before))
    (completion,) = policy.sample([ask(max_tokens=20, grammar=GBNF)])[0]
    assert completion.text == "step 0\n"
    assert policy.shortfalls[0].startswith("grammar: GBNF, the server refuses one: ")
    with pytest.raises(GrammarError, match="unsupported rule"):
        policy.sample([ask(max_tokens=20, grammar=GBNF, grammar_required=True)])


@pytest.mark.parametrize(
    ("grammar", "says"),
    [
        ("{", "begins like a JSON schema"),
        (" ", "is empty"),
        ("root ::= other", "is not GBNF"),
        ("start: (", "cannot be enforced"),
    ],
)
def test_what_is_no_grammar_never_reaches_a_server(serve, connect, ask, grammar, says):
    pytest.importorskip("llguidance")
    server = serve(enforces=frozenset({"grammar"}))
    policy = connect(server)
    asked = len(server.imitation.asked)
    with pytest.raises(GrammarError, match=says) as caught:
        policy.sample([ask(grammar=grammar)])
    assert len(server.imitation.asked) == asked
    assert "\n" not in str(caught.value)


def test_a_text_that_a_grammar_ends_is_left_as_it_is(serve, connect, ask):
    # The server tells no tokens, and by instruction a reply would be trimmed and ended.
    server = serve(enforces=frozenset({"grammar"}), knows=frozenset({"seed"}), continues="never")
    policy = connect(server, logprobs=False)
    request = ask(prefill="Q:", max_tokens=20, grammar='root ::= " yes"')
    (completion,) = policy.sample([request])[0]
    assert (completion.text, completion.finish) == ("Q: yes", "eos")


def test_a_schema_goes_as_gbnf_to_a_server_that_knows_no_other(serve, connect, ask, monkeypatch):
    pytest.importorskip("llama_cpp", reason="translates schemas to GBNF")
    monkeypatch.undo()
    sent = []

    def before(path, body):
        if "grammar" in body:
            sent.append(body["grammar"])

    server = serve(before=before)
    policy = connect(server)
    policy.sample([ask(max_tokens=20, grammar=SCHEMA)])
    assert sent
    assert all("::=" in each for each in sent)


def test_cancelling_who_asks_lets_the_next_ask(serve, connect, ask):
    async def cancelled_then_served():
        server = serve(enforces=frozenset({"grammar"}))
        policy = connect(server)
        task = asyncio.create_task(policy.asample([ask(max_tokens=9, grammar=GBNF)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return (await policy.asample([ask(max_tokens=9, grammar=GBNF)]))[0][0].text

    assert asyncio.run(cancelled_then_served()) == "yes"


def test_in_a_search_the_shortfall_stands_in_the_usage(serve, connect):
    policy = connect(serve(says=lambda seed: "so 5\n"))
    holding = Holding(policy)
    task = Task(
        name="sums",
        messages=lambda question: (("user", question),),
        is_terminal=lambda text: "so " in text,
        answer=lambda text: text.rpartition("so ")[2].strip(),
    )
    chain = QStarChain(holding, None, task=task, settings={"max_pops": 3, "num_trajectories": 1})
    solution = chain.invoke("2 and 3?")
    assert solution.answer == "5"
    assert any(line.startswith("grammar: GBNF") for line in solution.usage.shortfalls)


class Holding:
    """A policy that asks for every step by a grammar."""

    def __init__(self, policy):
        self._policy = policy
        self.name, self.window, self.count_tokens = policy.name, policy.window, policy.count_tokens

    @property
    def shortfalls(self):
        return self._policy.shortfalls

    def _held(self, requests):
        from dataclasses import replace

        return [replace(request, grammar=GBNF) for request in requests]

    def sample(self, requests):
        return self._policy.sample(self._held(requests))

    async def asample(self, requests):
        return await self._policy.asample(self._held(requests))
