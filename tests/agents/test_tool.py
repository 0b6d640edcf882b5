"""The search as a tool: what the agent reads, what it costs, and what goes wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_tests.unit_tests import ToolsUnitTests

from langchain_qstar.agents import create_qstar_tool
from langchain_qstar.chains import GreedyChain, QStarChain
from langchain_qstar.errors import ModelError, ModelSpecError, QuestionError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.models.scripted_chat import ScriptedChatModel
from langchain_qstar.solution import Solution

THREAD: Any = {"configurable": {"thread_id": "t"}}
ASKED: Any = {"messages": [HumanMessage("hi")]}


class Context(TypedDict):
    """What an agent may be told with a call."""

    user: str


def called(tool: Any, **arguments: Any) -> Any:
    return tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": arguments})


def tool_messages(result: Any) -> list[ToolMessage]:
    return [message for message in result["messages"] if isinstance(message, ToolMessage)]


class TestStandard(ToolsUnitTests):
    @property
    def tool_constructor(self) -> Any:
        return create_qstar_tool(GreedyChain(ScriptedPolicy({})))

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"question": "What is 2 and 3?"}


# --- what it returns


def test_the_content_is_the_answer_and_the_artifact_the_solution(chain):
    message = called(create_qstar_tool(chain()), question="q")
    assert message.content == "Answer: a1\nVerified: no, nothing could check it\nSteps:\n1. a1"
    assert message.status == "success"
    assert isinstance(message.artifact, Solution)
    assert message.artifact.question == "q"
    assert len(message.artifact.tree) == 2


async def test_async_gives_the_same(chain):
    tool = create_qstar_tool(chain())
    assert await tool.ainvoke({"question": "q"}) == tool.invoke({"question": "q"})


def test_any_chain_will_do_whatever_it_returns(letters):
    greedy = GreedyChain(ScriptedPolicy({"": ["a1\n"]}), task=letters, output="text")
    assert called(create_qstar_tool(greedy), question="q").artifact.method == "greedy"
    assert greedy.invoke("q") == "a1\n"


def test_without_a_chain_it_takes_the_arguments_of_qstar_chain(letters):
    tool: Any = create_qstar_tool(policy=ScriptedPolicy({}, logprob=-0.1), task=letters, seed=5)
    assert isinstance(tool.chain, QStarChain)
    assert (tool.chain.seed, tool.chain.task) == (5, letters)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"chain": "nano"}, SettingsError, "no chain of this package"),
        ({"policy": "nowhere"}, ModelSpecError, "nowhere"),
    ],
)
def test_what_is_no_chain_is_one_line(given, error, says):
    with pytest.raises(error, match=says):
        create_qstar_tool(**given)


def test_a_chain_and_its_arguments_exclude_each_other(chain):
    with pytest.raises(SettingsError, match="seed besides"):
        create_qstar_tool(chain(), seed=3)


def test_its_name_and_description_can_be_chosen(chain):
    tool = create_qstar_tool(chain(), name="prove", description="Proves.")
    assert (tool.name, tool.description) == ("prove", "Proves.")
    assert set(tool.args) == {"question"}


# --- what goes wrong is told to the agent


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, 'question: Field required. Pass {"question": "..."}'),
        ({"question": 7}, "question: Input should be a valid string"),
        ({"question": " "}, "This question cannot be asked: the question is empty"),
        ({"question": "a\x00"}, "position 1"),
        ({"question": "word " * 90}, "shorten it"),
    ],
)
def test_bad_input_is_an_error_message_and_no_crash(chain, calling, arguments, says):
    tool = create_qstar_tool(chain(policy=ScriptedPolicy({"": ["a1\n"]}, window=80)))
    model = ScriptedChatModel([calling(arguments), "Sorry."])
    result = create_agent(model, [tool]).invoke(ASKED)
    (message,) = tool_messages(result)
    assert message.status == "error"
    assert says in str(message.content)
    assert result["messages"][-1].content == "Sorry."


class Failing(ScriptedPolicy):
    def sample(self, requests: Any) -> Any:
        raise ModelError("out of memory")


def test_a_model_that_fails_is_told_to_the_agent(chain):
    message = called(create_qstar_tool(chain(policy=Failing({}))), question="q")
    assert message.status == "error"
    assert "The search failed: out of memory. Ask again, or answer without it." in message.content


def test_errors_are_raised_where_that_is_wanted(chain):
    with pytest.raises(ModelError):
        called(create_qstar_tool(chain(policy=Failing({})), raise_errors=True), question="q")
    with pytest.raises(QuestionError):
        called(create_qstar_tool(chain(), raise_errors=True), question=" ")


def test_a_mistake_of_whoever_made_the_agent_is_raised(chain):
    from langgraph.checkpoint.memory import InMemorySaver

    tool = create_qstar_tool(chain(checkpointer=InMemorySaver()))
    with pytest.raises(SettingsError, match="thread"):
        called(tool, question="q")


# --- inside agents


@pytest.mark.parametrize("limit", [None, 25])
async def test_a_deep_search_meets_no_recursion_limit_in_an_agent(deep_chain, calling, limit):
    config: Any = {} if limit is None else {"recursion_limit": limit}
    agent = create_agent(ScriptedChatModel([calling("q"), "done"]), [create_qstar_tool(deep_chain)])
    for result in (agent.invoke(ASKED, config), await agent.ainvoke(ASKED, config)):
        (message,) = tool_messages(result)
        assert message.artifact.answer == "x1"
        assert len(message.artifact.steps) == 15


def test_calls_of_one_turn_reach_the_model_together(letters, calling):
    together = threading.Barrier(4, timeout=20)

    class Meeting(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            together.wait()
            return super().sample(requests)

    search = QStarChain(
        Meeting({"": ["x1\n"]}), None, task=letters, settings={"num_trajectories": 1}
    )
    model = ScriptedChatModel([calling(*"abcd"), "done"])
    result = create_agent(model, [create_qstar_tool(search)]).invoke(ASKED)
    assert [message.artifact.question for message in tool_messages(result)] == list("abcd")


async def test_calls_of_one_turn_reach_the_model_together_in_an_async_agent(letters, calling):
    together = asyncio.Barrier(16)

    class Meeting(ScriptedPolicy):
        async def asample(self, requests: Any) -> Any:
            await asyncio.wait_for(together.wait(), 20)
            return super().sample(requests)

    search = QStarChain(
        Meeting({"": ["x1\n"]}), None, task=letters, settings={"num_trajectories": 1}
    )
    questions = [f"question {number}" for number in range(16)]
    model = ScriptedChatModel([calling(*questions), "done"])
    result = await create_agent(model, [create_qstar_tool(search)]).ainvoke(ASKED)
    assert [message.artifact.question for message in tool_messages(result)] == questions


@pytest.mark.nano
def test_calls_of_one_turn_share_the_steps_of_the_engine(calling):
    from langchain_qstar.models.resolve import resolve_policy

    policy: Any = resolve_policy("nano")
    settings = {"num_trajectories": 1, "num_samples": 2, "max_pops": 6}
    tool = create_qstar_tool(policy=policy, settings=settings)
    questions = [f"Ann has {n} boxes with 6 pens each. How many pens?" for n in (2, 3, 4)]

    def steps(*turns: AIMessage) -> int:
        before = policy.counters.steps
        create_agent(ScriptedChatModel([*turns, "done"]), [tool]).invoke(ASKED)
        return int(policy.counters.steps - before)

    apart = steps(*(calling(question) for question in questions))
    assert steps(calling(*questions)) < 0.75 * apart


def test_the_search_is_on_the_stream_of_the_agent(chain, calling):
    agent = create_agent(ScriptedChatModel([calling("q"), "done"]), [create_qstar_tool(chain())])
    events: list[Any] = list(agent.stream(ASKED, stream_mode="custom"))
    kinds = ["selected", "proposed", "scored", "selected", "answered"]
    assert [event["type"] for event in events] == kinds
    with_parts: Any = agent.stream(ASKED, stream_mode="custom", subgraphs=True)
    assert [event["type"] for _, event in with_parts] == kinds


async def test_the_search_is_on_the_stream_of_an_async_agent(chain, calling):
    agent = create_agent(ScriptedChatModel([calling("q"), "done"]), [create_qstar_tool(chain())])
    events = [event["type"] async for event in agent.astream(ASKED, stream_mode="custom")]
    assert events == ["selected", "proposed", "scored", "selected", "answered"]


@pytest.mark.parametrize("dies_at", [0, 3, 6])
def test_a_killed_agent_goes_on_inside_the_search(mortal, calling, saver, killed, dies_at):
    whole, _ = mortal(-1)
    search, policy = mortal(dies_at)
    model = ScriptedChatModel([calling("q"), "done"])
    agent = create_agent(model, [create_qstar_tool(search)], checkpointer=saver)
    with pytest.raises(killed):
        agent.invoke(ASKED, THREAD, durability="sync")
    result = agent.invoke(None, THREAD, durability="sync")
    assert result["messages"][-1].content == "done"
    assert tool_messages(result)[0].artifact.tree == whole.invoke("q").tree
    assert len(policy.asked) - len(set(policy.asked)) == 1  # what was in flight
    assert len(model.calls) == 2


def test_of_two_searches_in_a_turn_each_goes_on_where_it_was(mortal, calling, saver, killed):
    whole, _ = mortal(-1)
    search, policy = mortal(5)
    agent = create_agent(
        ScriptedChatModel([calling("q", "q"), "done"]),
        [create_qstar_tool(search)],
        checkpointer=saver,
    )
    with pytest.raises(killed):
        agent.invoke(ASKED, THREAD, durability="sync")
    result = agent.invoke(None, THREAD, durability="sync")
    expected = whole.invoke("q").tree
    # The artifact of the one that was finished comes from the store, as plain data.
    artifacts = [message.artifact for message in tool_messages(result)]
    assert [Solution.model_validate(each).tree for each in artifacts] == [expected] * 2
    # Either search may have been in flight when the process died.
    assert 1 <= len(policy.asked) - 2 * len(set(policy.asked)) <= 2


@pytest.mark.filterwarnings("ignore:This API is in beta")
def test_a_chain_as_a_tool_needs_no_context(deep_chain, calling):
    tool = deep_chain.as_tool(name="solve", description="solves")
    assert tool.invoke({"question": "q"}).answer == "x1"
    agent = create_agent(ScriptedChatModel([calling("q"), "done"]), [tool], context_schema=Context)
    (message,) = tool_messages(agent.invoke(ASKED, {"recursion_limit": 25}))
    assert str(message.content).endswith("-> x1 (complete)")


def test_the_tool_needs_no_context_of_the_agent(chain, calling):
    agent = create_agent(
        ScriptedChatModel([calling("q"), "done"]),
        [create_qstar_tool(chain())],
        context_schema=Context,
    )
    assert tool_messages(agent.invoke(ASKED))[0].artifact.answer == "a1"
    (message,) = tool_messages(agent.invoke(ASKED, context={"user": "Ann"}))
    assert message.artifact.answer == "a1"


def test_the_search_is_a_part_of_the_tools_run(chain, calling, recording):
    agent = create_agent(ScriptedChatModel([calling("q"), "done"]), [create_qstar_tool(chain())])
    agent.invoke(ASKED, {"callbacks": [recording]})
    (root,) = recording.runs
    assert recording.path_to("QStarChain") == [root.name, "tools", "solve", "QStarChain"]
