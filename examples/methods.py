"""The same question by every method; each returns a `Solution`, so they compare in one line."""

from __future__ import annotations

from langchain_qstar import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    SelfConsistencyChain,
)

QUESTION = "Tom has 4 bags with 6 apples each. Ann has 5 more apples than Tom. How many has Ann?"


def main() -> None:
    """Ask six times; the seed makes each of them repeatable."""
    chains = {
        "greedy": GreedyChain(),
        "self-consistency": SelfConsistencyChain(n=8),
        "checked self-consistency": SelfConsistencyChain(n=8, checked=True),
        "best-of-n": BestOfNChain(n=8),
        "Q*": QStarChain(settings={"num_samples": 4, "max_pops": 16}),
        "rStar": RStarChain(settings={"num_rollouts": 2, "num_last_votes": 8}),
    }
    for name, chain in chains.items():
        solution = chain.invoke(QUESTION, seed=3)
        tokens = solution.usage.completion_tokens
        print(f"{name}: {solution.answer} for {tokens} tokens, {solution.stopped}")


if __name__ == "__main__":
    main()
