"""Watch a search: every pop, proposal and score is an event, the solution comes last."""

from __future__ import annotations

from langchain_qstar import QStarChain, Solution

QUESTION = "Ben reads 12 pages a day for 5 days. How many pages does he read?"


def main() -> None:
    """Print one line an event."""
    for event in QStarChain().stream(QUESTION):
        if isinstance(event, Solution):
            print("answer:", event.answer)
        elif event["type"] == "selected":
            for node in event["nodes"]:
                print("popped:", node["text"].strip() or "the question", node["f"])


if __name__ == "__main__":
    main()
