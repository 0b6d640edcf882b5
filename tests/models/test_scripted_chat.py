"""The scripted chat model behaves as a provider's does, as far as an agent can see."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langchain_qstar.models.scripted_chat import ScriptedChatModel

HELLO = [HumanMessage("Hi!")]
LATER = [*HELLO, AIMessage("Hello."), HumanMessage("And you?")]


@tool
def look_up(word: str) -> str:
    """Looks a word up."""
    return word


def test_which_turn_it_is_depends_on_the_conversation_alone():
    model = ScriptedChatModel(["one", "two"])
    assert [model.invoke(each).content for each in (LATER, HELLO, LATER)] == ["two", "one", "two"]
    assert model.calls == [LATER, HELLO, LATER]


def test_after_its_last_turn_it_says_nothing():
    assert ScriptedChatModel(["one"]).invoke(LATER).content == ""


def test_asked_again_it_gives_the_next_alternative_and_then_the_first():
    model = ScriptedChatModel([["a", "b"], "c"])
    said = [model.invoke(each).content for each in (HELLO, LATER, HELLO, HELLO)]
    assert said == ["a", "c", "b", "a"]


def test_alternatives_are_dealt_once_each_to_callers_in_threads():
    model = ScriptedChatModel([[str(number) for number in range(32)]])
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: model.invoke(HELLO).content, range(32)))
    assert sorted(map(str, said), key=int) == [str(number) for number in range(32)]


def test_a_function_may_decide():
    model = ScriptedChatModel(lambda messages: [f"{len(messages)}!", f"{len(messages)}?"])
    assert [model.invoke(LATER).content for _ in range(2)] == ["3!", "3?"]


def test_it_calls_tools_and_keeps_what_it_was_given():
    call = {"name": "look_up", "args": {"word": "a"}, "id": "1", "type": "tool_call"}
    model = ScriptedChatModel([AIMessage("", tool_calls=[call])])
    reply = model.bind_tools([look_up], tool_choice="any").invoke(HELLO)
    assert isinstance(reply, AIMessage)
    assert reply.tool_calls == [call]
    assert model.tools[0][0]["function"]["name"] == "look_up"
    (chunk,) = list(model.stream(HELLO))
    assert isinstance(chunk, AIMessageChunk)
    assert chunk.tool_calls == [call]


def test_a_turn_that_is_a_message_is_not_changed_by_saying_it():
    turn = AIMessage("a b")
    model = ScriptedChatModel([turn])
    first, second = model.invoke(HELLO), model.invoke(HELLO)
    assert turn == AIMessage("a b")
    assert first.id != second.id


def test_words_are_tokens():
    usage = ScriptedChatModel(["Hello.", "I am fine."]).invoke(LATER).usage_metadata
    assert usage == {"input_tokens": 4, "output_tokens": 3, "total_tokens": 7}


async def test_it_streams_word_by_word():
    model = ScriptedChatModel(["I am fine."])
    chunks = list(model.stream(HELLO))
    assert [chunk.content for chunk in chunks] == ["I ", "am ", "fine.", ""]
    whole = sum(chunks[1:], chunks[0])
    assert whole.usage_metadata == model.invoke(HELLO).usage_metadata
    assert [chunk.content async for chunk in model.astream(HELLO)] == ["I ", "am ", "fine.", ""]


def test_log_probabilities_are_where_providers_put_them():
    metadata = ScriptedChatModel(["a b"], logprob=-0.5).invoke(HELLO).response_metadata
    tokens = [{"token": "a ", "logprob": -0.5}, {"token": "b", "logprob": -0.5}]
    assert metadata["logprobs"]["content"] == tokens
    assert "logprobs" not in ScriptedChatModel(["a b"]).invoke(HELLO).response_metadata


@pytest.mark.parametrize(("stop", "said"), [(None, "a b c"), (["c", "b"], "a "), (["x"], "a b c")])
def test_stop_texts_end_it(stop, said):
    assert ScriptedChatModel(["a b c"]).invoke(HELLO, stop=stop).content == said


def test_async_gives_the_same():
    model = ScriptedChatModel(["one"])
    assert asyncio.run(model.ainvoke(HELLO)).content == "one"


def test_what_it_says_can_be_stored_in_checkpoints():
    serde = JsonPlusSerializer()
    said = ScriptedChatModel(["one"], logprob=-1.0).invoke(HELLO)
    assert serde.loads_typed(serde.dumps_typed(said)) == said
