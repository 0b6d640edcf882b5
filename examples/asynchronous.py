"""Searches in an event loop: one followed by its events while others run beside it.

They share one engine, so their rows are decoded together. A task that is cancelled stops
its search between two tokens.
"""

from __future__ import annotations

import asyncio

from langchain_qstar import QStarChain, Solution

FOLLOWED = "Ben reads 12 pages a day for 5 days. How many pages does he read?"
OTHERS = [f"Ann has {n} boxes with 4 pens each. How many pens does she have?" for n in (3, 5, 7)]


async def follow(chain: QStarChain) -> None:
    """Print what happens."""
    async for event in chain.astream(FOLLOWED):
        if isinstance(event, Solution):
            print("followed:", event.answer)
        elif event["type"] == "proposed":
            print(f"{len(event['nodes'])} new steps")


async def solve() -> None:
    """Follow one question, and have the others answered meanwhile."""
    chain = QStarChain(settings={"max_pops": 8, "num_samples": 4})
    _, solutions = await asyncio.gather(follow(chain), chain.abatch(OTHERS))
    print("meanwhile:", [solution.answer for solution in solutions])


def main() -> None:
    """Start an event loop; a program that has one awaits `solve` instead."""
    asyncio.run(solve())


if __name__ == "__main__":
    main()
