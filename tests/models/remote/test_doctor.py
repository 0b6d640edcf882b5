"""`qstar doctor --policy`: what it tells of servers that can much, little, or nothing."""

from __future__ import annotations

import json
import re
import time

import pytest

from langchain_qstar.cli import main
from langchain_qstar.doctor.server import examine_server, server_lines
from langchain_qstar.errors import InputError

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
KNOWS = frozenset({"n", "seed", "stop", "logprobs"})


def abilities_of(server):
    report = examine_server(f"openai:m@{server.url}")
    return {each.name: each.there for each in report.abilities}


def line_of(server, name):
    found = [each for each in server_lines(examine_server(server.url)) if each.startswith(name)]
    return found[0].removeprefix(name).strip()


def test_a_server_that_can_everything_is_told_line_by_line(serve, capsys):
    server = serve(enforces=frozenset({"response_format", "grammar"}), window=4096)
    assert main(["doctor", "--policy", f"openai:m@{server.url}"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.partition("  ")[0] for line in out.splitlines()] == [
        "server",
        "model",
        "first completion",
        "window",
        "continuing",
        "log-probabilities",
        "seeds",
        "samples differ",
        "n",
        "stop strings",
        "grammars",
    ]
    assert "4096 tokens" in out
    assert out.count(" yes: ") == 7
    assert "JSON schema, GBNF; tools and structured answers are held to their schemas" in out


@pytest.mark.parametrize(
    ("lacks", "name", "says"),
    [
        ("logprobs", "log-probabilities", "no: steps are ranked by agreement"),
        ("n", "n ", "no: each sample is a request of its own, which reads the prompt again"),
        ("stop", "stop strings", "no: the server writes on after a step, and what it writes"),
    ],
)
def test_what_a_server_lacks_is_told_with_what_it_means(serve, lacks, name, says):
    assert line_of(serve(knows=KNOWS - {lacks}), name).startswith(says)


@pytest.mark.parametrize("lacks", ["n", "seed", "stop", "logprobs"])
def test_what_a_server_refuses_it_lacks(serve, lacks):
    names = {"n": "n", "seed": "seeds", "stop": "stop strings", "logprobs": "log-probabilities"}
    found = abilities_of(serve(refuses=frozenset({lacks})))
    assert {name for name, there in found.items() if not there} >= {names[lacks], "grammars"}


def test_a_server_that_draws_anew_for_the_same_seed_has_no_seeds(serve):
    drawn = iter(range(10_000))
    found = abilities_of(serve(says=lambda seed: f"text {next(drawn)}"))
    assert (found["seeds"], found["samples differ"]) == (False, True)


def test_a_server_that_repeats_itself_is_told_of(serve):
    server = serve(says=lambda seed: "the same story")
    found = abilities_of(server)
    assert (found["seeds"], found["samples differ"]) == (None, False)
    assert line_of(server, "seeds") == "unknown: every sample is the same, whatever its seed"


def test_a_server_without_grammars_says_what_that_means(serve):
    assert line_of(serve(), "grammars").startswith("no: searches need none")


def test_one_that_is_asked_by_instruction_is_told_of(serve):
    assert line_of(serve(continues="never"), "continuing").startswith("no: each step is asked for")


def test_a_bare_url_means_the_model_that_is_listed_first(serve):
    server = serve(names=["m", "other"])
    report = examine_server(server.url.removesuffix("/v1"))
    assert (report.model, report.url, report.others) == ("m", server.url, 1)
    assert any("the first of 2 models there" in line for line in server_lines(report))
    assert {body["model"] for body in server.imitation.asked} == {"m"}


def test_a_bare_url_that_lists_nothing_asks_for_a_name(serve):
    with pytest.raises(InputError, match="lists no models; write openai:NAME@http"):
        examine_server(serve(names=[]).url)


def test_what_else_a_server_does_not_tell_stands_at_the_end(serve):
    report = examine_server(serve(tells_usage=False).url)
    assert [each.partition(":")[0] for each in report.shortfalls] == ["usage"]
    assert list(server_lines(report))[-1].startswith("also               usage: not told")


def test_as_json_it_is_one_object(serve, capsys):
    assert main(["doctor", "--json", "--policy", serve().url]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "m"
    assert found["completion"] >= 0
    assert found["abilities"][1] == {
        "name": "log-probabilities",
        "there": True,
        "means": "steps are ranked by how probable they are to the model",
    }


def failing(status, data):
    return lambda path, body: (status, data)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (failing(401, {"error": "who are you?"}), r"who are you\?; pass its api_key"),
        (failing(404, "<html>nothing here"), r"status 404.*check the URL and the name"),
        (failing(503, {"error": "loading"}), r"busy or broken \(status 503\): loading"),
        (failing(200, "<html>welcome"), "no JSON object"),
        (lambda path, body: time.sleep(0.5), "gives no answer within 0.2 s"),
    ],
)
@pytest.mark.parametrize("bare", [True, False])
def test_a_server_that_does_not_answer_is_one_line_and_code_2(serve, capsys, before, says, bare):
    server = serve(before=before)
    spec = server.url if bare else f"openai:m@{server.url}"
    assert main(["doctor", "--policy", spec, "--timeout", "0.2"]) == 2
    one_line(capsys, says)


def test_a_refused_connection_is_one_line_and_code_2(serve, capsys):
    server = serve()
    server.stop()
    assert main(["doctor", "--policy", f"openai:m@{server.url}"]) == 2
    one_line(capsys, "cannot be reached.*start the server there, or correct the URL")


def test_a_wrong_model_is_one_line_that_names_the_right_one(serve, capsys):
    assert main(["doctor", "--policy", f"openai:gpt@{serve().url}"]) == 2
    one_line(capsys, "does not serve 'gpt' but m; write openai:m@http")


@pytest.mark.parametrize("spec", ["nano", "gguf:FILE", "openai:m", "http://", "openai:@http://h"])
def test_what_is_no_server_is_one_line_and_code_2(capsys, spec):
    assert main(["doctor", "--policy", spec]) == 2
    one_line(capsys, "write http://HOST:PORT/v1")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
def test_a_timeout_that_is_none_is_bad_usage(capsys, seconds):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--policy", "http://127.0.0.1:1", "--timeout", seconds])
    assert ended.value.code == 2


def test_secrets_become_no_part_of_what_is_told(serve, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    refused = serve(before=failing(401, {"error": "incorrect key: sk-secret"}))
    for server, code in ((refused, 2), (serve(), 0), (serve(names=["x"]), 2)):
        url = server.url.replace("://", "://me:hidden@")
        assert main(["doctor", "--policy", f"openai:m@{url}"]) == code
        told = "".join(capsys.readouterr())
        assert "sk-secret" not in told
        assert "hidden" not in told
    assert all(body["authorization"] for body in server.imitation.asked)


def one_line(capsys, says):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("qstar: ")
    assert err.count("\n") == 1
    assert re.search(says, err)
