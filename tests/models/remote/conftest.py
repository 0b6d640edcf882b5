"""A small HTTP server on this machine that behaves as well or badly as a test wants."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from langchain_qstar.models.remote.policy import RemotePolicy

CHAT, TEXT, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"
OPTIONS = frozenset({"n", "seed", "stop", "logprobs"})


class Imitation:
    """A model whose tokens are characters, behind a server that knows `knows`.

    What it says is `says(seed)`. `continues` is how it treats a last message of the
    assistant: as begun when `told` so, `always`, or `never`. Whatever `before`
    returns, given the path and the body of a request, is sent instead; in place of data it may be
    a function that writes to the handler. It holds what it
    says to grammars under the names in `enforces`, all of which allow one text.
    """

    def __init__(self, **behaviour: Any) -> None:
        self.names = ["m"]
        self.window: int | None = None
        self.knows = OPTIONS
        self.refuses: frozenset[str] = frozenset()
        self.enforces: frozenset[str] = frozenset()
        self.continues = "told"
        self.keeps_lines = True
        self.tells_stop = False
        self.tells_usage = True
        self.tells_model: str | None = None
        self.says = lambda seed: f"step {seed}\nmore"
        self.before: Callable[[str, dict[str, Any]], tuple[int, Any] | None] = lambda path, body: (
            None
        )
        self.asked: list[dict[str, Any]] = []
        self.most_at_once = self.at_once = 0
        self.lock = threading.Lock()
        vars(self).update(behaviour)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        sent = self.before(path, body)
        if sent is not None:
            return sent
        if path == MODELS:
            return 200, {
                "data": [{"id": name, "max_model_len": self.window} for name in self.names]
            }
        refused = self.refuses & body.keys()
        if refused:
            return 422, {"error": {"message": f"unexpected {sorted(refused)}"}}
        return 200, self.reply(path, body)

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        count = body.get("n", 1) if "n" in self.knows else 1
        seed = body.get("seed", 0) if "seed" in self.knows else 0
        choices = [self.choice(path, body, seed + number, number) for number in range(count)]
        usage = {
            "prompt_tokens": len(body.get("prompt") or self.rendered(body)),
            "completion_tokens": sum(choice.pop("tokens") for choice in choices),
            "prompt_tokens_details": {"cached_tokens": 2},
        }
        named = {} if self.tells_model is None else {"model": self.tells_model}
        return {"choices": choices, **named} | ({"usage": usage} if self.tells_usage else {})

    def choice(self, path: str, body: dict[str, Any], seed: int, number: int) -> dict[str, Any]:
        text, finish, matched = self.held(body) or self.says(seed), "stop", None
        stops = body.get("stop", []) if "stop" in self.knows else []
        ends = [(text.find(mark), mark) for mark in stops if mark in text]
        drawn = text
        if ends:
            at, matched = min(ends)
            text, drawn = text[:at], text[: at + len(matched)]
        if len(drawn) > body["max_tokens"]:
            finish, matched = "length", None
            text = drawn = drawn[: body["max_tokens"]]
        choice: dict[str, Any] = {"index": number, "finish_reason": finish, "tokens": len(drawn)}
        if self.tells_stop:
            choice["stop_reason"] = matched
        if path == CHAT:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        if "logprobs" in self.knows and body.get("logprobs"):
            choice["logprobs"] = self.logprobs(path, drawn)
        return choice

    def held(self, body: dict[str, Any]) -> str:
        """The text that a grammar allows, empty without one."""
        for name in sorted(self.enforces & body.keys()):
            return only_text(body[name])
        return ""

    @staticmethod
    def logprobs(path: str, drawn: str) -> dict[str, Any]:
        if path == CHAT:
            return {"content": [{"token": token, "logprob": -0.5} for token in drawn]}
        return {"tokens": list(drawn), "token_logprobs": [-0.5] * len(drawn)}

    def rendered(self, body: dict[str, Any]) -> str:
        """The chat as one text; a turn is `<role>content</>`."""
        *before, last = body["messages"]
        content = last["content"] if self.keeps_lines else last["content"].rstrip()
        told = bool(body.get("continue_final_message"))
        begun = last["role"] == "assistant" and (
            self.continues == "always" or (self.continues == "told" and told)
        )
        text = "".join(f"<{each['role']}>{each['content']}</>" for each in before)
        text += f"<{last['role']}>{content}"
        return text if begun else f"{text}</><assistant>"


def only_text(grammar: Any) -> str:
    """What the grammar in a field of a request allows: its first literal, or least values."""
    if isinstance(grammar, str):
        literals: list[str] = re.findall(r'"([^"]*)"', grammar)
        return literals[0]
    for name in ("json_schema", "schema", "json", "grammar"):
        if name in grammar:
            return only_text(grammar[name])
    return json.dumps({key: each["enum"][0] for key, each in grammar["properties"].items()})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet a reply: without it every one waits for an acknowledgement
    imitation: Imitation

    def do_GET(self):
        self.respond({})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body["authorization"] = self.headers.get("authorization")
        with self.imitation.lock:
            self.imitation.asked.append(body)
        self.respond(body)

    def respond(self, body):
        imitation = self.imitation
        with imitation.lock:
            imitation.at_once += 1
            imitation.most_at_once = max(imitation.most_at_once, imitation.at_once)
        status, data = imitation.answer(self.path, body)
        with imitation.lock:
            imitation.at_once -= 1
        if callable(data):  # a misdeed
            try:
                data(self)
            except OSError:
                self.close_connection = True
            return
        text = data if isinstance(data, str) else json.dumps(data)
        try:
            self.send_response(status)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())
        except OSError:
            self.close_connection = True  # whoever asked has gone

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Knows its URL, and forgets its connections when it is stopped."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, imitation: Imitation) -> None:
        handler = type("OwnHandler", (Handler,), {"imitation": imitation})
        super().__init__(("127.0.0.1", 0), handler)
        self.imitation = imitation
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.stopped = False

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            self.shutdown()
            self.thread.join()
            self.server_close()


@pytest.fixture
def serve():
    """Starts servers that end with the test."""
    servers: list[Server] = []

    def start(**behaviour: Any) -> Server:
        servers.append(Server(Imitation(**behaviour)))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def connect():
    """Connects policies that end with the test; they are in a hurry."""
    policies: list[RemotePolicy] = []

    def make(*servers: Server, name: str = "m", **options: Any) -> RemotePolicy:
        options = {"backoff": 0.001, "retries": 2, "timeout": 20.0} | options
        urls = [server.url for server in servers]
        policies.append(RemotePolicy.connect(name, urls, **options))
        return policies[-1]

    yield make
    for policy in policies:
        policy.close()


@pytest.fixture
def until():
    """Waits for something to become true."""

    def wait(condition):
        while not condition():
            time.sleep(0.002)

    return wait
