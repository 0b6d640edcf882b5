from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_qstar import GreedyChain, QStarChain, SelfConsistencyChain
from langchain_qstar.errors import GrammarError, ModelError, SettingsError
from langchain_qstar.models.chat import ChatModelPolicy
from langchain_qstar.models.steps import text_before
from langchain_qstar.protocols import BLANK_LINES, Policy, Step
from langchain_qstar.stepping.thoughts import thought_end


class Chat(BaseChatModel):
    """Says `replies` in turn; an exception among them is raised."""

    replies: list[Any]
    asked: list[Any]
    options: list[Any]

    @property
    def _llm_type(self):
        return "chat"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.asked.append(messages)
        self.options.append({"stop": stop, **kwargs})
        reply = self.replies[(len(self.asked) - 1) % len(self.replies)]
        if isinstance(reply, Exception):
            raise reply
        message = reply if isinstance(reply, AIMessage) else AIMessage(reply)
        return ChatResult(generations=[ChatGeneration(message=message)])


@pytest.fixture
def chat():
    def make(*replies, **options):
        model = Chat(replies=list(replies), asked=[], options=[])
        return ChatModelPolicy(model, max_concurrency=1, **options), model

    return make


def test_it_is_a_policy_without_ids(chat, ask):
    policy, _ = chat("a step")
    assert isinstance(policy, Policy)
    (completion,) = policy.sample([ask()])[0]
    assert (completion.token_ids, completion.logprobs) == (None, ())
    assert (policy.name, policy.window) == ("Chat", None)


def test_the_prompt_shows_the_problem_and_the_steps_so_far_as_they_are(chat, ask):
    policy, model = chat("a step")
    policy.sample([ask("What {{steps}}?", steps=[Step("first {{problem}}\n")])])
    (message,) = model.asked[0]
    assert "What {{steps}}?" in message.content
    assert "first {{problem}}" in message.content
    assert message.type == "human"


def test_one_line_is_kept_and_its_stop_string_put_back(chat, ask):
    policy, model = chat("\n one", "two\nthree", "four\n")
    texts = [c.text for c in policy.sample([ask(n=3)])[0]]
    assert texts == ["one\n", "two\n", "four\n"]
    assert model.options[0]["stop"] == ["\n"]


def test_a_reply_cut_by_its_limit_has_no_stop_string(chat, ask):
    policy, _ = chat(AIMessage("half", response_metadata={"finish_reason": "length"}))
    (completion,) = policy.sample([ask()])[0]
    assert (completion.text, completion.finish) == ("half", "length")


def test_an_empty_reply_is_an_empty_completion(chat, ask):
    policy, _ = chat("  \n ")
    (completion,) = policy.sample([ask()])[0]
    assert (completion.text, completion.finish) == ("", "eos")


def test_without_stop_strings_the_whole_solution_is_kept(chat, ask):
    policy, _ = chat("one\ntwo")
    (completion,) = policy.sample([ask(stop=())])[0]
    assert (completion.text, completion.finish) == ("one\ntwo", "eos")


def test_a_whole_solution_of_which_nothing_is_written_is_asked_for_as_the_task_asks(chat, ask):
    policy, model = chat("one")
    policy.sample([ask("Why?", stop=())])
    assert [(each.type, each.content) for each in model.asked[0]] == [("human", "Why?")]


def test_the_rest_of_a_solution_is_asked_for_in_words(chat, ask):
    policy, model = chat("two")
    policy.sample([ask("Why?", stop=(), steps=[Step("one\n")])])
    (message,) = model.asked[0]
    assert "Why?" in message.content
    assert "one\n\nContinue from there: write the remaining steps" in message.content


def test_examples_stay_earlier_turns(chat, ask):
    policy, model = chat("two", "2.")
    turns = (("user", "a?"), ("assistant", "A."), ("user", "b?"))
    request = ask("b?", stop=())
    shown = replace(request, state=replace(request.state, messages=turns))
    policy.sample([shown])
    policy.sample([replace(shown, stop=("\n",))])
    whole, step = ([(each.type, each.content) for each in asked] for asked in model.asked)
    assert whole == [("human", "a?"), ("ai", "A."), ("human", "b?")]
    assert step[:2] == whole[:2]
    assert step[2][1].startswith("b?\n\nYou are being asked for a single step.")


