"""rStar: rollouts over five actions, told as they end, and the votes they were rewarded by."""

from __future__ import annotations

from langchain_qstar import RStarChain, RStarSettings

QUESTION = "Tom has 4 bags with 6 apples each. Ann has 5 more apples than Tom. How many has Ann?"


def main() -> None:
    """Search with four rollouts, two of them at a time."""
    chain = RStarChain(settings=RStarSettings(num_rollouts=4, rollouts_in_flight=2))
    for event in chain.stream(QUESTION):
        if isinstance(event, dict) and event["type"] == "backed_up":
            for rollout in event["rollouts"]:
                print(f"rollout {rollout['rollout']}: {rollout['answer']}, {rollout['reward']:.2f}")
    solution = event
    print(solution.text)
    print("answer:", solution.answer, "votes:", [(v.answer, v.count) for v in solution.votes])
    asked = [node for node in solution.tree if node.action == "subquestion"]
    print(f"{len(asked)} sub-questions, such as: {asked[0].text}" if asked else "no sub-question")


if __name__ == "__main__":
    main()
