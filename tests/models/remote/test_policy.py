from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_qstar.errors import ModelError, ModelSpecError, QuestionError, SettingsError
from langchain_qstar.models.remote.policy import RemotePolicy
from langchain_qstar.models.resolve import resolve_policy, unload_policies
from langchain_qstar.protocols import FallsShort, Policy, Step

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
CHAT = "/v1/chat/completions"


def failing(*, when):
    """Answers `when(body)` with status 500, but not while abilities are being asked for."""

    def before(path, body):
        return (500, "broken") if body.get("max_tokens") != 1 and when(body) else None

    return before


def test_it_is_a_policy_that_says_what_falls_short(serve, connect):
    policy = connect(serve())
    assert isinstance(policy, Policy)
    assert isinstance(policy, FallsShort)
    assert (policy.name, policy.window, policy.shortfalls) == ("openai:m", None, ())


def test_samples_of_a_server_that_knows_everything(serve, connect, ask):
    server = serve()
    policy = connect(server)
    completions = policy.sample([ask(n=3, first=7, max_tokens=20)])[0]
    assert [each.text for each in completions] == ["step 7\n", "step 8\n", "step 9\n"]
    assert {each.finish for each in completions} == {"stop"}
    assert [len(each.logprobs) for each in completions] == [7, 7, 7]
    assert completions[0].token_ids is None
    assert server.imitation.asked[-1]["n"] == 3  # one request for all


def test_usage_is_what_the_server_counts(serve, connect, ask):
    completions = connect(serve()).sample([ask("Who?", n=2, max_tokens=20)])[0]
    assert [each.generated for each in completions] == [7, 7]
    prompt = len("<user>Who?</><assistant>")
    assert [each.prompt_tokens for each in completions] == [prompt, prompt]
    # The first sample reads the prompt, of which the server had 2 tokens; the second all of it.
    assert [each.reused_tokens for each in completions] == [2, prompt]


def test_a_trajectory_is_the_beginning_of_the_assistants_message(serve, connect, ask):
    server = serve()
    request = ask(steps=[Step("one\n"), Step("two\n")], prefill="Q:", max_tokens=20)
    (completion,) = connect(server).sample([request])[0]
    body = server.imitation.asked[-1]
    assert body["messages"][-1] == {"role": "assistant", "content": "one\ntwo\nQ:"}
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False
    assert completion.text == "Q:step 0\n"


def test_a_server_that_does_not_continue_is_asked_in_words(serve, connect, ask):
    server = serve(continues="never")
    policy = connect(server)
    (completion,) = policy.sample([ask(steps=[Step("one\n")], max_tokens=20)])[0]
    (message,) = server.imitation.asked[-1]["messages"]
    assert "The steps written so far:\none" in message["content"]
    assert completion.text == "step 0\n"
    assert "each step is asked for by instruction" in " ".join(policy.shortfalls)


def test_with_a_template_the_text_is_continued_as_it_is(serve, connect, ask):
    server = serve(continues="never")
    policy = connect(server, chat_template="{{ messages[0].content }}|")
    (completion,) = policy.sample([ask("Who?", steps=[Step("one\n")], max_tokens=20)])[0]
    assert server.imitation.asked[-1]["prompt"] == "Who?|one\n"
    assert (completion.text, len(completion.logprobs)) == ("step 0\n", 7)
    assert policy.shortfalls == ()


def test_a_server_that_gives_one_sample_is_asked_for_each(serve, connect, ask):
    server = serve(knows=frozenset({"seed", "stop", "logprobs"}))
    policy = connect(server)
    texts = [each.text for each in policy.sample([ask(n=3, max_tokens=20)])[0]]
    assert texts == ["step 0\n", "step 1\n", "step 2\n"]
    assert policy.shortfalls == ("n: not known to the server; one request a sample",)


def test_samples_that_are_missing_are_asked_for_again(serve, connect, ask):
    server = serve()
    policy = connect(server)
    server.imitation.knows -= {"n"}  # it has just changed its mind
    texts = [each.text for each in policy.sample([ask(n=3, max_tokens=20)])[0]]
    assert texts == ["step 0\n", "step 1\n", "step 2\n"]
    assert "fewer samples than asked" in policy.shortfalls[0]
    policy.sample([ask(n=3, max_tokens=20)])
    assert "n" not in server.imitation.asked[-1]  # nor is it trusted again


def test_greedy_samples_are_asked_for_singly(serve, connect, ask):
    server = serve()
    connect(server).sample([ask(n=2, max_tokens=20, temperature=0.0)])
    assert "n" not in server.imitation.asked[-1]


def test_a_failed_sample_does_not_lose_the_others(serve, connect, ask):
    server = serve(
        knows=frozenset({"seed", "stop"}), before=failing(when=lambda body: body.get("seed") == 1)
    )
    policy = connect(server)
    good, bad, other = policy.sample([ask(n=3, max_tokens=20)])[0]
    assert (good.text, bad.text, other.text) == ("step 0\n", "", "step 2\n")
    assert bad.finish == "error"
    assert "error: 1 samples failed" in policy.shortfalls[-1]


