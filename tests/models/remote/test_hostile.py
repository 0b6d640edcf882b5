"""Servers that break every rule: each misdeed is one failed sample or a typed error, in time."""

from __future__ import annotations

import gzip
import json
import logging
import time
import traceback

import pytest

from langchain_qstar import QStarChain
from langchain_qstar.errors import ModelError
from langchain_qstar.models.remote import transport

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
KEY = "sk-SECRET-0123456789"
LARGEST = 1 << 20


def only_when_sampling(sent):
    """Sends this instead of a reply, but not while abilities are being asked for."""
    return lambda path, body: sent if body.get("max_tokens", 1) > 1 else None


def chat(**choice):
    message = {"role": "assistant", "content": "step\n"}
    whole = {"index": 0, "message": message, "finish_reason": "stop"} | choice
    return {"choices": [whole], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def with_headers(status, headers, body):
    def write(handler):
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return status, write


def for_ever(part, pause):
    def write(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            handler.wfile.flush()
            time.sleep(pause)

    return 200, write


def headers_for_ever(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X: a\r\n")
        handler.wfile.flush()
        time.sleep(0.05)


def hang_up(handler):
    handler.close_connection = True
    handler.connection.shutdown(2)


FAILS = {
    "drips bytes": (for_ever(b" ", 0.05), "no answer within"),
    "streams events": (for_ever(b'data: {"choices": []}\n\n', 0.05), "no answer within"),
    "drips headers": ((200, headers_for_ever), "no answer within|cannot be reached"),
    "hangs up": ((200, hang_up), "cannot be reached"),
    "promises more": (with_headers(200, {"Content-Length": "99"}, b"{"), "no answer|reached"),
    "is endless": (for_ever(b" " * 65536, 0), "more than 1 MiB"),
    "is a bomb": (
        with_headers(200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * (8 << 20))),
        "more than 1 MiB",
    ),
    "is no gzip": (with_headers(200, {"Content-Encoding": "gzip"}, b"none"), "broken encoding"),
    "is no gzip, and 500": (
        with_headers(500, {"Content-Encoding": "gzip"}, b"none"),
        "broken encoding",
    ),
    "is nested deeply": ((200, '{"choices":' + "[" * 200_000), "no JSON object"),
    "has an unknown charset": (
        with_headers(400, {"Content-Type": "text/plain; charset=hex"}, b"\xff\xffzz"),
        "refuses",
    ),
    "is an error in a 200": (
        (200, {"error": {"message": "model overloaded", "code": 502}}),
        "answers with an error: model overloaded",
    ),
    "has no choices": ((200, {"choices": []}), "holds no choices"),
    "is null": ((200, "null"), "no JSON object"),
    "is HTML": ((502, "<html>" + "A" * 10**6), "busy or broken"),
    "redirects": (with_headers(307, {"Location": "http://127.0.0.1:9/v1"}, b""), "status 307"),
    "waits for ever": (
        with_headers(429, {"Retry-After": "inf"}, b"{}"),
        "busy or broken",
    ),
}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(transport, "LARGEST_BODY", LARGEST)
    monkeypatch.setattr(transport, "LONGEST_WAIT", 0.01)


@pytest.mark.parametrize("misdeed", FAILS)
def test_a_reply_that_is_none_is_one_typed_error_in_time(small, serve, connect, ask, misdeed):
    sent, says = FAILS[misdeed]
    policy = connect(serve(before=only_when_sampling(sent)), timeout=0.6, retries=1, backoff=0.0)
    started = time.monotonic()
    with pytest.raises(ModelError, match=says) as raised:
        policy.sample([ask(max_tokens=20)])
    assert time.monotonic() - started < 10
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


READS = {
    "content in parts": (chat(message={"content": [{"type": "text", "text": "a\n"}]}), "a\n"),
    "other parts": (chat(message={"content": [{"type": "image"}, None, 3]}), ""),
    "no content": (chat(message={"content": None}), ""),
    "half a pair": ("PAIR", "a\N{REPLACEMENT CHARACTER} b\n"),
    "a byte order mark": ("MARK", "step\n"),
    "no UTF-8": ("BYTES", "a\N{REPLACEMENT CHARACTER}\n"),
}
RAW = {
    "PAIR": json.dumps(chat(message={"content": "a\ud83d b\n"})).encode(),
    "MARK": b"\xef\xbb\xbf" + json.dumps(chat()).encode(),
    "BYTES": json.dumps(chat(message={"content": "a#\n"})).encode().replace(b"#", b"\xff"),
}


@pytest.mark.parametrize("oddity", READS)
def test_an_odd_text_is_a_sample_that_can_be_stored(serve, connect, ask, oddity):
    reply, text = READS[oddity]
    sent = with_headers(200, {}, RAW[reply]) if isinstance(reply, str) else (200, reply)
    (found,) = connect(serve(before=only_when_sampling(sent))).sample([ask(max_tokens=20)])[0]
    assert found.text == text
    found.text.encode()


@pytest.mark.parametrize(
    "value", ["1e999", "-1e999", "NaN", "12345.0", "-1" + "0" * 400, "true", '"-1"', "null"]
)
def test_a_log_probability_that_cannot_be_one_is_none(serve, connect, ask, value):
    told = json.dumps(chat(logprobs={"content": [{"token": "step\n", "logprob": "#"}]}))
    sent = 200, told.replace('"#"', value)
    (found,) = connect(serve(before=only_when_sampling(sent))).sample([ask(max_tokens=20)])[0]
    assert (found.text, found.logprobs) == ("step\n", ())


def test_a_log_probability_that_rounding_put_above_zero_is_zero(serve, connect, ask):
    told = chat(logprobs={"content": [{"token": "step\n", "logprob": 1e-7}]})
    sent = only_when_sampling((200, told))
    (found,) = connect(serve(before=sent)).sample([ask(max_tokens=20)])[0]
    assert found.logprobs == (0.0,)


@pytest.mark.parametrize("count", ["1" + "0" * 300, "-3", "true", "1.5", '"7"'])
def test_a_count_that_cannot_be_one_is_estimated(serve, connect, ask, count):
    told = json.dumps(chat()).replace('"completion_tokens": 2', f'"completion_tokens": {count}')
    policy = connect(serve(before=only_when_sampling((200, told))))
    (found,) = policy.sample([ask(max_tokens=20)])[0]
    assert 0 < found.generated < 20
    assert any(each.startswith("usage: not told") for each in policy.shortfalls)


def test_what_a_server_says_moves_no_cursor_and_shows_no_key(serve, connect, ask, caplog):
    caplog.set_level(logging.DEBUG)
    said = f"\x1b]0;owned\x07 wrong key \u202e Bearer {KEY}\r\nX"
    sent = only_when_sampling((401, {"error": {"message": said}}))
    policy = connect(serve(before=sent), api_key=f" {KEY}\n")
    with pytest.raises(ModelError, match="wrong key \ufffd Bearer \\*\\*\\* X") as raised:
        policy.sample([ask(max_tokens=20)])
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert KEY not in shown
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("misdeed", ["drips bytes", "waits for ever"])
def test_the_seconds_of_a_search_count_while_a_server_is_waited_for(serve, connect, misdeed):
    (sent, _) = FAILS[misdeed]
    policy = connect(serve(before=only_when_sampling(sent)), timeout=60)
    started = time.monotonic()
    solution = QStarChain(policy, task="gsm8k").invoke("How many is 2 and 3?", max_seconds=1)
    assert time.monotonic() - started < 6
    assert (solution.stopped, solution.answer) == ("seconds", None)
