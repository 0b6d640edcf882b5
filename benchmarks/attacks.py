"""Hostile servers, stores and templates: what was tried, and what was contained.

    python benchmarks/attacks.py --quick
    python benchmarks/attacks.py --full --record

Servers on this machine answer in every wrong way that we know, stored searches name what is no
data, templates loop. A misdeed is contained when it ends as a sample or as one of the package's
own errors, of one line, without the key, within its deadline, and without running anything.
Figures, printed last, for servers, stores and templates:

tried, contained      misdeeds
over_deadline         seconds that the slowest server took beyond the timeout
growth_mb             most memory that a reply took, in MiB (a reply is refused above 64)
slowest_template      seconds of the processor
prompt_us             microseconds of rendering a usual prompt of 200 words
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import ormsgpack

from langchain_qstar import GreedyChain, QStarChain, RemotePolicy, ScriptedPolicy, open_checkpoints
from langchain_qstar.errors import QStarError
from langchain_qstar.evaluation.recording import print_figures, provenance, rounded, write_record
from langchain_qstar.models.chat_template import ChatRenderer
from langchain_qstar.protocols import SampleRequest, State

RESULTS: Final = Path(__file__).parent / "results" / "attacks.json"
PACKAGES: Final = ("langchain-qstar", "httpx", "jinja2", "langgraph", "langgraph-checkpoint-sqlite")
KEY: Final = "sk-SECRET-0123456789"
TIMEOUT: Final = 3.0
MIB: Final = 2**20


def reply(content: Any = "step\n", **choice: Any) -> bytes:
    """A well-formed reply of one choice."""
    told = {"index": 0, "finish_reason": "stop", "message": {"content": content}} | choice
    return json.dumps({"choices": [told], "usage": {"completion_tokens": 2}}).encode()


def logprob(value: str) -> bytes:
    """A reply whose log-probability is written so."""
    told = {"content": [{"token": "step\n", "logprob": "#"}]}
    return reply(logprobs=told).replace(b'"#"', value.encode())


def bomb(mebibytes: int) -> bytes:
    """Spaces, compressed without ever being in memory."""
    made = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(made.compress(b" " * MIB) for _ in range(mebibytes)) + made.flush()


REPLIES: Final[dict[str, tuple[int, bytes, dict[str, str]]]] = {
    "no JSON": (200, b"hello", {}),
    "half a reply": (200, reply()[:30], {}),
    "null": (200, b"null", {}),
    "no choices": (200, b'{"choices": []}', {}),
    "a choice that is none": (200, b'{"choices": [7]}', {}),
    "an error in a 200": (200, b'{"error": {"message": "overloaded"}}', {}),
    "deep": (200, b'{"choices":' + b"[" * 200_000, {}),
    "no text": (200, reply(None), {}),
    "parts": (200, reply([{"type": "text", "text": "a\n"}]), {}),
    "half a character": (200, reply("a\ud83d\n"), {}),
    "no UTF-8": (200, reply("#").replace(b"#", b"\xff\xfe"), {}),
    "NUL and escapes": (200, reply("a\0 \x1b]0;x\x07\n"), {}),
    "a bomb": (200, bomb(256), {"Content-Encoding": "gzip"}),
    "no gzip": (200, b"none", {"Content-Encoding": "gzip"}),
    "no gzip, and 500": (500, b"none", {"Content-Encoding": "gzip"}),
    "a wrong charset": (400, b"\xff", {"Content-Type": "text/plain; charset=hex"}),
    "a redirect": (307, b"", {"Location": "http://127.0.0.1:9/"}),
    "our key": (401, f'{{"error": "wrong key {KEY}"}}'.encode(), {}),
    "a terminal": (400, b'{"error": "\\u001b[2J\\u202e"}', {}),
    "wait for ever": (429, b"{}", {"Retry-After": "inf"}),
    "a page": (502, b"<html>" + b"A" * MIB, {}),
    **{f"log-probability {n}": (200, logprob(n), {}) for n in ("1e999", "NaN", "9.0", "true")},
    "a huge integer": (200, logprob("-1" + "0" * 400), {}),
    "a huge count": (200, reply().replace(b": 2}", b": 1" + b"0" * 300 + b"}"), {}),
}
STREAMS: Final[dict[str, tuple[bytes, float]]] = {
    "bytes now and then": (b" ", 0.2),
    "events for ever": (b'data: {"choices": []}\n\n', 0.05),
    "spaces for ever": (b" " * MIB, 0.0),
}
TEMPLATES: Final = {
    "loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "product": "{{ ('a' * 100000) * 100000 }}",
    "doubling": "{% set n = namespace(x='aa') %}"
    "{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "width": "{{ '{:>1000000000}'.format(1) }}",
    "power": "{{ 9 ** 9 ** 9 ** 9 ** 9 }}",
    "macro": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "join": "{{ ''.join(['a' * 4000000] * 9000) }}",
    "shell": "{{ cycler.__init__.__globals__.os.system('id') }}",
}
USUAL: Final = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Hostile(BaseHTTPRequestHandler):
    """Answers as the model's name says; well while it is asked what it can."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """The list of models is empty."""
        self._send(200, b'{"data": []}', {})

    def do_POST(self) -> None:
        """A completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        misdeed = body["model"] if body.get("max_tokens", 1) > 1 else ""
        try:
            if misdeed in STREAMS:
                self._stream(*STREAMS[misdeed])
            else:
                self._send(*REPLIES.get(misdeed, (200, reply(), {})))
        except OSError:
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, part: bytes, pause: float) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
            time.sleep(pause)


class Quiet(ThreadingHTTPServer):
    """Says nothing of clients that leave."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients leave as soon as they have seen enough."""


