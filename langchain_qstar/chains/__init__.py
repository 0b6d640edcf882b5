"""The methods as LangChain Runnables: a question in, a `Solution` out.

`QStarChain` and `RStarChain` run the machines of `qstar.py` and `rstar.py`;
`GreedyChain`, `SelfConsistencyChain` and `BestOfNChain` run the baselines, with
the same inputs and outputs. Each is one run in a trace, with everything it does
below it.

What they accept: a string; a dict with `question`, and with a seed and budgets
if wanted; a message, a list of messages, a dict with `messages` or a prompt
value, of which the last human message is the question.
"""

from __future__ import annotations

from langchain_qstar.chains.baselines import (
    BestOfNChain,
    GreedyChain,
    SelfConsistencyChain,
)
from langchain_qstar.chains.qstar import QStarChain
from langchain_qstar.chains.rstar import RStarChain
from langchain_qstar.chains.solver import SolverChain

__all__ = [
    "BestOfNChain",
    "GreedyChain",
    "QStarChain",
    "RStarChain",
    "SelfConsistencyChain",
    "SolverChain",
]