def test_what_fails_for_a_moment_is_tried_again(serve, connect, ask):
    failures = iter([True, True, False])
    server = serve(before=failing(when=lambda _: next(failures)))
    (completion,) = connect(server).sample([ask(max_tokens=20)])[0]
    assert completion.text == "step 0\n"


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ((500, {"error": {"message": "out of memory"}}), "out of memory; look at the server's own"),
        ((200, "<html>hello</html>"), "no JSON object: '<html>hello</html>'; look at the server"),
        ((200, {"choices": []}), "answers oddly: the reply holds no choices"),
        (
            (401, {"detail": "Invalid API key"}),
            r"\(status 401\): Invalid API key; pass its api_key",
        ),
        ((404, {}), "check the URL and the name of the model"),
    ],
)
async def test_when_every_sample_fails_the_model_has_failed(serve, connect, ask, sent, says):
    server = serve()
    policy = connect(server)
    server.imitation.before = lambda path, body: sent
    with pytest.raises(ModelError, match=says) as caught:
        policy.sample([ask(n=2), ask()])
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=says):
        await policy.asample([ask()])


def test_a_server_that_is_down_is_named(serve):
    server = serve()
    server.stop()
    with pytest.raises(ModelError, match=r"cannot be reached.*; start the server there"):
        RemotePolicy.connect("m", server.url, retries=1, backoff=0.0)


def test_a_server_that_is_slow_is_not_asked_twice(serve, connect, ask):
    served = threading.Event()
    asked = []

    def before(path, body):
        if body.get("max_tokens") != 1:
            asked.append(path)
            served.wait(20)

    server = serve()
    policy = connect(server, timeout=0.2)
    server.imitation.before = before
    with pytest.raises(ModelError, match=r"no answer within 0\.2 s; give it a longer timeout"):
        policy.sample([ask()])
    served.set()
    assert len(asked) == 1


def test_another_model_than_asked_is_named(serve, connect):
    server = serve(names=["other", "third"])
    with pytest.raises(ModelSpecError, match=r"does not serve 'm' but other, third; write openai:"):
        connect(server)


@pytest.mark.parametrize(
    ("told", "another"),
    [(None, False), ("m", False), ("m-2026-11-01", False), ("/models/M", False), ("n", True)],
)
def test_another_model_that_answers_without_being_listed_is_told(
    serve, connect, ask, told, another
):
    policy = connect(serve(names=[], tells_model=told))
    policy.sample([ask(max_tokens=20)])
    lines = ("model: the server answers with 'n' instead",) if another else ()
    assert policy.shortfalls == lines


def test_the_window_is_what_the_server_lists(serve, connect):
    server = serve(window=512)
    assert connect(server).window == 512
    assert connect(server, window=64).window == 64


def test_a_question_that_is_too_long_is_the_callers_and_a_trajectory_is_at_its_end(
    serve, connect, ask
):
    server = serve()
    policy = connect(server)
    message = "This model's maximum context length is 9 tokens"
    server.imitation.before = lambda path, body: (400, {"error": {"message": message}})
    with pytest.raises(QuestionError, match="does not fit the server's window: This model's"):
        policy.sample([ask()])
    (completion,) = policy.sample([ask(steps=[Step("one\n")])])[0]
    assert (completion.text, completion.finish) == ("", "length")


def test_stop_strings_that_are_ignored_cut_the_text_all_the_same(serve, connect, ask):
    policy = connect(serve(knows=frozenset({"n", "seed", "logprobs"})))
    (completion,) = policy.sample([ask(max_tokens=50)])[0]
    assert (completion.text, len(completion.logprobs)) == ("step 0\n", 7)
    assert completion.generated == len("step 0\nmore")
    assert policy.shortfalls == ("stop: ignored by the server; more is generated than kept",)


def test_tokens_are_estimated_when_the_server_does_not_count(serve, connect, ask):
    policy = connect(serve(tells_usage=False, knows=frozenset({"n", "seed", "stop"})))
    (completion,) = policy.sample([ask(max_tokens=50)])[0]
    assert completion.generated == 2
    assert completion.prompt_tokens > 2
    assert "usage: not told by the server; tokens are estimated" in policy.shortfalls


def test_what_a_request_wants_and_the_server_does_not_know_is_told(serve, connect, ask):
    policy = connect(serve(refuses=frozenset({"min_p", "top_k"})))
    policy.sample([ask(max_tokens=20)])
    assert policy.shortfalls == ()
    policy.sample([ask(max_tokens=20, min_p=0.1)])
    assert policy.shortfalls == ("min_p: not known to the server; left out",)