def test_a_prefill_begins_the_text_once(chat, ask):
    policy, model = chat("Q: what?", " what?")
    texts = [c.text for c in policy.sample([ask(n=2, prefill="Q:")])[0]]
    assert texts == ["Q: what?\n", "Q: what?\n"]
    assert model.asked[0][0].content.endswith("Begin the line with: Q:")


def test_a_whole_text_may_be_opened_too(chat, ask):
    policy, model = chat("A: 7\nThe answer is 7.")
    (completion,) = policy.sample([ask(stop=(), prefill="A:")])[0]
    assert completion.text == "A: 7\nThe answer is 7."
    assert model.asked[0][0].content.endswith("Begin your reply with: A:")


def test_blank_lines_end_a_whole_text_and_are_not_put_back(chat, ask):
    policy, model = chat("one\ntwo", "one\n\n\n\nProblem: another")
    texts = [c.text for c in policy.sample([ask(n=2, stop=(BLANK_LINES,))])[0]]
    assert texts == ["one\ntwo", "one\n\n\n"]
    assert model.options[0]["stop"] == [BLANK_LINES]


def test_a_text_that_breaks_off_within_a_line_is_continued_there(chat, ask):
    policy, model = chat("fish.")
    policy.sample([ask(stop=(), steps=[Step("Two cats eat ten")])])
    (message,) = model.asked[0]
    assert "Two cats eat ten\n\nContinue it exactly where it breaks off" in message.content


def test_usage_is_what_the_model_reports(chat, ask):
    usage = {
        "input_tokens": 30,
        "output_tokens": 4,
        "total_tokens": 34,
        "input_token_details": {"cache_read": 20},
    }
    policy, _ = chat(AIMessage("x", usage_metadata=usage))
    (completion,) = policy.sample([ask()])[0]
    assert (completion.prompt_tokens, completion.reused_tokens) == (30, 20)
    assert completion.generated == 4


def test_usage_is_estimated_when_nothing_is_reported(chat, ask):
    policy, _ = chat("12345678")
    (completion,) = policy.sample([ask()])[0]
    assert completion.generated == 3
    assert completion.prompt_tokens > 20


def test_a_failed_call_is_a_completion_without_text(chat, ask):
    policy, _ = chat("good", RuntimeError("503"))
    good, bad = policy.sample([ask(n=2)])[0]
    assert (good.text, bad.text, bad.finish) == ("good\n", "", "error")


def test_images_come_before_the_text_of_the_last_message_as_they_are(chat, ask):
    policy, model = chat("two\n")
    request = ask(steps=[Step("one\n")])
    picture = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    policy.sample([replace(request, state=replace(request.state, images=(picture,)))])
    policy.sample([request])
    shown, plain = (messages[-1] for messages in model.asked)
    assert shown.content == [picture, {"type": "text", "text": plain.content}]


@pytest.mark.parametrize(
    ("profile", "takes"),
    [(None, True), ({"image_inputs": True}, True), ({}, True), ({"image_inputs": False}, False)],
)
def test_a_model_takes_images_unless_its_profile_says_otherwise(chat, profile, takes):
    policy, model = chat("x")
    model.profile = profile
    assert policy.takes_images is takes


async def test_when_every_call_fails_the_model_has_failed(chat, ask):
    policy, _ = chat(RuntimeError("503"))
    with pytest.raises(ModelError, match="every call of Chat failed: 503"):
        policy.sample([ask(n=2)])
    with pytest.raises(ModelError, match="every call of Chat failed: 503"):
        await policy.asample([ask(n=2)])


