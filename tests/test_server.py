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

from langchain_qstar.settings import QStarSettings, RStarSettings, Settings

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
    # Without --allow-blocking: a call that blocks the event loop is an error of the run.
    argv += ["--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)]
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


def test_both_machines_are_assistants(client: Any):
    assert {each["graph_id"] for each in client.assistants.search()} == {"qstar", "rstar"}


@pytest.fixture
def assistants(client: Any) -> dict[str, str]:
    """The ids of the machines' own assistants."""
    return {each["graph_id"]: each["assistant_id"] for each in client.assistants.search()}


@pytest.mark.parametrize("name", ["qstar", "rstar"])
def test_the_schemas_of_input_output_and_state_are_given(
    client: Any, assistants: dict[str, str], name: str
):
    schemas = client.assistants.get_schemas(assistants[name])
    asked = schemas["input_schema"]
    assert asked["required"] == ["question"]
    assert {key: each["type"] for key, each in asked["properties"].items()} == {
        "question": "string",
        "images": "array",
        "seed": "integer",
        "budget": "object",
    }
    given = schemas["output_schema"]["properties"]
    assert set(given) == {"answer", "stopped", "solution"}
    assert {"type": "null"} in given["answer"]["anyOf"]
    state = set(schemas["state_schema"]["properties"])
    own = {"qstar": {"collected"}, "rstar": {"in_flight", "ended"}}[name]
    assert {"question", "answer", "stopped", "nodes", "stats", "usage", *own} <= state


@pytest.mark.parametrize(("name", "settings"), [("qstar", QStarSettings), ("rstar", RStarSettings)])
def test_the_schema_of_the_context_is_every_setting_with_its_range(
    client: Any, assistants: dict[str, str], name: str, settings: type[Settings]
):
    schema = client.assistants.get_schemas(assistants[name])["context_schema"]
    assert set(schema["properties"]) == {*settings.model_fields, "stream_tokens"}
    assert schema["properties"]["temperature"]["minimum"] == 0
    assert schema["properties"]["interrupt"]["items"]["enum"] == [
        "expand",
        "answer",
        "failed_check",
    ]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("qstar", {"root", "select", "propose_step", "score_with_q", "answer"}),
        (
            "rstar",
            {
                "root",
                "select",
                *("propose_step", "finish", "subquestion", "re_answer", "rephrase"),
                "backup",
                "verify_by_completion",
                "answer",
            },
        ),
    ],
)
def test_studio_draws_the_machine_by_the_names_of_its_phases(
    client: Any, assistants: dict[str, str], name: str, phases: set[str]
):
    drawn = client.assistants.get_graph(assistants[name], xray=True)
    assert {node["id"] for node in drawn["nodes"]} == {"__start__", "__end__", *phases}
    ends = {node["id"] for node in drawn["nodes"]}
    assert all({edge["source"], edge["target"]} <= ends for edge in drawn["edges"])


@pytest.mark.parametrize(
    ("name", "context"), [("qstar", {"max_pops": 2}), ("rstar", {"num_rollouts": 1})]
)
def test_every_checkpoint_of_a_thread_can_be_read(client: Any, name: str, context: dict[str, Any]):
    thread = client.threads.create()["thread_id"]
    small = {"num_votes": 2, "num_last_votes": 2} if name == "rstar" else {"num_samples": 2}
    how: dict[str, Any] = {"context": context | small}
    client.runs.wait(thread, name, input={"question": QUESTION}, **how)
    history = client.threads.get_history(thread, limit=100)
    trees = [point["values"].get("nodes", {}) for point in reversed(history)]
    assert [len(tree) for tree in trees] == sorted(len(tree) for tree in trees)
    root = trees[-1]["0"]
    assert (root["action"], root["run"]["question"]) == ("root", QUESTION)
    assert all(isinstance(each["text"], str) for each in trees[-1].values())
    phases = [task["name"] for point in reversed(history) for task in point["tasks"]]
    assert phases[:3] == ["__start__", "root", "select"]
    assert phases[-1] == "answer"


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


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("qstar", {"num_samples": 2, "max_pops": 2}),
        ("rstar", {"actions": ["propose_step"], "num_steps": 2, "num_rollouts": 2}),
    ],
)
def test_a_person_decides_about_steps_on_the_server(
    client: Any, name: str, context: dict[str, Any]
):
    thread = client.threads.create()["thread_id"]
    how: dict[str, Any] = {"context": {**context, "interrupt": ["expand"]}}
    asked = client.runs.wait(thread, name, input={"question": QUESTION}, **how)
    (pending,) = [each["value"] for each in asked["__interrupt__"]]
    assert pending["about"] == "expand"
    edit = {"edit": {pending["steps"][0]["id"]: "Ann has 3 * 4 = 12 pens."}}
    client.runs.wait(thread, name, command={"resume": edit}, **how)
    nodes = client.threads.get_state(thread)["values"]["nodes"]
    written = [each["text"] for each in nodes.values() if "replaces" in each]
    assert written == ["Ann has 3 * 4 = 12 pens.\n"]


def test_rstar_takes_the_context_of_a_run_and_streams_its_events(client: Any):
    context = {"num_rollouts": 1, "max_depth": 2, "num_votes": 2, "num_last_votes": 2}
    how: dict[str, Any] = {"context": context}
    modes = ["custom", "values"]
    seen = list(
        client.runs.stream(None, "rstar", input={"question": QUESTION}, stream_mode=modes, **how)
    )
    assert {part.event for part in seen} == {"metadata", *modes}
    events = {part.data["type"] for part in seen if part.event == "custom"}
    assert {"selected", "proposed", "voted", "backed_up", "answered"} <= events
    solution = [part.data for part in seen if part.event == "values"][-1]["solution"]
    assert (solution["method"], solution["settings"]["max_depth"]) == ("rstar", 2)


def test_a_setting_that_cannot_be_is_told_to_the_caller(client: Any):
    how: dict[str, Any] = {"context": {"temperature": -1}}
    result = client.runs.wait(None, "qstar", input={"question": QUESTION}, raise_error=False, **how)
    assert "temperature=-1" in json.dumps(result)
