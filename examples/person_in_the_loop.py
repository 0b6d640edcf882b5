"""Ask a person before steps are expanded; here the person is a script.

The search is stored, so the reply may come from another process, a week later.
"""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar import QStarChain, ScriptedPolicy, Solution

QUESTION = "Tom has 4 bags of 6 apples and eats 5 apples. How many are left?"
MODEL = ScriptedPolicy(
    {
        "": ["4+6=10\n"],
        "4+6=10\n": ["10-5=5\n"],
        "4*6=24\n": ["24-5=19\n"],
        "4*6=24\n24-5=19\n": ["The answer is 19.\n"],
    },
    logprob=-0.5,
)


def reply(solution: Solution) -> object:
    """What the person says: bags are multiplied, the rest is fine."""
    assert solution.pending is not None
    for step in solution.pending.steps:
        print(f"before {solution.pending.about}: {step.before!r} then {step.text!r}")
        if step.text == "4+6=10\n":
            return {"edit": {step.id: "4*6=24"}}
    return "approve"


def main() -> None:
    """Ask, reply until nothing is asked any more, and print the answer."""
    chain = QStarChain(
        MODEL,
        "log-probability",
        task="nano",
        settings={"interrupt": ["expand", "answer"], "num_trajectories": 1},
        checkpointer=InMemorySaver(),  # in earnest: open_checkpoints("search.sqlite")
    )
    thread: RunnableConfig = {"configurable": {"thread_id": "apples"}}
    solution = chain.invoke(QUESTION, thread)
    while solution.pending:
        solution = chain.resume("apples", reply(solution))
    print("answer:", solution.answer)


if __name__ == "__main__":
    main()
