"""An agent that leaves its arithmetic to a search: it looks facts up, then has steps solved.

The agent's own turns come from a script, so that this runs offline; any chat model that
calls tools takes its place. What it asks of the tool `solve` is solved by Q* over the bundled
model, both questions together, and every step of the solutions is checked.
Needs the extra `agents`.
"""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from langchain_qstar import QStarChain, ScriptedChatModel, Solution, create_qstar_tool

STOCK = {"pens": "3 boxes with 12 pens each", "cups": "4 boxes with 6 cups each"}


@tool
def stock_of(item: str) -> str:
    """Says how much of an item there is in the store."""
    return STOCK[item]


def call(name: str, **arguments: str) -> dict[str, Any]:
    """A tool call."""
    return {"name": name, "args": arguments, "id": "-".join((name, *arguments.values()))}


def agent_turn(messages: list[BaseMessage]) -> AIMessage:
    """What a model would say: look up, have the numbers worked out, answer."""
    returned = [message for message in messages if isinstance(message, ToolMessage)]
    if not returned:
        return AIMessage("", tool_calls=[call("stock_of", item=item) for item in STOCK])
    if returned[-1].name == "stock_of":
        questions = [
            f"Ann has {message.content}. How many {item} does Ann have?"
            for item, message in zip(STOCK, returned, strict=True)
        ]
        return AIMessage("", tool_calls=[call("solve", question=each) for each in questions])
    solved = [message.artifact for message in returned if isinstance(message.artifact, Solution)]
    counts = [
        f"{solution.answer} {item}"
        for item, solution in zip(STOCK, solved, strict=True)
        if solution.verified is not False
    ]
    return AIMessage(f"There are {' and '.join(counts)}.")


def main() -> None:
    """Ask the agent, and look at what its tools told it."""
    chain = QStarChain(settings={"max_pops": 8, "num_samples": 4})
    agent = create_agent(ScriptedChatModel(agent_turn), [stock_of, create_qstar_tool(chain)])
    result = agent.invoke({"messages": [HumanMessage("How many pens and cups are there?")]})
    for message in result["messages"]:
        for called in getattr(message, "tool_calls", []):
            print("calls", called["name"], called["args"])
        print(f"{message.type}: {message.text}")


if __name__ == "__main__":
    main()
