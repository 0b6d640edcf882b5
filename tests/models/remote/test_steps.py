"""Steps of several lines, and thoughts that a server tells in its replies."""

from __future__ import annotations

import asyncio

import pytest

from langchain_qstar import GreedyChain, QStarChain, SelfConsistencyChain
from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Step
from langchain_qstar.stepping.thoughts import calculation_end, thought_end

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

QUESTION = "Kim has 3 boxes of 4 pens. How many pens?"
THINKS = (
    "<think>\nLet me guess.\nThe answer is 9.\n\nNo, 3 * 4 = 12.\n</think>\n\n"
    "Kim has 3 * 4 = 12 pens.\nThe answer is 12.\n"
)
STEP = "First the boxes:\n\n\\[\n3 * 4\n\n= 12\n\\]\n"
WAYS = {"chat": {}, "text": {"chat_template": "plain"}, "instruct": {"continues": "never"}}


@pytest.fixture
def serving(serve, connect):
    """A policy on a server that goes on with `text`, and the server's notes."""

    def make(way, text, **behaviour):
        options = dict(WAYS[way])
        continues = options.pop("continues", "told")
        server = serve(says=lambda seed: text, continues=continues, **behaviour)
        imitation = server.imitation

        def rest(body):
            sent = body.get("prompt") or imitation.rendered(body)
            longest = max(range(len(text) + 1), key=lambda n: n if sent.endswith(text[:n]) else 0)
            return text[longest:]

        imitation.held = rest
        return connect(server, **options), imitation

    return make


@pytest.mark.parametrize("way", ["chat", "text"])
def test_a_step_that_blank_lines_interrupt_is_gone_on_with(serving, ask, way):
    policy, imitation = serving(way, STEP + "So 12 pens.\n\nThe answer is 12.\n")
    imitation.asked.clear()
    (completion,) = policy.sample([ask(stop=(), ends=calculation_end, max_tokens=200)])[0]
    assert completion.text == STEP
    assert completion.finish == "stop"
    assert [each["stop"] for each in imitation.asked] == [["\n\n"]] * 3
    assert completion.generated >= len(STEP)


def test_a_model_that_is_asked_by_instruction_has_its_reply_cut(serving, ask):
    policy, imitation = serving("instruct", STEP + "So 12 pens.\n")
    imitation.asked.clear()
    (completion,) = policy.sample([ask(stop=(), ends=calculation_end, max_tokens=200)])[0]
    assert (completion.text, completion.finish) == (STEP, "stop")
    assert "stop" not in imitation.asked[0]
    assert len(imitation.asked) == 1
    assert any(line.startswith("steps: the server is not stopped") for line in policy.shortfalls)


@pytest.mark.parametrize("way", ["chat", "text"])
def test_a_step_that_is_interrupted_for_ever_is_given_up(serving, ask, way):
    policy, imitation = serving(way, "Then:\n\n" * 30)
    imitation.asked.clear()
    (completion,) = policy.sample([ask(stop=(), ends=thought_end, max_tokens=600)])[0]
    assert completion.text == "Then:\n\n" * 5
    assert len(imitation.asked) == 5


@pytest.mark.parametrize("way", ["chat", "text"])
def test_the_rest_of_a_step_has_the_tokens_that_are_left(serving, ask, way):
    policy, _ = serving(way, "Then:\n\n" + "x" * 100)
    (completion,) = policy.sample([ask(stop=(), ends=thought_end, max_tokens=20)])[0]
    assert completion.finish == "length"
    assert completion.generated == 20


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tells_stop", [False, True])
def test_thoughts_in_a_reply_are_kept_apart_and_counted(serving, ask, way, tells_stop):
    policy, imitation = serving(way, THINKS, tells_stop=tells_stop)
    imitation.asked.clear()
    request = ask(stop=(), ends=calculation_end, max_tokens=200)
    (completion,) = policy.sample([request])[0]
    assert (completion.text, completion.finish) == ("Kim has 3 * 4 = 12 pens.\n", "stop")
    # What the first reply cost, which was stopped in its thought, is counted too.
    first = 0 if way == "instruct" else THINKS.index("\n\n") + 2
    assert completion.generated == len(THINKS) + first
    assert first < completion.thought_tokens < completion.generated
    assert any(line.startswith("thoughts: told in the replies") for line in policy.shortfalls)
    assert "stop" not in imitation.asked[-1]
    # By instruction nothing stopped it in its thought, and no second request was needed.
    assert len(imitation.asked) == (1 if way == "instruct" else 2)
    assert not any(line.startswith("stop: ignored") for line in policy.shortfalls)


