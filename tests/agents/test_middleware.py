"""Search at the turns of an agent: when, with what, and what it leaves to the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from langchain_qstar.agents import QStarMiddleware
from langchain_qstar.chains import QStarChain
from langchain_qstar.errors import ModelError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.models.scripted_chat import ScriptedChatModel
from langchain_qstar.protocols import ScoreRequest, Scores
from langchain_qstar.scoring.log_probability import LogProbabilityScorer

THREAD: Any = {"configurable": {"thread_id": "t"}}
ASKED: Any = {"messages": [HumanMessage("q")]}


PICTURE = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}


@tool
def look_up(word: str) -> str:
    """Looks a word up."""
    return f"{word} is found"


def agent(middleware: Any, turns: Any, tools: Any = (), **options: Any) -> Any:
    model = turns if isinstance(turns, ScriptedChatModel) else ScriptedChatModel(turns)
    return create_agent(model, list(tools), middleware=[middleware], **options)


def last(result: Any) -> AIMessage:
    message = result["messages"][-1]
    assert isinstance(message, AIMessage)
    return message


class Recorded:
    """A scorer of replies by their text; keeps what it was asked."""

    name = "recorded"

    def __init__(self, **values: float) -> None:
        self.values = values
        self.asked: list[ScoreRequest] = []

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        self.asked.extend(requests)
        return [Scores(tuple(self.values[s.text[0]] for s in r.steps)) for r in requests]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        return self.score(requests)


# --- always


async def test_a_turn_without_tools_is_answered_by_the_search_and_the_model_not_asked(chain):
    model = ScriptedChatModel(["I guess 7."])
    made = agent(QStarMiddleware(chain()), model)
    for result in (made.invoke(ASKED), await made.ainvoke(ASKED)):
        message = last(result)
        assert message.content == "a1\n"
        assert message.response_metadata["answer"] == "a1"
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_tokens"] > 0
    assert model.calls == []


async def test_tool_calls_are_passed_on_and_what_tools_returned_is_a_part_of_the_question(
    chain, calling
):
    model = ScriptedChatModel([calling({"word": "w"}, name="look_up"), "I guess 7."])
    made = agent(QStarMiddleware(chain()), model, [look_up])
    for result in (made.invoke(ASKED), await made.ainvoke(ASKED)):
        _, call, returned, answer = result["messages"]
        assert call.tool_calls[0]["name"] == "look_up"
        assert isinstance(returned, ToolMessage)
        assert answer.content == "a1\n"
        assert answer.response_metadata["question"] == "q\nlook_up: w is found"
        # The model's own answer was paid for, too.
        search = answer.response_metadata["usage"]["completion_tokens"]
        assert answer.usage_metadata["output_tokens"] == search + 3


def test_the_question_can_be_made_otherwise(chain):
    middleware = QStarMiddleware(chain(), question=lambda messages: f"{len(messages)} messages")
    assert last(agent(middleware, ["x"]).invoke(ASKED)).response_metadata["question"] == (
        "1 messages"
    )


@pytest.mark.parametrize(
    ("script", "messages", "note"),
    [
        ({}, [HumanMessage("q")], "No answer was found"),
        ({"": ["a1\n"]}, [HumanMessage("w " * 200)], "shorten it"),
        ({"": ["a1\n"]}, [HumanMessage(" ")], None),
        ({"": ["a1\n"]}, [SystemMessage("s")], None),
        ({"": ["a1\n"]}, [HumanMessage([PICTURE])], "reads text only"),
    ],
)
async def test_where_the_search_has_no_answer_the_models_own_stands(chain, script, messages, note):
    middleware = QStarMiddleware(chain(policy=ScriptedPolicy(script, window=150)))
    model = ScriptedChatModel(["I guess 7."])
    made = agent(middleware, model)
    for result in (
        made.invoke({"messages": messages}),
        await made.ainvoke({"messages": messages}),
    ):
        assert last(result).content == "I guess 7."
        told = last(result).response_metadata.get("search", {}).get("no_answer")
        assert told is None if note is None else note in told
    assert [asked[-1].content for asked in model.calls] == [messages[-1].content] * 2


def test_a_model_that_fails_in_the_search_fails_the_agent_which_can_be_resumed(chain):
    class Failing(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            raise ModelError("out of memory")

    with pytest.raises(ModelError):
        agent(QStarMiddleware(chain(policy=Failing({}))), ["x"]).invoke(ASKED)


class Verdict(BaseModel):
    """A verdict."""

    word: str


def test_structured_output_is_the_models(chain, calling):
    turns = [calling({"word": "yes"}, name="Verdict")]
    made = agent(QStarMiddleware(chain()), turns, response_format=ToolStrategy(Verdict))
    assert made.invoke(ASKED)["structured_response"] == Verdict(word="yes")


@pytest.mark.nano
def test_the_bundled_model_answers():
    question = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
    made = agent(QStarMiddleware(QStarChain(settings={"max_pops": 8})), ["I guess 7."])
    message = last(made.invoke({"messages": [HumanMessage(question)]}))
    assert message.response_metadata["model_name"] == "nano"
    assert message.response_metadata["answer"] == "12"


@pytest.mark.nano
def test_by_default_it_is_the_bundled_model_that_answers_unless_there_is_a_scorer():
    chain = QStarMiddleware()._chain
    assert isinstance(chain, QStarChain)
    assert chain.policy.name == "nano"
    assert QStarMiddleware(scorer=Recorded())._chain is None


# --- on request


@pytest.mark.parametrize(
    ("text", "searched"), [("/search q", True), ("q", False), ("is /search a word?", False)]
)
async def test_a_mark_at_the_start_of_the_message_requests_a_search(chain, text, searched):
    middleware = QStarMiddleware(chain(), when="on_request")
    made = agent(middleware, ["I guess 7."])
    asked = {"messages": [HumanMessage(text)]}
    for result in (made.invoke(asked), await made.ainvoke(asked)):
        message = last(result)
        assert message.content == ("a1\n" if searched else "I guess 7.")
        assert message.response_metadata.get("question") == ("q" if searched else None)


def test_a_function_may_say_what_requests_a_search(chain):
    middleware = QStarMiddleware(
        chain(),
        when="on_request",
        requested=lambda request: bool(request.runtime.context["search"]),
    )
    made = agent(middleware, ["I guess 7."], context_schema=dict)
    for wanted, said in ((True, "a1\n"), (False, "I guess 7.")):
        assert last(made.invoke(ASKED, context={"search": wanted})).content == said


# --- unsure


@pytest.mark.parametrize(("logprob", "said"), [(-0.1, "I guess 7."), (-0.5, "a1\n")])
async def test_a_model_that_is_unsure_by_its_log_probabilities_is_searched_for(
    chain, logprob, said
):
    model = ScriptedChatModel(["I guess 7."], logprob=logprob)
    made = agent(QStarMiddleware(chain(), when="unsure", threshold=0.7), model)
    for result in (made.invoke(ASKED), await made.ainvoke(ASKED)):
        assert last(result).content == said
    assert len(model.calls) == 2  # its log-probabilities make more samples needless


@pytest.mark.parametrize(
    ("replies", "threshold", "said"),
    [
        (["x a7", "y a7", "z a8", "z a7"], 0.75, "x a7"),
        (["z a8", "y a7", "x a7", "z a7"], 0.75, "y a7"),
        (["x a7", "y a7", "z a8", "z a8"], 0.75, "a1\n"),
    ],
)
async def test_a_model_without_log_probabilities_is_unsure_when_its_samples_disagree(
    chain, replies, threshold, said
):
    middleware = QStarMiddleware(chain(), when="unsure", samples=4, threshold=threshold)
    for result in (
        agent(middleware, [replies]).invoke(ASKED),
        await agent(middleware, [replies]).ainvoke(ASKED),
    ):
        facts = last(result).response_metadata["search"]
        share = 0.5 if said == "a1\n" else 0.75
        assert (facts["samples"], facts["confidence"]) == (4, share)
        if said == "a1\n":
            assert last(result).content == said
        else:
            assert str(last(result).content).endswith("a7")


def test_samples_agree_when_the_task_says_that_their_answers_do(chain):
    def made(search: Any) -> AIMessage:
        middleware = QStarMiddleware(search, scorer=None, when="unsure", samples=2, threshold=1.0)
        return last(agent(middleware, [["x a7", "y a7"]]).invoke(ASKED))

    assert made(chain()).response_metadata["search"]["confidence"] == 1.0


def test_an_unsure_tool_call_is_the_most_frequent_one(chain, calling):
    calls = [
        calling({"word": "v"}, name="look_up"),
        calling({"word": "w"}, name="look_up", text="differently said"),
        calling({"word": "w"}, name="look_up"),
    ]
    middleware = QStarMiddleware(chain(), when="unsure", samples=3, threshold=0.9)
    result = agent(middleware, [calls, "I guess 7."], [look_up]).invoke(ASKED)
    assert result["messages"][1].tool_calls[0]["args"] == {"word": "w"}
    assert result["messages"][1].usage_metadata["output_tokens"] == 2


def test_an_unsure_turn_with_a_scorer_tops_up_to_its_samples():
    model = ScriptedChatModel([["a", "b", "c", "d"]], logprob=-2.0)
    scorer = Recorded(a=0.1, b=0.2, c=0.9, d=0.3)
    middleware = QStarMiddleware(scorer=scorer, when="unsure")
    message = last(agent(middleware, model).invoke(ASKED))
    assert message.content == "c"
    assert len(model.calls) == 4
    assert message.response_metadata["search"]["confidence"] == pytest.approx(0.1353, abs=1e-4)


# --- the best of several replies


async def test_of_several_replies_the_one_the_scorer_likes_best_goes_on():
    scorer = Recorded(a=0.2, b=0.9, c=0.5)
    for asynchronously in (False, True):
        model = ScriptedChatModel([["a", "b", "b", "c"]])
        made = agent(QStarMiddleware(scorer=scorer), model)
        message = last(await made.ainvoke(ASKED) if asynchronously else made.invoke(ASKED))
        assert message.content == "b"
        facts = message.response_metadata["search"]
        assert facts["samples"] == 4
        assert sorted(facts["values"]) == [0.2, 0.5, 0.9]  # b was scored once
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_tokens"] == 4


def test_tool_calls_are_scored_too(calling):
    def by_word(state: Any, steps: Sequence[str]) -> list[float]:
        return [0.9 if '{"word": "right"}' in step else 0.1 for step in steps]

    replies = [calling({"word": word}, name="look_up") for word in ("wrong", "right")]
    middleware = QStarMiddleware(scorer=by_word, samples=3)
    result = agent(middleware, [["I know it.", *replies], "done"], [look_up]).invoke(ASKED)
    assert result["messages"][1].tool_calls[0]["args"] == {"word": "right"}
    assert result["messages"][2].content == "right is found"


def test_the_scorer_sees_the_conversation(calling):
    scorer = Recorded(l=0.5, d=0.5)
    turns = [calling({"word": "w"}, name="look_up"), "done"]
    made = agent(QStarMiddleware(scorer=scorer, samples=2), turns, [look_up], system_prompt="s")
    made.invoke(ASKED)
    first, second = (request.state for request in scorer.asked)
    assert first.question == "q"
    assert first.messages == (("system", "s"), ("user", "q"))
    call = 'look_up({"word": "w"})'
    assert second.messages[2:] == (("assistant", call), ("tool", "w is found"))
    assert [step.text for step in scorer.asked[0].steps] == [call]


def test_a_scorer_of_log_probabilities_takes_the_likelier_reply():
    def with_logprob(text: str, logprob: float) -> AIMessage:
        content = [{"token": text, "logprob": logprob}]
        return AIMessage(text, response_metadata={"logprobs": {"content": content}})

    turns = [[with_logprob("unlikely", -2.0), with_logprob("likely", -0.2)]]
    middleware = QStarMiddleware(scorer=LogProbabilityScorer(), samples=2)
    assert last(agent(middleware, turns).invoke(ASKED)).content == "likely"


def test_with_scorer_and_chain_the_best_reply_is_replaced_where_it_answers(chain, calling):
    scorer = Recorded(a=0.1, l=0.9, x=0.5, y=0.6)
    call = calling({"word": "w"}, name="look_up")
    middleware = QStarMiddleware(chain(), scorer=scorer, samples=2)
    result = agent(middleware, [["a", call], ["x", "y"]], [look_up]).invoke(ASKED)
    assert result["messages"][1].tool_calls
    assert last(result).content == "a1\n"
    assert last(result).response_metadata["search"]["samples"] == 2


async def test_replies_that_may_be_replaced_are_not_streamed(chain):
    made = agent(QStarMiddleware(scorer=Recorded(a=0.1, b=0.9), samples=2), [["a", "b"]])
    said = [message.content for message, _ in made.stream(ASKED, stream_mode="messages")]
    assert said == ["b"]
    model = ScriptedChatModel(["I guess 7."], logprob=-2.0)
    made = agent(QStarMiddleware(chain(), when="unsure"), model)
    said = [m.content async for m, _ in made.astream(ASKED, stream_mode="messages")]
    assert said == ["a1\n"]


def test_replies_that_are_not_searched_are_streamed_word_by_word(chain):
    made = agent(QStarMiddleware(chain(), when="on_request"), ["I guess 7."])
    said = [message.content for message, _ in made.stream(ASKED, stream_mode="messages")]
    assert said[:3] == ["I ", "guess ", "7."]


# --- with the agent


@pytest.mark.parametrize("limit", [None, 25])
async def test_a_deep_search_meets_no_recursion_limit(deep_chain, limit):
    config: Any = {} if limit is None else {"recursion_limit": limit}
    made = agent(QStarMiddleware(deep_chain), ["x"])
    for result in (made.invoke(ASKED, config), await made.ainvoke(ASKED, config)):
        assert last(result).response_metadata["answer"] == "x1"


def test_the_search_is_on_the_stream_of_the_agent(chain):
    made = agent(QStarMiddleware(chain()), ["x"])
    events = [event["type"] for event in made.stream(ASKED, stream_mode="custom")]
    assert events == ["selected", "proposed", "scored", "selected", "answered"]


@pytest.mark.parametrize("dies_at", [0, 3, 6])
def test_a_killed_agent_goes_on_inside_the_search(mortal, saver, killed, dies_at):
    whole, _ = mortal(-1)
    search, policy = mortal(dies_at)
    made = agent(QStarMiddleware(search), ["x"], checkpointer=saver)
    with pytest.raises(killed):
        made.invoke(ASKED, THREAD, durability="sync")
    result = made.invoke(None, THREAD, durability="sync")
    assert last(result).content == whole.invoke("q").text
    assert len(policy.asked) - len(set(policy.asked)) == 1  # what was in flight


async def test_a_killed_async_agent_goes_on_inside_the_search(mortal, saver):
    search, policy = mortal(-1)
    failures = iter([ModelError("out of memory")])

    async def asample(requests: Any) -> Any:
        result = policy.sample(requests)
        if len(policy.calls) == 3 and (error := next(failures, None)):
            raise error
        return result

    policy.asample = asample
    made = agent(QStarMiddleware(search), ["x"], checkpointer=InMemorySaver())
    with pytest.raises(ModelError):
        await made.ainvoke(ASKED, THREAD, durability="sync")
    await made.ainvoke(None, THREAD, durability="sync")
    assert len(policy.asked) - len(set(policy.asked)) == 1


def test_other_middleware_is_passed_through(chain):
    class Named(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(system_message=SystemMessage("be brief")))

    scorer = Recorded(a=0.1)
    model = ScriptedChatModel(["a"])
    made = create_agent(model, [], middleware=[Named(), QStarMiddleware(scorer=scorer, samples=2)])
    made.invoke(ASKED)
    assert model.calls[0][0] == SystemMessage("be brief")
    assert scorer.asked[0].state.messages[0] == ("system", "be brief")


def test_it_needs_no_runtime(chain):
    request: Any = ModelRequest(model=ScriptedChatModel(["x"]), messages=[HumanMessage("q")])
    response = QStarMiddleware(chain()).wrap_model_call(request, lambda _: ModelResponse([]))
    assert response.result[0].content == "a1\n"


# --- bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"when": "sometimes"}, "choose always, on_request, unsure"),
        ({"samples": 1}, "at least 2"),
        ({"samples": "x"}, "at least 2"),
        ({"threshold": 1.5}, "not in"),
        ({"threshold": None}, "not in"),
        ({"chain": "nano"}, "no chain"),
        ({"scorer": 0.5}, "StepScorer"),
    ],
)
def test_an_argument_that_cannot_be_used_is_one_line(options, says):
    with pytest.raises(SettingsError, match=says) as error:
        QStarMiddleware(**options)
    assert "\n" not in str(error.value)


def test_a_scorer_that_gives_no_numbers_is_a_model_error():
    with pytest.raises(ModelError, match="list of numbers"):
        agent(QStarMiddleware(scorer=lambda state, steps: None), ["a"]).invoke(ASKED)  # type: ignore[arg-type,return-value]
