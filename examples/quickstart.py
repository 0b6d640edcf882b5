"""Answer a word problem with the bundled model, and look at the result."""

from __future__ import annotations

from langchain_qstar import QStarChain

QUESTION = (
    "Tom has 4 bags. Each bag has 6 apples. Ann has 5 more apples than Tom. "
    "How many apples does Ann have?"
)


def main() -> None:
    """Solve, then print the steps with their Q-values, the cost and the votes."""
    solution = QStarChain().invoke(QUESTION)
    for step in solution.steps:
        print(f"q={step.q}  {step.text}", end="")
    print("answer:", solution.answer)
    print("stopped:", solution.stopped, "after", solution.usage.completion_tokens, "tokens")
    print("votes:", {vote.answer: vote.count for vote in solution.votes})
    print("nodes in the tree:", len(solution.tree))


if __name__ == "__main__":
    main()
