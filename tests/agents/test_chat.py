"""A chat model that answers by search, as any place that takes a chat model uses it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel

from langchain_qstar.agents import ChatQStar
from langchain_qstar.chains import GreedyChain, QStarChain
from langchain_qstar.errors import QuestionError, SettingsError, UnguidedWarning
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.models.scripted_chat import ScriptedChatModel
from langchain_qstar.protocols import Task

THREAD: Any = {"configurable": {"thread_id": "t"}}
KINDS = ["selected", "proposed", "scored", "selected", "answered"]
WORDS = Task(
    name="words",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.strip() or None,
    is_terminal=bool,
)


@tool
def look_up(word: str) -> str:
    """Looks a word up."""
    return f"{word} is found"


class Standard:
    """What both standard suites are told of it."""

    @property
    def chat_model_class(self) -> type[ChatQStar]:
        return ChatQStar

    @property
    def chat_model_params(self) -> dict[str, Any]:
        settings = {"num_trajectories": 1}
        chain = QStarChain(
            ScriptedPolicy(lambda text: ["Hello.\n"]), None, task=WORDS, settings=settings
        )
        return {"chain": chain, "model": ScriptedChatModel(["Hello."])}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """Those of the standard ones that mean something here.

        A temperature is a setting of the chain, and there is neither a key nor a
        server to try again. An argument that would be ignored is an error.
        """
        return {"max_tokens": 100, "timeout": 60, "stop": []}


class TestStandardUnit(Standard, ChatModelUnitTests):
    pass


class TestStandardIntegration(Standard, ChatModelIntegrationTests):
    """Tools are called by `model`; the suite's tests of tool calls would test a script."""

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


# --- what it says


async def test_it_says_the_steps_of_the_solution_with_usage_and_facts(chain):
    model = ChatQStar(chain({"": ["a\n"], "a\n": ["b1\n"]}))
    for message in (model.invoke("q"), await model.ainvoke("q")):
        assert message.content == "a\nb1\n"
        assert message.response_metadata["answer"] == "b1"
        assert message.response_metadata["model_name"] == "scripted"
        assert "tree" not in message.response_metadata
        usage = message.usage_metadata
        assert usage is not None
        assert usage["output_tokens"] == message.response_metadata["usage"]["completion_tokens"]


def test_no_answer_is_said_and_no_error(chain):
    message = ChatQStar(chain({"": []})).invoke("q")
    assert str(message.text).startswith("No answer was found: ")
    assert message.response_metadata["answer"] is None


async def test_a_stream_gives_a_step_a_chunk_and_last_what_it_cost(chain):
    model = ChatQStar(chain({"": ["a\n"], "a\n": ["b1\n"]}))
    streamed = list(model.stream("q"))
    assert [chunk.content for chunk in streamed] == ["a\n", "b1\n", ""]
    assert isinstance(streamed[-1], AIMessageChunk)
    assert streamed[-1].chunk_position == "last"
    whole = sum(streamed[1:], streamed[0])
    said = model.invoke("q")
    assert (whole.content, whole.usage_metadata) == (said.content, said.usage_metadata)
    assert [chunk.content async for chunk in model.astream("q")] == ["a\n", "b1\n", ""]


def test_it_answers_the_last_human_message_and_what_tools_have_returned_since(chain, calling):
    conversation = [
        SystemMessage("s"),
        HumanMessage("before"),
        AIMessage("x"),
        HumanMessage("q"),
        calling({"word": "w"}, name="look_up"),
        look_up.invoke({"type": "tool_call", "id": "1", "name": "look_up", "args": {"word": "w"}}),
    ]
    message = ChatQStar(chain()).invoke(conversation)
    assert message.response_metadata["question"] == "q\nlook_up: w is found"
    own = ChatQStar(chain(), question=lambda messages: str(messages[1].text))
    assert own.invoke(conversation).response_metadata["question"] == "before"


def test_it_is_a_part_of_a_pipe(chain):
    prompt = ChatPromptTemplate.from_messages([("system", "s"), ("human", "{it}")])
    pipe = prompt | ChatQStar(chain()) | StrOutputParser()
    assert pipe.invoke({"it": "q"}) == "a1\n"
    assert list(pipe.stream({"it": "q"})) == ["a1\n", ""]


@pytest.mark.parametrize("stop", ["b", "\n"])
def test_it_stops_before_a_stop_text(chain, stop):
    script = {"": ["a\n"], "a\n": ["b1\n"]}
    expected = "a\nb1\n".partition(stop)[0]
    assert ChatQStar(chain(script), stop=[stop]).invoke("q").content == expected
    assert ChatQStar(chain(script)).invoke("q", stop=[stop]).content == expected


