"""Keys and passwords reach the server and no message."""

from __future__ import annotations

import base64
import logging
import traceback

import pytest

from langchain_qstar.errors import ModelError, ModelSpecError, SettingsError
from langchain_qstar.models.remote.addresses import base_of
from langchain_qstar.models.remote.credentials import apart, bearing, hiding, secrets
from langchain_qstar.models.remote.policy import RemotePolicy

SECRET = "sk-SECRET-123"  # noqa: S105


@pytest.mark.parametrize("key", [SECRET, f"{SECRET}\n", f"\t {SECRET}\r\n"])
def test_white_space_around_a_key_is_no_part_of_it(key):
    assert bearing(key) == {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize("key", [None, "", " \n"])
def test_an_empty_key_is_none(key):
    assert bearing(key) == {}


@pytest.mark.parametrize(
    "key", ["sk-SECRET\r\nX-Evil: 1", "sk-SECRET-\u2019", "sk-SECRET\x07", "sk SECRET"]
)
def test_a_key_that_no_header_holds_is_refused_and_not_shown(key):
    with pytest.raises(SettingsError, match="copy it again") as raised:
        RemotePolicy.connect("m", "http://127.0.0.1:9/v1", api_key=key)
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))


def test_an_account_in_an_address_stands_apart():
    assert apart("http://me:p%40ss@host:8000/v1") == ("http://host:8000/v1", ("me", "p@ss"))
    assert apart("http://me@host/v1") == ("http://host/v1", ("me", ""))
    assert apart("http://host/v1") == ("http://host/v1", None)


def test_secrets_are_hidden_longest_first_and_short_ones_are_not_looked_for():
    known = secrets(" key-key ", [("me", "key-key-2"), None, ("you", "abc")])
    assert known == ("key-key-2", "key-key")
    assert hiding("key-key-2 and key-key and abc", known) == "*** and *** and abc"


@pytest.mark.parametrize(
    "url",
    [
        "http://me:SECRET@",
        "http://me:SECRET@host:8000/v1?x=1",
        "http://host/v1?key=SECRET",
        "http://host/v1#SECRET",
        "me:SECRET@host",
        "http://me:SECRET@host:99999/v1",
    ],
)
def test_an_address_that_is_none_is_told_without_its_secrets(url):
    with pytest.raises(ModelSpecError) as raised:
        base_of(url)
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_an_account_is_shown_to_the_server_and_in_no_message(serve, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve(before=lambda path, body: (403, "no") if body.get("max_tokens") else None)
    url = server.url.replace("//", "//me:SECRET@")
    with pytest.raises(ModelError, match="refuses") as raised:
        RemotePolicy.connect("m", url, retries=0)
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "SECRET" not in shown
    told = server.imitation.asked[-1]["authorization"]
    assert base64.b64decode(told.removeprefix("Basic ")) == b"me:SECRET"


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_key_with_a_line_end_works(serve):
    server = serve()
    RemotePolicy.connect("m", server.url, api_key=f"{SECRET}\n").close()
    assert server.imitation.asked[-1]["authorization"] == f"Bearer {SECRET}"
