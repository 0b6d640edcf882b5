"""A key and an account in an address are sent to the server and shown nowhere, whatever it says."""

from __future__ import annotations

import io
import json
import logging
import pickle
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any

import pytest
from langchain_core.callbacks import StdOutCallbackHandler
from langchain_core.globals import set_debug, set_verbose
from langchain_core.tracers import BaseTracer

from langchain_qstar import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    SelfConsistencyChain,
    cli,
    open_checkpoints,
)
from langchain_qstar.errors import QStarError

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
KEY = "sk-SECRET-0123456789"
PASSWORD = "hunter2-SECRET"  # noqa: S105
SETTINGS: dict[str, Any] = {"max_tokens": 200}
SEARCHED: dict[str, Any] = {**SETTINGS, "max_pops": 2, "num_samples": 2}
METHODS: dict[str, Any] = {
    "greedy": lambda policy, saver: GreedyChain(policy, task="gsm8k", **SETTINGS),
    "vote": lambda policy, saver: SelfConsistencyChain(policy, n=2, task="gsm8k", **SETTINGS),
    "best": lambda policy, saver: BestOfNChain(
        policy, "log-probability", n=2, task="gsm8k", **SETTINGS
    ),
    "qstar": lambda policy, saver: QStarChain(
        policy, "log-probability", task="gsm8k", settings=SEARCHED, checkpointer=saver
    ),
    "rstar": lambda policy, saver: RStarChain(
        policy,
        task="gsm8k",
        settings={**SETTINGS, "num_rollouts": 1},
        checkpointer=saver,
    ),
}
ECHOES: dict[str, Any] = {
    "an error": (400, {"error": {"message": f"no such key: {KEY}, {PASSWORD}"}}),
    "an error in a 200": (200, {"error": f"the key {KEY} of {PASSWORD}"}),
    "a page": (502, f"<html>Authorization: Bearer {KEY}; {PASSWORD}</html>"),
    "a step": (
        200,
        {
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": f"I am {KEY} {PASSWORD}\n"},
                }
            ]
        },
    ),
    "its model's name": (
        200,
        {
            "model": f"{KEY} {PASSWORD}",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"content": "It is 7.\n"}}
            ],
        },
    ),
}


class Everything(BaseTracer):
    """Keeps every run whole, as a tracing service is sent it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def _persist_run(self, run: Any) -> None:
        self.runs.append(run.model_dump_json() if hasattr(run, "model_dump_json") else repr(run))
        self.runs.append(json.dumps(run, default=vars, skipkeys=True)[: 10**7])


@pytest.fixture
def debugging():
    set_debug(True)
    set_verbose(True)
    yield
    set_debug(False)
    set_verbose(False)


def everything_of(chain: Any, saver_file: Any) -> str:
    """All that somebody may see of a call, or of the chain."""
    out, tracer = io.StringIO(), Everything()
    found: list[str] = [repr(chain), str(chain), str(chain.policy), chain.get_name()]
    config = {
        "callbacks": [tracer, StdOutCallbackHandler()],
        "configurable": {"thread_id": "t"},
    }
    with redirect_stdout(out), redirect_stderr(out):
        try:
            solution = chain.invoke("How many is 3 and 4?", config)
        except QStarError as error:
            found += traceback.format_exception(error)
        else:
            print(solution)  # noqa: T201  # as people do
            found += [repr(solution), solution.model_dump_json(), solution._repr_html_()]
        for item in _streamed(chain):
            found.append(repr(item))
    with suppress(Exception):
        found.append(repr(pickle.dumps(chain)))
    if saver_file.exists():
        found.append(repr(saver_file.read_bytes()))
    return "\n".join([*found, *tracer.runs, out.getvalue()])


def _streamed(chain: Any) -> list[Any]:
    config = {"configurable": {"thread_id": "u"}}
    try:
        return list(chain.stream("And 5?", config))
    except QStarError as error:
        return traceback.format_exception(error)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("echo", ECHOES)
def test_neither_shows_anywhere(serve, connect, caplog, debugging, tmp_path, method, echo):
    caplog.set_level(logging.DEBUG)
    status, body = ECHOES[echo]

    def answered(path: str, asked: dict[str, Any]) -> Any:
        return (status, body) if asked.get("max_tokens", 1) > 1 else None

    server = serve(before=answered)
    from langchain_qstar.models.remote.policy import RemotePolicy

    url = server.url.replace("//", f"//me:{PASSWORD}@")
    file = tmp_path / "t.sqlite"
    pytest.importorskip("langgraph.checkpoint.sqlite")
    shown = ""
    with open_checkpoints(file) as saver:
        try:
            policy = RemotePolicy.connect("m", url, api_key=KEY, retries=0, timeout=20)
        except QStarError as error:
            shown += "".join(traceback.format_exception(error))
        else:
            shown += everything_of(METHODS[method](policy, saver), file)
            policy.close()
    shown += caplog.text
    assert "m" in shown
    assert KEY not in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize("echo", ["an error", "a step"])
def test_nor_on_the_command_line(serve, capfd, monkeypatch, echo):
    status, body = ECHOES[echo]
    server = serve(before=lambda path, asked: (status, body) if "max_tokens" in asked else None)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    url = server.url.replace("//", f"//me:{PASSWORD}@")
    for argv in (
        ["solve", "How many?", "--policy", f"openai:m@{url}", "--task", "gsm8k", "--json"],
        ["doctor", "--policy", url],
    ):
        with suppress(SystemExit):
            cli.main(argv)
    shown = "".join(capfd.readouterr())
    assert shown
    assert KEY not in shown
    assert PASSWORD not in shown