def test_budgets_are_those_of_the_search(deep_chain):
    message = ChatQStar(deep_chain, max_tokens=12).invoke("q")
    assert message.response_metadata["stopped"] == "tokens"
    facts = ChatQStar(deep_chain, timeout=0.5).invoke("q").response_metadata
    assert facts["settings"]["max_seconds"] == 0.5


def test_any_chain_will_do(letters):
    greedy = GreedyChain(ScriptedPolicy({"": ["a1\n"]}), task=letters, output="text")
    assert ChatQStar(greedy, max_tokens=50).invoke("q").content == "a1\n"


def test_a_chat_model_alone_is_searched_over():
    with pytest.warns(UnguidedWarning, match="ScriptedChatModel gives none"):
        model: Any = ChatQStar(model=ScriptedChatModel(["2+3=5", "The answer is 5."]))
    assert model.chain.policy.name == "ScriptedChatModel"


@pytest.mark.nano
def test_by_default_the_bundled_model_answers():
    question = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
    assert ChatQStar().chain.policy.name == "nano"
    message = ChatQStar(QStarChain(settings={"max_pops": 8})).invoke(question)
    assert message.response_metadata["answer"] == "12"
    assert "12" in str(message.text)


# --- tools


async def test_tool_calls_of_the_wrapped_model_pass_through(chain, calling):
    model = ScriptedChatModel([calling({"word": "w"}, name="look_up", text="Let me see.")])
    bound = ChatQStar(chain(), model=model).bind_tools([look_up], tool_choice="any")
    said: list[Any] = [bound.invoke("q"), await bound.ainvoke("q"), *bound.stream("q")]
    for message in said:
        assert message.tool_calls[0]["args"] == {"word": "w"}
        assert message.content == "Let me see."
        assert message.usage_metadata["output_tokens"] == 3
    assert model.tools[0][0]["function"]["name"] == "look_up"


async def test_any_other_reply_is_replaced_by_the_search_and_was_paid_for(chain):
    bound = ChatQStar(chain(), model=ScriptedChatModel(["I guess 7."])).bind_tools([look_up])
    said: list[Any] = [bound.invoke("q"), await bound.ainvoke("q")]
    for message in said:
        assert message.content == "a1\n"
        spent = message.response_metadata["usage"]["completion_tokens"]
        assert message.usage_metadata["output_tokens"] == spent + 3


def test_without_tools_the_wrapped_model_is_not_asked(chain):
    model = ScriptedChatModel(["I guess 7."])
    assert ChatQStar(chain(), model=model).invoke("q").content == "a1\n"
    assert model.calls == []


def test_without_a_model_tools_are_an_error(chain):
    with pytest.raises(SettingsError, match="model="):
        ChatQStar(chain()).bind_tools([look_up])


class Verdict(BaseModel):
    """A verdict."""

    word: str


def test_structured_output_is_that_of_the_wrapped_model(chain, calling):
    model = ScriptedChatModel([calling({"word": "yes"}, name="Verdict")])
    structured = ChatQStar(chain(), model=model).with_structured_output(Verdict)
    assert structured.invoke("q") == Verdict(word="yes")


@pytest.mark.parametrize("limit", [None, 25])
async def test_in_an_agent_the_model_calls_tools_and_the_search_answers(deep_chain, calling, limit):
    model = ScriptedChatModel([calling({"word": "w"}, name="look_up"), "I guess 7."])
    agent = create_agent(ChatQStar(deep_chain, model=model), [look_up])
    config: Any = {} if limit is None else {"recursion_limit": limit}
    asked: Any = {"messages": [HumanMessage("q")]}
    for result in (agent.invoke(asked, config), await agent.ainvoke(asked, config)):
        assert result["messages"][2].content == "w is found"
        assert result["messages"][3].response_metadata["answer"] == "x1"


@pytest.mark.parametrize("dies_at", [0, 6])
def test_a_killed_agent_goes_on_inside_the_search(mortal, saver, killed, dies_at):
    whole, _ = mortal(-1)
    search, policy = mortal(dies_at)
    agent = create_agent(ChatQStar(search), [], checkpointer=saver)
    with pytest.raises(killed):
        agent.invoke({"messages": [HumanMessage("q")]}, THREAD, durability="sync")
    result = agent.invoke(None, THREAD, durability="sync")
    assert result["messages"][-1].content == whole.invoke("q").text
    assert len(policy.asked) - len(set(policy.asked)) == 1


# --- the search is told of