async def test_async_completions_keep_the_order_of_requests(chat, ask):
    policy, _ = chat("1", "2", "3", "4")
    first, second, third = await policy.asample([ask(), ask(stop=()), ask(n=2)])
    # Requests with the same options go out as one batch: the third joins the first.
    assert [c.text for c in (*first, *third, *second)] == ["1\n", "2\n", "3\n", "4"]


def test_settings_are_passed_only_when_asked_for(chat, ask):
    silent, model = chat("x")
    silent.sample([ask(temperature=0.3)])
    assert model.options == [{"stop": ["\n"]}]
    passing, model = chat("x", passes={"temperature", "max_tokens"})
    passing.sample([ask(temperature=0.3, max_tokens=9)])
    assert model.options == [{"stop": ["\n"], "temperature": 0.3, "max_tokens": 9}]
    with pytest.raises(SettingsError, match="seed"):
        chat("x", passes={"seed"})


def test_no_requests_are_no_calls(chat):
    policy, model = chat("x")
    assert policy.sample([]) == []
    assert model.asked == []


class Stubborn(Chat):
    """Takes no stop strings."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if stop is not None:
            raise ValueError("`stop` is not supported")
        return super()._generate(messages, stop, run_manager, **kwargs)


async def test_a_model_that_refuses_stop_strings_is_asked_without_them(ask):
    model = Stubborn(replies=["one\ntwo"], asked=[], options=[])
    policy = ChatModelPolicy(model, max_concurrency=1)
    assert [c.text for c in policy.sample([ask(n=2)])[0]] == ["one\n", "one\n"]
    assert [c.text for c in (await policy.asample([ask()]))[0]] == ["one\n"]
    assert any(line.startswith("stop: refused by the model") for line in policy.shortfalls)


def test_a_model_that_ignores_stop_strings_is_told_of(chat, ask):
    policy, _ = chat("one\n")
    policy.sample([ask()])
    assert not any(line.startswith("stop:") for line in policy.shortfalls)
    policy, _ = chat("one\ntwo and more of it")
    (completion,) = policy.sample([ask()])[0]
    assert any(line.startswith("stop: ignored") for line in policy.shortfalls)
    assert completion.generated == 6  # what was generated, not what is kept


def test_what_no_chat_model_can_is_told_from_the_start(chat):
    policy, _ = chat("x")
    assert [line.partition(":")[0] for line in policy.shortfalls] == ["n", "seed"]


def test_a_call_that_fails_for_another_reason_is_not_about_stop_strings(chat, ask):
    policy, model = chat(RuntimeError("503"))
    with pytest.raises(ModelError):
        policy.sample([ask()])
    assert len(model.asked) == 1


def test_a_refusal_that_is_not_about_stop_strings_is_reported(chat, ask):
    policy, _ = chat(ValueError("bad key"))
    with pytest.raises(ModelError, match="bad key"):
        policy.sample([ask()])


async def test_a_grammar_is_left_out_and_one_that_is_required_is_an_error(chat, ask):
    policy, model = chat("a step")
    assert policy.sample([ask(grammar='root ::= "yes"')])[0][0].text == "a step\n"
    assert "grammar: not enforced by a chat model; left out" in policy.shortfalls
    required = ask(grammar='root ::= "yes"', grammar_required=True)
    asked = len(model.asked)
    with pytest.raises(GrammarError, match="use a local model, or a server that enforces"):
        policy.sample([required])
    with pytest.raises(GrammarError):
        await policy.asample([required])
    assert len(model.asked) == asked


THINKS = (
    "<think>\nLet me guess.\nThe answer is 9.\nNo, 3 * 4 = 12.\n</think>\n\n"
    "Kim has 3 * 4 = 12 pens.\nThe answer is 12.\n"
)
PENS = "Kim has 3 boxes of 4 pens. How many pens?"


class StoppedChat(Chat):
    """Ends its replies at stop strings, as providers do."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        result = super()._generate(messages, stop, run_manager, **kwargs)
        message = result.generations[0].message
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage(text_before(message.text, stop or ())))]
        )


