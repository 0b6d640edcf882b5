from __future__ import annotations

import pytest

from langchain_qstar.errors import ModelError

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
TEXT = "/v1/completions"
MARKS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}<assistant>"


@pytest.mark.parametrize(
    ("continues", "way"), [("told", "continue"), ("always", "continue"), ("never", "instruct")]
)
def test_whether_it_continues_is_told_by_what_it_reads(serve, connect, continues, way):
    assert connect(serve(continues=continues)).abilities.way == way


def test_a_template_that_trims_line_breaks_cannot_continue_steps(serve, connect):
    assert connect(serve(keeps_lines=False)).abilities.way == "instruct"


def test_a_server_that_does_not_count_is_not_trusted_to_continue(serve, connect):
    assert connect(serve(tells_usage=False)).abilities.way == "instruct"


def test_flags_that_are_refused_leave_the_instruction(serve, connect):
    refuses = frozenset({"continue_final_message"})
    assert connect(serve(refuses=refuses)).abilities.way == "instruct"


def test_a_template_is_used_where_there_are_raw_completions(serve, connect):
    abilities = connect(serve(continues="never"), chat_template=MARKS).abilities
    assert (abilities.way, abilities.path) == ("text", "/completions")


def test_a_template_is_left_where_there_are_none(serve, connect):
    server = serve(before=lambda path, body: (404, {}) if path == TEXT else None)
    policy = connect(server, chat_template=MARKS)
    assert policy.abilities.way == "continue"
    assert "no raw completions" in policy.shortfalls[0]


def test_what_is_refused_is_found_one_by_one(serve, connect):
    policy = connect(serve(refuses=frozenset({"n", "min_p", "repeat_penalty"})))
    assert policy.abilities.options == {"seed", "stop", "logprobs", "top_k"}
    assert policy.shortfalls == ("n: not known to the server; one request a sample",)


def test_the_word_for_every_token_is_found(serve, connect):
    def before(path, body):
        return (400, {"message": "top_k must be -1"}) if body.get("top_k") == 0 else None

    policy = connect(serve(before=before))
    assert policy.abilities.every == -1
    assert "top_k" in policy.abilities.options


def test_what_is_ignored_is_found(serve, connect):
    policy = connect(serve(knows=frozenset({"seed", "stop"})))
    assert policy.abilities.options.isdisjoint({"n", "logprobs"})
    assert [each.partition(":")[0] for each in policy.shortfalls] == ["n", "logprobs"]


def test_log_probabilities_that_are_not_wanted_are_not_missed(serve, connect):
    policy = connect(serve(knows=frozenset({"n", "seed", "stop"})), logprobs=False)
    assert policy.shortfalls == ()


def test_a_server_that_refuses_the_plainest_request_is_named(serve, connect):
    server = serve(before=lambda path, body: (400, {"error": "no chat template"}) if body else None)
    with pytest.raises(ModelError, match="no chat template; check the URL and the name"):
        connect(server)


def test_asking_costs_a_few_tokens(serve, connect):
    server = serve()
    connect(server)
    assert len(server.imitation.asked) <= 6
    assert all(body["max_tokens"] == 1 for body in server.imitation.asked)


@pytest.mark.parametrize(("template", "chats"), [(None, True), (MARKS, True), ("plain", False)])
def test_a_model_answers_chats_unless_its_prompts_are_plain_text(serve, connect, template, chats):
    assert connect(serve(), chat_template=template).chats is chats