async def test_the_search_is_told_by_custom_events_in_every_form_of_call(chain, recording):
    model = ChatQStar(chain())
    config: Any = {"callbacks": [recording]}
    model.invoke("q", config)
    list(model.stream("q", config))
    await model.ainvoke("q", config)
    async for _ in model.astream("q", config):
        pass
    assert [data["type"] for _, data in recording.events] == KINDS * 4
    assert {name for name, _ in recording.events} == {"search"}
    # and each call is one run, which the search is a part of
    assert [run.name for run in recording.runs] == ["ChatQStar"] * 4
    for run in recording.runs:
        assert [child.name for child in run.child_runs] == ["QStarChain"]


async def test_events_of_the_search_and_tokens_of_the_answer_are_in_astream_events(chain):
    model = ChatQStar(chain())
    for runnable in (model, RunnableLambda(model.ainvoke)):
        events: list[Any] = [event async for event in runnable.astream_events("q", version="v2")]
        told = [event["data"] for event in events if event["event"] == "on_custom_event"]
        assert [data["type"] for data in told] == KINDS
        said = [
            event["data"]["chunk"].content
            for event in events
            if event["event"] == "on_chat_model_stream" and event["name"] == "ChatQStar"
        ]
        assert said == ["a1\n", ""]


async def test_in_a_graph_they_are_on_its_streams_too(chain, calling):
    model = ScriptedChatModel([calling({"word": "w"}, name="look_up"), "I guess 7."])
    agent = create_agent(ChatQStar(chain(), model=model), [look_up])
    asked: Any = {"messages": [HumanMessage("q")]}

    def split(items: Any) -> tuple[list[str], list[str]]:
        told = [item["type"] for mode, item in items if mode == "custom"]
        said = [item[0] for mode, item in items if mode == "messages"]
        return told, [each.content for each in said if each.type == "AIMessageChunk"]

    modes: Any = ["custom", "messages"]
    streamed = list(agent.stream(asked, stream_mode=modes))
    assert split(streamed) == (KINDS, ["", "a1\n", ""])
    items = [item async for item in agent.astream(asked, stream_mode=modes)]
    assert split(items) == (KINDS, ["", "a1\n", ""])


def test_the_chunks_of_a_message_have_its_id_in_a_graph(chain):
    agent = create_agent(ChatQStar(chain({"": ["a\n"], "a\n": ["b1\n"]})), [])
    asked: Any = {"messages": [HumanMessage("q")]}
    items: Any = list(agent.stream(asked, stream_mode=["messages", "updates"]))
    chunks = {item[0].id for mode, item in items if mode == "messages"}
    (message,) = items[-1][1]["model"]["messages"]
    assert chunks == {message.id}


def test_a_stream_can_be_left_early(chain):
    stream = ChatQStar(chain({"": ["a\n"], "a\n": ["b1\n"]})).stream("q")
    assert next(stream).content == "a\n"
    stream.close()  # type: ignore[attr-defined]


def test_traces_name_the_provider_and_the_model(chain):
    params = ChatQStar(chain())._get_ls_params()
    assert (params["ls_provider"], params["ls_model_name"]) == ("qstar", "scripted")


def test_a_cache_tells_searches_with_different_settings_apart(chain):
    first, second = ChatQStar(chain()), ChatQStar(chain(settings={"num_trajectories": 2}))
    assert first._get_llm_string() != second._get_llm_string()
    assert first._get_llm_string() == ChatQStar(chain())._get_llm_string()


# --- bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"timeout": -1}, "timeout"),
        ({"model": "nano"}, "model"),
    ],
)
def test_an_argument_that_cannot_be_used_is_one_line(chain, options, says):
    with pytest.raises(SettingsError, match=says) as error:
        ChatQStar(chain(), **options)
    assert "\n" not in str(error.value)


def test_what_is_no_chain_is_a_settings_error():
    with pytest.raises(SettingsError, match="no chain"):
        ChatQStar("nano")  # type: ignore[arg-type]


def test_a_budget_that_the_chain_has_not_is_a_settings_error(letters):
    class Timeless(GreedyChain):
        overrides = ("seed",)

    with pytest.raises(SettingsError, match="max_seconds"):
        ChatQStar(Timeless(ScriptedPolicy({}), task=letters), timeout=3)


@pytest.mark.parametrize(
    "asked",
    [
        [SystemMessage("s")],
        [AIMessage("x")],
        [HumanMessage(" ")],
        [HumanMessage("a\x00")],
        [HumanMessage([{"type": "image", "base64": "AAAA", "mime_type": "image/png"}])],
    ],
)
async def test_what_is_no_question_is_a_question_error(chain, asked):
    with pytest.raises(QuestionError):
        ChatQStar(chain()).invoke(asked)
    with pytest.raises(QuestionError):
        await ChatQStar(chain()).ainvoke(asked)