@pytest.mark.parametrize("way", WAYS)
def test_all_samples_under_way_are_asked_again_when_thoughts_are_found_out(serving, ask, way):
    policy, _ = serving(way, THINKS, knows=frozenset({"stop"}))
    for completion in policy.sample([ask(n=6, max_tokens=200)])[0]:
        assert completion.text == "Kim has 3 * 4 = 12 pens.\n"


def test_lines_of_a_thought_are_no_steps_that_the_server_went_on_after(serving, ask):
    policy, _ = serving("instruct", "<think>\nhm 1.\nhm 2.\n</think>\n\nSo 12.\n")
    policy.sample([ask(stop=(), ends=thought_end, max_tokens=200)])
    assert not any(line.startswith(("steps:", "stop:")) for line in policy.shortfalls)


@pytest.mark.parametrize("way", WAYS)
def test_a_line_after_a_thought_does_not_say_that_stops_are_ignored(serving, ask, way):
    policy, _ = serving(way, THINKS)
    assert policy.sample([ask(max_tokens=200)])[0][0].text == "Kim has 3 * 4 = 12 pens.\n"
    assert not any(line.startswith("stop:") for line in policy.shortfalls)


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_thought_is_taken_out_too(serving, ask, way):
    policy, _ = serving(way, "<think>\n\n</think>\n\nSo 12 pens.\nMore.\n")
    request = ask(stop=(), ends=calculation_end, max_tokens=200)
    (completion,) = policy.sample([request])[0]
    assert completion.text == "So 12 pens.\n"


@pytest.mark.parametrize("way", WAYS)
def test_a_thought_that_is_not_closed_says_nothing(serving, ask, way):
    policy, _ = serving(way, "<think>\nThe answer is 9.\n\n" + "hm\n" * 3000)
    request = ask(stop=(), ends=calculation_end, max_tokens=50)
    (completion,) = policy.sample([request])[0]
    assert (completion.text, completion.finish) == ("", "length")


@pytest.mark.parametrize("way", WAYS)
def test_what_ended_by_itself_after_a_thought_has_ended(serving, ask, way):
    policy, _ = serving(way, "<think>\nhm.\n\nhm\n</think>\n\nSo 12 pens.")
    request = ask(stop=(), ends=calculation_end, max_tokens=50)
    policy.sample([request])
    (completion,) = policy.sample([request])[0]
    # One that is asked for a step by an instruction ends its reply with the step.
    ended = ("So 12 pens.\n", "stop") if way == "instruct" else ("So 12 pens.", "eos")
    assert (completion.text, completion.finish) == ended


@pytest.mark.parametrize("way", WAYS)
def test_every_method_answers_what_is_said_and_not_what_is_thought(serving, way):
    policy, _ = serving(way, THINKS)
    assert GreedyChain(policy, task="gsm8k").invoke(QUESTION).answer == "12"
    votes = SelfConsistencyChain(policy, task="gsm8k", n=3).invoke(QUESTION)
    assert votes.answer == "12"
    settings = {"num_trajectories": 1, "max_pops": 6, "num_samples": 2}
    searched = QStarChain(policy, q_model=None, task="gsm8k", settings=settings).invoke(QUESTION)
    assert not [node for node in searched.tree if "think" in node.text or "9" in node.text]


def test_the_same_without_blocking(serving, ask):
    policy, _ = serving("chat", STEP + "So 12 pens.\n\n")
    request = ask(stop=(), ends=calculation_end, max_tokens=200)
    ((completion,),) = asyncio.run(policy.asample([request]))
    assert completion.text == STEP


def test_thoughts_on_a_server_cannot_be_searched(serving):
    policy, _ = serving("chat", THINKS)
    with pytest.raises(SettingsError, match="thoughts='searched'"):
        QStarChain(policy, q_model=None, task="gsm8k", settings={"thoughts": "searched"})


def test_steps_so_far_are_what_the_server_goes_on_from(serving, ask):
    policy, _ = serving("chat", STEP + "So 12 pens.\n\n")
    request = ask(steps=[Step(STEP)], stop=(), ends=calculation_end, max_tokens=200)
    assert policy.sample([request])[0][0].text == "So 12 pens.\n\n"
