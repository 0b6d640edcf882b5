"""Many questions at once on one local model: their rows merge, and what they share is read once."""

from __future__ import annotations

from langchain_qstar import QStarChain, TransformersPolicy, resolve_policy


def main() -> None:
    """Solve eight questions together, and look at what that cost."""
    questions = [
        f"Ann has {boxes} boxes with 6 pens each. She gives away 5 pens. How many pens are left?"
        for boxes in range(2, 10)
    ]
    policy = resolve_policy("nano")
    chain = QStarChain(policy, settings={"max_pops": 8, "num_samples": 4})
    for question, solution in zip(questions, chain.batch(questions), strict=True):
        print(question, "->", solution.answer)
    if isinstance(policy, TransformersPolicy):
        done = policy.counters
        print(f"{done.generated} tokens drawn in {done.steps} steps of the model")
        print(f"{done.prefilled} tokens of prompts read, {done.reused} found in the cache")


if __name__ == "__main__":
    main()
