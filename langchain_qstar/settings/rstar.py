"""What can be set about an rStar search, and its two profiles."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import Field

from langchain_qstar.protocols import Action
from langchain_qstar.settings.checked import SHARED_BUDGETS, Count
from langchain_qstar.settings.verification import VerificationSettings
from langchain_qstar.verification.winning import Selection

RSTAR_BUDGETS: Final = ("num_rollouts", *SHARED_BUDGETS)
"""The settings of an rStar search that may also be given with a call."""

Schedule = Literal["const", "lin", "exp"]
ACTIONS: Final[tuple[Action, ...]] = (
    "propose_step",
    "finish",
    "subquestion",
    "re_answer",
    "rephrase",
)
EVERY_ACTION: Final[tuple[Action, ...]] = (*ACTIONS, "retrieve")
"""The five actions, and the one that is not rStar's, in the order of creation."""


class RStarSettings(VerificationSettings):
    """The settings of an rStar search.

    Defaults are ours, where the paper and the official code agree theirs; see
    `profile` for each of those exactly.

    Raises:
        SettingsError: A name is unknown or a value out of its range.
    """

    # The tree
    actions: tuple[Action, ...] = ACTIONS
    """The actions that may be taken. A subset makes RAP (`subquestion`), AlphaMath
    (`propose_step`, `finish`) and the like. Besides the five there is `retrieve`, which adds
    what the `retriever` finds (`nodes.retrieving`)."""
    passage_tokens: Count = 256
    """Most tokens of the passages of one step; what is over is left out, or cut."""
    num_rollouts: Count = 16
    """Rollouts of the search; the paper has 32."""
    max_depth: Count = 5
    """Depth at which a trajectory ends without an answer, and earns nothing."""
    num_steps: Count = 3
    """Children by one-step thoughts (A1)."""
    num_subquestions: Count = 3
    """Children by sub-questions (A3)."""
    subquestion_after_step: bool = False
    """Whether A3 may follow A1, as in the paper's figure 3; the official code forbids it."""
    end_at_answer: bool = True
    """Whether a one-step thought that states the answer ends the trajectory. Its reward is
    then its share of the votes of the remaining-steps action beside it. The official code
    lets it grow on, and it earns nothing by itself."""
    exploration: float = Field(2.0, ge=0)
    """c of UCT, `Q/N + c·√(ln N(parent) / N)` (section 3.2)."""
    schedule: Schedule = "const"
    """How c falls over the rollouts: not at all, linearly to a tenth, or exponentially to a
    tenth."""
    rollouts_in_flight: Count = 1
    """Rollouts that are expanded together, with unobserved visits counted (WU-UCT). More
    than 1 is not the paper's search."""
    # The votes
    num_votes: Count = 10
    """Samples of which a sub-answer is the majority (A3, A4)."""
    num_last_votes: Count = 32
    """Samples of which a whole solution or the last sub-answer is the majority (A2, A3)."""
    adaptive_votes: bool = True
    """Stop drawing votes once the majority cannot change."""
    prior: Literal["uniform", "q_model"] = "uniform"
    """What random choices among children weigh them by; `q_model` needs one."""
    reward: Literal["self_consistency", "q_model"] = "self_consistency"
    """What a trajectory that ends in an answer earns: the confidence of its vote, or the
    Q-value of its last step (a self-evaluation scorer makes it RAP's)."""
    # Sampling
    temperature: float = Field(0.8, ge=0)
    """Of the samples; 0 is greedy."""
    top_p: float = Field(0.95, gt=0, le=1)
    """Sample from the smallest set of most likely tokens with this total probability."""
    top_k: int = Field(40, ge=0)
    """Sample from the k most likely tokens; 0 is all of them."""
    repetition_penalty: float = Field(1.0, gt=0)
    """Above 1 tokens that were read or drawn already become less probable; the official
    code has 1.1."""
    # Mutual verification
    verify: Literal["during", "after", "never"] = "after"
    """When a second model completes masked candidates: after every rollout, so that the
    search may stop when the outcome is decided; at the end; or not at all. At the end
    candidates that all have one answer are not sent."""
    selection: Selection = "shrunk_survival"
    """Which candidate wins; see `verification.winning`. `reward_confidence` is the paper's,
    `share_survival` the official code's, `majority` the generator's own votes.
    `shrunk_survival`, votes times the odds that completions agree, is the one that loses
    little with a verifier that knows nothing and gains with a strong one
    (`benchmarks/selection.py`). `self_verification` asks the policy itself instead of a
    verifier, and verifies nothing."""
    failed_check: Literal["prune", "keep"] = "keep"
    """Whether a candidate with a failed check can win; `prune` leaves it out of the votes
    and does not send it to the verifier."""
    fallback: bool = True
    """Without any answer, complete the question once, greedily."""

    @classmethod
    def profile(cls, name: Literal["paper", "official"], **changes: Any) -> Self:
        """The settings of the paper, or of the official code, with some values changed.

        Where they differ: docs/papers.md. Neither reads a gold answer.
        """
        return cls(**{**PROFILES[name], **changes})


_COMMON: Final[dict[str, Any]] = {
    "adaptive_votes": False,
    "end_at_answer": False,
    "repetition_penalty": 1.1,
    "verify": "after",
}
PROFILES: Final[dict[str, dict[str, Any]]] = {
    "paper": {
        **_COMMON,
        "num_rollouts": 32,
        "num_steps": 5,
        "num_subquestions": 5,
        "subquestion_after_step": True,
        "mask_unit": "steps",
        "random_mask": (0.2, 0.8),
        "agreement": "strict",
        "selection": "reward_confidence",
    },
    "official": {**_COMMON, "num_rollouts": 15, "selection": "share_survival"},
}