def is_contained(call: Callable[[], Any]) -> bool:
    """Whether it ends as data, or as an error of ours in one line that holds no key."""
    try:
        call()
    except QStarError as error:
        return str(error).isprintable() and KEY not in str(error)
    except Exception as error:  # noqa: BLE001  # what is looked for
        print(f"not contained: {error!r}", file=sys.stderr)
        return False
    return True


def against_servers(times: int) -> dict[str, float]:
    """Every misdeed of a server, `times` times."""
    server = Quiet(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    asked = SampleRequest(State("Who?", (("user", "Who?"),)), (1,), stop=(), max_tokens=20)
    contained, over, before = 0, 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    misdeeds = [*REPLIES, *STREAMS] * times
    for misdeed in misdeeds:
        policy = RemotePolicy.connect(misdeed, url, api_key=KEY, timeout=TIMEOUT, retries=0)
        started = time.monotonic()
        contained += is_contained(lambda policy=policy: policy.sample([asked]))  # type: ignore[misc]
        over = max(over, time.monotonic() - started - TIMEOUT)
        policy.close()
    server.shutdown()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "servers_tried": len(misdeeds),
        "servers_contained": contained,
        "over_deadline": max(0.0, over),
        "growth_mb": grown / 1024,
    }


def against_stores(folder: Path) -> dict[str, float]:
    """Every kind of row that calls something."""
    mark = folder / "mark"
    shell = f"touch {mark}"
    calls: list[tuple[int, tuple[Any, ...]]] = [
        (0, ("os", "system", shell)),
        (1, ("os", "system", (shell,))),
        (2, ("os", "system", {"command": shell})),
        (3, ("os", "path", shell, "system")),
        (4, ("os", "system", {"command": shell})),
        (5, ("subprocess", "Popen", {"args": shell, "shell": True}, "model_validate")),
    ]
    policy = ScriptedPolicy({"": ["3 + 4 = 7\n"], "3 + 4 = 7\n": ["The answer is 7.\n"]})
    thread: Any = {"configurable": {"thread_id": "t"}}
    contained = 0
    for number, (code, parts) in enumerate(calls):
        path = folder / f"{number}.sqlite"
        with open_checkpoints(path) as saver:
            QStarChain(policy, None, task="gsm8k", checkpointer=saver).invoke("3 + 4?", thread)
        rows = sqlite3.connect(path)
        hostile = ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(parts)))
        rows.execute("update checkpoints set type='msgpack', checkpoint=?", (hostile,))
        rows.commit()
        rows.close()
        with open_checkpoints(path) as saver:
            chain = QStarChain(policy, None, task="gsm8k", checkpointer=saver)
            ended = is_contained(lambda chain=chain: chain.invoke("And 5?", thread))  # type: ignore[misc]
        contained += ended and not mark.exists()
    return {"stores_tried": len(calls), "stores_contained": contained}


def against_templates() -> dict[str, float]:
    """Every template that never ends, and what a usual one costs."""
    chat = [{"role": "user", "content": "word " * 200}]
    contained, slowest = 0, 0.0
    for text in TEMPLATES.values():
        started = time.process_time()
        contained += is_contained(lambda text=text: ChatRenderer(text).render(chat))  # type: ignore[misc]
        slowest = max(slowest, time.process_time() - started)
    renderer, rounds = ChatRenderer(USUAL), 2000
    renderer.render(chat)
    started = time.process_time()
    for _ in range(rounds):
        renderer.render(chat)
    each = (time.process_time() - started) / rounds
    return {
        "templates_tried": len(TEMPLATES),
        "templates_contained": contained,
        "slowest_template": slowest,
        "prompt_us": each * 1e6,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="each misdeed once (the default)")
    mode.add_argument("--full", action="store_true", help="each misdeed of a server five times")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    options = parser.parse_args()
    # Loaded here, so that its memory is not taken for a reply's.
    GreedyChain(ScriptedPolicy({"": ["The answer is 7.\n"]}), task="gsm8k").invoke("3 + 4?")
    with tempfile.TemporaryDirectory() as folder:
        figures = rounded(
            against_servers(5 if options.full else 1)
            | against_stores(Path(folder))
            | against_templates()
        )
    if options.record:
        write_record(RESULTS, {**provenance(Path(__file__), PACKAGES), "figures": figures})
    print_figures(figures)


if __name__ == "__main__":
    main()
