"""What a search has to beat: greedy decoding, self-consistency, best-of-N.

They draw whole solutions and cost nothing but what they generate. `policy` is
a `Policy`, `task` a `Task`: names are resolved by the callers above.
"""

from __future__ import annotations

from langchain_qstar.baselines.best_of_n import abest_of_n, best_of_n
from langchain_qstar.baselines.greedy import agreedy, greedy
from langchain_qstar.baselines.self_consistency import aself_consistency, self_consistency

__all__ = [
    "abest_of_n",
    "agreedy",
    "aself_consistency",
    "best_of_n",
    "greedy",
    "self_consistency",
]