@pytest.fixture
def stopped():
    def make(*replies):
        model = StoppedChat(replies=list(replies), asked=[], options=[])
        return ChatModelPolicy(model, max_concurrency=1), model

    return make


def test_a_step_of_several_lines_is_kept_whole_and_the_cut_is_told(chat, ask):
    policy, model = chat("We multiply:\n\n\\[\n3 * 4\n= 12\n\\]\nSo 12.\n")
    (completion,) = policy.sample([ask(stop=(), ends=thought_end)])[0]
    assert completion.text == "We multiply:\n\n\\[\n3 * 4\n= 12\n\\]\n"
    assert completion.finish == "stop"
    assert model.options[0]["stop"] is None
    assert any(line.startswith("steps: a chat model is not stopped") for line in policy.shortfalls)


def test_a_step_that_the_reply_ends_has_the_end_of_its_line(chat, ask):
    policy, _ = chat("We multiply:\n3 * 4 = 12")
    (completion,) = policy.sample([ask(stop=(), ends=thought_end)])[0]
    assert completion.text == "We multiply:\n3 * 4 = 12\n"
    assert not any(line.startswith("steps:") for line in policy.shortfalls)


def test_a_thought_in_a_reply_is_kept_apart_and_counted(chat, ask):
    policy, _ = chat(THINKS)
    (completion,) = policy.sample([ask(stop=(), ends=thought_end)])[0]
    assert completion.text == "Kim has 3 * 4 = 12 pens.\n"
    assert 0 < completion.thought_tokens < completion.generated
    assert any(line.startswith("thoughts: told in the replies") for line in policy.shortfalls)
    assert not any(line.startswith("stop: ignored") for line in policy.shortfalls)


def test_a_model_that_is_stopped_in_its_thought_is_asked_without_stops_from_then_on(stopped, ask):
    policy, model = stopped(THINKS)
    for _ in range(2):
        (completion,) = policy.sample([ask()])[0]
        assert completion.text == "Kim has 3 * 4 = 12 pens.\n"
    assert [each["stop"] for each in model.options] == [["\n"], None, None]


def test_the_same_without_blocking(stopped, ask):
    policy, _ = stopped(THINKS)
    ((completion,),) = asyncio.run(policy.asample([ask()]))
    assert completion.text == "Kim has 3 * 4 = 12 pens.\n"


def test_a_thought_that_is_not_closed_says_nothing(chat, ask):
    policy, _ = chat("<think>\nThe answer is 9.\n")
    (completion,) = policy.sample([ask(stop=(), ends=thought_end)])[0]
    assert (completion.text, completion.finish) == ("", "length")
    assert GreedyChain(policy, task="gsm8k").invoke(PENS).answer is None


def test_an_empty_thought_is_taken_out(chat, ask):
    policy, _ = chat("<think>\n\n</think>\n\nSo 12 pens.\n")
    (completion,) = policy.sample([ask(stop=(), ends=thought_end)])[0]
    assert (completion.text, completion.thought_tokens) == ("So 12 pens.\n", 0)


@pytest.mark.parametrize("which", ["chat", "stopped"])
def test_every_method_reads_what_is_said_and_not_what_is_thought(request, which):
    policy, _ = request.getfixturevalue(which)(THINKS)
    assert GreedyChain(policy, task="gsm8k").invoke(PENS).answer == "12"
    assert SelfConsistencyChain(policy, task="gsm8k", n=3).invoke(PENS).answer == "12"
    settings = {"num_trajectories": 1, "max_pops": 6}
    searched = QStarChain(policy, q_model=None, task="gsm8k", settings=settings).invoke(PENS)
    assert len(searched.tree) > 1
    assert not [node for node in searched.tree if "think" in node.text or "9" in node.text]


def test_thoughts_of_a_chat_model_cannot_be_searched(chat):
    policy, _ = chat(THINKS)
    with pytest.raises(SettingsError, match="thoughts='searched'"):
        QStarChain(policy, q_model=None, task="gsm8k", settings={"thoughts": "searched"})