def test_a_key_is_sent_as_bearer_token(serve, connect):
    server = serve()
    connect(server, api_key="secret")
    assert server.imitation.asked[-1]["authorization"] == "Bearer secret"


def test_no_more_requests_at_a_time_than_allowed(serve, connect, ask):
    server = serve()
    policy = connect(server, max_concurrency=3)
    server.imitation.most_at_once = 0
    policy.sample([ask(f"question {number}", max_tokens=20) for number in range(30)])
    assert server.imitation.most_at_once <= 3


def test_a_question_goes_to_the_same_server_every_time(serve, connect, ask):
    servers = serve(), serve()
    policy = connect(*servers)
    for server in servers:
        server.imitation.asked.clear()
    requests = [ask(f"question {number}", max_tokens=20) for number in range(16)]
    policy.sample(requests)
    policy.sample(requests)
    places = [
        sorted(body["messages"][0]["content"] for body in server.imitation.asked)
        for server in servers
    ]
    assert all(places)
    assert not set(places[0]) & set(places[1])
    assert all(place[::2] == place[1::2] for place in places)


def test_when_one_server_dies_the_other_takes_its_questions(serve, connect, ask):
    first, second = serve(), serve()
    policy = connect(first, second)
    requests = [ask(f"question {number}", n=2, max_tokens=20) for number in range(16)]
    before = policy.sample(requests)
    first.stop()
    assert policy.sample(requests) == before
    assert policy.shortfalls == ()


def test_one_server_of_two_that_is_down_from_the_start_is_done_without(serve, connect, ask):
    first, second = serve(), serve()
    first.stop()
    policy = connect(first, second)
    assert len(policy.sample([ask(str(number), max_tokens=20) for number in range(8)])) == 8


def test_threads_and_event_loops_share_one_policy(serve, connect, ask):
    policy = connect(serve())

    def one(number):
        request = ask(first=number, max_tokens=20)
        if number % 2:
            return policy.sample([request])[0][0].text
        return asyncio.run(policy.asample([request]))[0][0].text

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(one, range(24)))
    assert texts == [f"step {number}\n" for number in range(24)]


async def test_cancelling_frees_the_place_of_a_request(serve, connect, ask, until):
    served = threading.Event()
    server = serve()
    policy = connect(server, max_concurrency=1)
    server.imitation.before = lambda path, body: served.wait(20) and None
    task = asyncio.create_task(policy.asample([ask("slow", max_tokens=20)]))
    await asyncio.to_thread(until, lambda: server.imitation.at_once)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    served.set()
    assert (await policy.asample([ask(max_tokens=20)]))[0][0].text == "step 0\n"


async def test_a_closed_policy_says_so_to_those_who_wait_and_those_who_come(
    serve, connect, ask, until
):
    served = threading.Event()
    server = serve()
    policy = connect(server)
    server.imitation.before = lambda path, body: served.wait(20) and None
    task = asyncio.create_task(policy.asample([ask()]))
    await asyncio.to_thread(until, lambda: server.imitation.at_once)
    policy.close()
    with pytest.raises(ModelError, match="was closed"):
        await task
    served.set()
    with pytest.raises(ModelError, match="was closed"):
        policy.sample([ask()])


def test_a_name_at_a_url_is_connected_once_and_shared(serve):
    first, second = serve(names=["org/m@v1"]), serve(names=["org/m@v1"])
    spec = f"openai:org/m@v1@{first.url},{second.url}"
    try:
        policy = resolve_policy(spec)
        assert policy.name == "openai:org/m@v1"
        assert resolve_policy(spec) is policy
    finally:
        unload_policies()
    with pytest.raises(ModelError, match="was closed"):
        policy.sample([])


def test_the_bundled_models_template_is_known_by_its_name(serve, connect, ask):
    server = serve(names=["nano"])
    connect(server, name="nano").sample([ask("Who?", max_tokens=20)])
    assert server.imitation.asked[-1]["prompt"] == "<|user|>\nWho?\n<|assistant|>\n"


def test_no_requests_are_no_calls(serve, connect):
    assert connect(serve()).sample([]) == []


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"urls": "localhost:8000"}, ModelSpecError, "is no URL; write http://HOST:PORT/v1"),
        ({"urls": "http://:x/v1"}, ModelSpecError, "is no URL; write http://HOST:PORT/v1"),
        ({"urls": "http://h:99999/v1"}, ModelSpecError, "is no URL; write http://HOST:PORT/v1"),
        ({"timeout": 0}, SettingsError, "timeout is 0"),
        ({"retries": -1}, SettingsError, "must not be negative"),
        ({"max_concurrency": 0}, SettingsError, "max_concurrency is 0"),
        ({"chat_template": "nowhere"}, ModelSpecError, "chat_template='nowhere'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(options, error, says):
    with pytest.raises(error, match=says):
        RemotePolicy.connect("m", **({"urls": "http://127.0.0.1:1"} | options))
