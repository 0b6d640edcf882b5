"""The deployed graphs on a real server: `langgraph dev`, driven by its SDK."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytest.importorskip("langgraph_api", reason="langgraph-cli[inmem] is not installed: group dev")
from langgraph_sdk import get_sync_client

HOUSE = Path(__file__).parent.parent
QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
PATIENCE = 120

pytestmark = [
    pytest.mark.nano,
    pytest.mark.slow,
    pytest.mark.enable_socket,
    pytest.mark.allow_hosts(["127.0.0.1"]),
]


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that keeps its files in a folder of its own, and reaches nothing outside."""
    import pytest_socket

    pytest_socket.enable_socket()
    folder = tmp_path_factory.mktemp("server")
    # Paths in langgraph.json are read from the working folder, where the server also writes.
    (folder / "graphs").symlink_to(HOUSE / "graphs")
    (folder / "langgraph.json").write_text((HOUSE / "langgraph.json").read_text())
    port = free_port()
    secrets = {each for each in os.environ if each.startswith(("LANGSMITH", "LANGCHAIN"))}
    environment = {key: value for key, value in os.environ.items() if key not in secrets}
    environment |= {
        "HF_HUB_OFFLINE": "1",
        "LANGSMITH_TRACING": "false",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "PYTHONPATH": str(HOUSE),
    }
    argv = [sys.executable, "-m", "langgraph_cli", "dev"]
    argv += [
        "--no-browser",
        "--no-reload",
        "--allow-blocking",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    address = f"http://127.0.0.1:{port}"
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(argv, cwd=folder, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            _wait_for(f"{address}/ok", server, folder / "log")
            yield address
        finally:
            server.terminate()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(10 * PATIENCE):
        try:
            with urlopen(address, timeout=5):  # noqa: S310  # our own server
                return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with get_sync_client(url=url, api_key=None) as opened:
        yield opened


def test_both_machines_are_assistants_that_show_their_nodes(client: Any):
    assistants = {each["graph_id"]: each["assistant_id"] for each in client.assistants.search()}
    assert set(assistants) == {"qstar", "rstar"}
    drawn = client.assistants.get_graph(assistants["qstar"])
    names = {node["id"] for node in drawn["nodes"]}
    assert {"root", "select", "propose_step", "score_with_q", "answer"} <= names


def test_a_question_is_answered_in_a_thread_whose_state_can_be_read(client: Any):
    thread = client.threads.create()["thread_id"]
    result = client.runs.wait(thread, "qstar", input={"question": QUESTION})
    assert result["solution"]["answer"] == result["answer"]
    state = client.threads.get_state(thread)
    assert state["next"] == []
    assert state["values"]["answer"] == result["answer"]
    texts = [record["text"] for record in state["values"]["nodes"].values()]
    assert texts == [node["text"] for node in result["solution"]["tree"]]
    assert len(client.threads.get_history(thread, limit=3)) == 3


def test_an_assistants_context_sets_the_search_and_its_events_are_streamed(client: Any):
    context = {"num_samples": 2, "max_pops": 3, "stream_tokens": True}
    assistant = client.assistants.create("qstar", context=context, name="small")
    parts = client.runs.stream(
        None,
        assistant["assistant_id"],
        input={"question": QUESTION},
        stream_mode=["custom", "updates", "values"],
    )
    seen = list(parts)
    events = [part.data["type"] for part in seen if part.event == "custom"]
    assert {"selected", "writing", "proposed", "scored", "answered"} <= set(events)
    phases = [name for part in seen if part.event == "updates" for name in part.data]
    assert phases[:4] == ["root", "select", "propose_step", "score_with_q"]
    last = [part.data for part in seen if part.event == "values"][-1]
    assert last["solution"]["settings"]["num_samples"] == 2


def test_a_person_approves_steps_on_the_server(client: Any):
    thread = client.threads.create()["thread_id"]
    context = {"interrupt": ["expand"], "num_samples": 2, "max_pops": 2}
    how: dict[str, Any] = {"context": context}
    asked = client.runs.wait(thread, "qstar", input={"question": QUESTION}, **how)
    assert "expand" in json.dumps(asked["__interrupt__"])
    result = client.runs.wait(thread, "qstar", command={"resume": "approve"}, **how)
    assert {"__interrupt__", "solution"} & set(result)


def test_rstar_is_served_too(client: Any):
    how: dict[str, Any] = {"context": {"num_rollouts": 1, "max_depth": 2}}
    result = client.runs.wait(None, "rstar", input={"question": QUESTION}, **how)
    assert result["solution"]["method"] == "rstar"


def test_a_setting_that_cannot_be_is_told_to_the_caller(client: Any):
    how: dict[str, Any] = {"context": {"temperature": -1}}
    result = client.runs.wait(None, "qstar", input={"question": QUESTION}, raise_error=False, **how)
    assert "temperature=-1" in json.dumps(result)
