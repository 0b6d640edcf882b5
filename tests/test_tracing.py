"""What traces show elsewhere: LangSmith's `evaluate` and OpenTelemetry, on this machine alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import requests
from langsmith import Client, tracing_context
from langsmith.schemas import Example

from langchain_qstar import QStarChain, RStarChain, ScriptedPolicy, get_task

HOUSE = Path(__file__).parent.parent
SCRIPT = {"": ["3*4=12\n"], "3*4=12\n": ["The answer is 12.\n"]}


class NoNetwork(requests.Session):
    """Remembers what somebody wanted to send, and sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[str] = []

    def request(self, method: Any, url: Any, *_: Any, **__: Any) -> Any:
        self.wanted.append(f"{method} {url}")
        raise requests.ConnectionError


@pytest.mark.parametrize("chain_type", [QStarChain, RStarChain])
def test_langsmiths_evaluate_runs_a_chain_on_examples_and_sends_nothing(chain_type: Any):
    chain, task = chain_type(ScriptedPolicy(SCRIPT, logprob=-0.1), task="nano"), get_task("nano")

    def target(inputs: dict[str, Any]) -> dict[str, Any]:
        with tracing_context(enabled=False):
            return {"answer": chain.invoke(inputs["question"]).answer}

    def right(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> bool:
        return task.equivalent(outputs["answer"], reference_outputs["answer"])

    data = [
        Example(id=uuid4(), inputs={"question": "How many?"}, outputs={"answer": answer})
        for answer in ("12", "12.0", "13")
    ]
    session = NoNetwork()
    client = Client(api_key="none", session=session, auto_batch_tracing=False)
    judges: Any = [right]  # langsmith runs such functions, and its types do not say so
    results = client.evaluate(target, data=data, evaluators=judges, upload_results=False)
    rows = list(results)
    assert [row["run"].outputs for row in rows] == [{"answer": "12"}] * 3
    scores = {
        row["example"].outputs["answer"]: row["evaluation_results"]["results"][0].score
        for row in rows
        if row["example"].outputs
    }
    assert scores == {"12": True, "12.0": True, "13": False}
    client.flush()
    assert session.wanted == []


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An OpenTelemetry collector on this machine: its address, and what it was sent."""
    received: list[tuple[str, bytes]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.enable_socket
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_environment_alone_sends_a_search_to_an_opentelemetry_collector():
    messages = pytest.importorskip(
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
        reason="langsmith[otel] is not installed: group test",
    )
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    code = (
        "from langchain_core.tracers.langchain import wait_for_all_tracers\n"
        "from langchain_qstar import QStarChain, ScriptedPolicy\n"
        f"QStarChain(ScriptedPolicy({SCRIPT!r}), None, task='nano').invoke('How many?')\n"
        "wait_for_all_tracers()\n"
    )
    secrets = {each for each in os.environ if each.startswith(("LANGSMITH", "LANGCHAIN", "OTEL"))}
    environment = {key: value for key, value in os.environ.items() if key not in secrets}
    with collector() as (address, received):
        environment |= {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_TRACING_MODE": "otel",
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "PYTHONPATH": str(HOUSE),
        }
        argv = [sys.executable, "-c", code]
        subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=120)
    assert {path for path, _ in received} == {"/v1/traces"}
    spans: dict[str, Any] = {}
    for _, body in received:
        sent = messages.ExportTraceServiceRequest.FromString(body)
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                spans |= {span.span_id: span for span in scope.spans}
    names = [span.name for span in spans.values()]
    assert {"QStarChain", "qstar", "root", "select", "propose_step", "answer"} <= set(names)
    (whole,) = [span for span in spans.values() if span.name == "QStarChain"]
    assert not whole.parent_span_id
    models = [span for span in spans.values() if span.name == "scripted"]
    assert models
    for span in models:
        above = spans[span.parent_span_id]
        assert above.name in {"propose_step", "answer"}
        known = {each.key: each.value for each in span.attributes}
        assert known["gen_ai.request.model"].string_value == "scripted"
        assert known["gen_ai.usage.output_tokens"].int_value > 0
