"""Use the machine as a part of a larger LangGraph: solve, then write a reply."""

from __future__ import annotations

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

from langchain_qstar import create_qstar_graph, get_task, resolve_policy, resolve_scorer

QUESTION = "A pen costs 3 dollars. Mia buys 6 pens. How many dollars does she pay?"


class Mail(TypedDict, total=False):
    """The state of the outer graph; it shares `question` and `answer` with the search."""

    question: str
    answer: str | None
    reply: str


def reply(state: Mail) -> Mail:
    """Write the reply."""
    answer = state.get("answer")
    return {"reply": f"It is {answer}." if answer else "I could not work it out."}


def build() -> Any:
    """The outer graph, compiled."""
    policy = resolve_policy("nano")
    search = create_qstar_graph(
        policy, resolve_scorer("log-probability", policy), task=get_task("nano")
    )
    outer = StateGraph(Mail)
    outer.add_node("solve", search.compile())
    outer.add_node("reply", reply)
    outer.add_edge(START, "solve")
    outer.add_edge("solve", "reply")
    outer.add_edge("reply", END)
    return outer.compile()


def main() -> None:
    """Answer one mail. The limit counts every superstep, those of the search too."""
    print(build().invoke({"question": QUESTION}, {"recursion_limit": 1000})["reply"])


if __name__ == "__main__":
    main()
