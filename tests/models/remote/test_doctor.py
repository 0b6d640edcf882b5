"""What the doctor says of servers, good and bad."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("httpx", reason="needs the extra remote")

from langchain_qstar.cli import main
from langchain_qstar.doctor.server import Server, look_at
from langchain_qstar.errors import ModelSpecError

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def doctor(capsys, *arguments):
    code = main(["doctor", "--seconds", "0", *arguments])
    return code, capsys.readouterr().out


def test_a_server_that_can_everything(serve):
    server = serve(window=4096, enforces=frozenset({"response_format", "structured_outputs"}))
    found = look_at(server.url)
    assert (found.model, found.models, found.window) == ("m", ("m",), 4096)
    assert found.options == ("logprobs", "seed", "n", "stop")
    assert "JSON schema" in found.grammars
    assert found.way == "an answer that is begun is continued"
    assert (found.shortfalls, found.fault) == ((), "")


def test_what_a_server_lacks_is_told(serve, capsys):
    server = serve(knows=frozenset({"stop"}), continues="never")
    code, said = doctor(capsys, "--policy", server.url)
    assert code == 0
    assert "no log-probabilities" in said
    assert "grammars: none is enforced" in said
    assert "logprobs: not offered by the server" in said
    assert "each step is asked for in words" in said


def test_one_of_several_models_is_asked_by_its_name(serve):
    server = serve(names=["small", "large"])
    assert look_at(server.url).model == "small"
    found = look_at(f"openai:large@{server.url}")
    assert (found.model, found.models) == ("large", ("small", "large"))
    assert "does not serve 'huge'" in look_at(f"openai:huge@{server.url}").fault


def test_a_server_that_does_not_answer_is_of_no_use(serve, capsys):
    server = serve()
    server.stop()
    code, said = doctor(capsys, "--policy", server.url)
    assert code == 2
    assert f"server       {server.url}, of no use" in said
    assert "start the server there, or correct the URL" in said


def test_a_server_that_lists_nothing_must_be_told_the_name(serve):
    server = serve(names=[])
    assert "name one" in look_at(server.url).fault
    assert look_at(f"openai:m@{server.url}").fault == ""


def test_the_key_of_the_environment_is_sent(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    server = serve()
    look_at(server.url)
    assert {asked["authorization"] for asked in server.imitation.asked} == {"Bearer secret"}


def test_as_json_the_server_is_part_of_the_report(serve, capsys):
    server = serve()
    _, said = doctor(capsys, "--policy", server.url, "--json")
    assert json.loads(said)["server"]["model"] == "m"


@pytest.mark.parametrize("spec", ["nano", "http://", "openai:m"])
def test_what_is_no_server_is_refused(spec):
    with pytest.raises(ModelSpecError, match="is no URL"):
        look_at(spec)


def test_nothing_is_known_of_a_server_with_a_fault():
    assert Server("u", fault="gone").options == ()
