"""What can be set about a Q* search."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import AliasChoices, Field, field_validator

from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Action
from langchain_qstar.settings.checked import SHARED_BUDGETS, Count
from langchain_qstar.settings.verification import VerificationSettings
from langchain_qstar.values import Aggregator

BUDGETS: Final = ("max_pops", *SHARED_BUDGETS)
"""The settings of a Q* search that may also be given with a call."""

DataSet = Literal["gsm8k", "math", "mbpp"]

SOLUTION_TOKENS: Final = 250
"""What a solution of a word problem takes about, by a small instruct model."""

_AGGREGATORS: Final[dict[str, Aggregator]] = {"gsm8k": "min", "math": "constant", "mbpp": "last"}


class QStarSettings(VerificationSettings):
    """The settings of a Q* search. Defaults are the paper's where it gives any.

    Budgets are bounds (`settings.checked`): a search that has spent one ends, with what it
    has. What a budget cut short is in the tree, closed, and the reason says which.

    Raises:
        SettingsError: A name is unknown or a value out of its range.
    """

    num_samples: Count = 6
    """K, samples drawn at each expanded state (in `lookahead` at each inserted one)."""
    actions: tuple[Action, ...] = ("propose_step",)
    """The actions by which an expansion samples; the paper's is the first alone. The K
    samples are dealt to those that may follow, in turn: with two, K = 6 is three each.
    `rephrase` follows the root only; a sub-question and its answer are one step and two
    completions. A state is a concatenation, so there is no `re_answer`, which replaces
    text, and the actions are those that the task has prefills for (`InlineForms`).
    `retrieve` takes no sample: it adds one step with what the `retriever` finds
    (`nodes.retrieving`)."""
    num_retrievals: Count = 2
    """Most steps by `retrieve` on one path; never two in a row."""
    passage_tokens: Count = 256
    """Most tokens of the passages of one step; what is over is left out, or cut."""
    root_samples: Count | None = None
    """Samples drawn at the root; None is K. More there spread the search over first
    steps, whose mistakes no later step mends. (Not in the paper.)"""
    count_repeats: bool = False
    """Whether what several samples of one expansion have in common counts as often as it was
    drawn: a state that m of them drew is expanded by m times as many samples, and a solution
    that m of them drew has m votes and is m trajectories. Else what is alike is merged and
    counts once, which favours answers that are seldom drawn. (Not in the paper.)"""
    lam: float = Field(1.0, ge=0, validation_alias=AliasChoices("lam", "lambda"))
    """λ of `f = g + λ·h`, the weight of the Q-value; may also be given as `lambda`
    (section 3.1)."""
    depth_bias: float = Field(0.0, ge=0)
    """What is added to f for every step of a path when open states are compared, so that of
    nearly equal ones the deeper is popped and complete solutions are reached sooner. Which
    trajectory is returned is decided by f without it. (Our own, not in the paper, where it
    is 0.)"""
    aggregator: Aggregator = "min"
    """How the process rewards of a path become g (section 3.1); `constant` is g = 0. See
    `profile` for the paper's choice by data set."""
    h_mode: Literal["edge", "lookahead"] = "edge"
    """`edge`: h is the Q-value of the step that leads to the state. `lookahead`:
    h is the best Q-value among K actions sampled there, about K times dearer. Both are
    readings of section 3.1."""
    num_trajectories: Count = 6
    """N, complete trajectories to collect; 1 returns the first that is popped."""
    selection: Literal["max_f", "majority", "weighted_majority"] = "max_f"
    """Which collected trajectory is returned: the one of highest f, or the best
    of the most common answer (`majority`), or of the answer with the largest sum of f
    (`weighted_majority`). The paper's is `max_f`."""
    temperature: float = Field(0.8, ge=0)
    """Of the samples; 0 is greedy. The paper gives none."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the smallest set of most likely tokens with this total probability."""
    top_k: int = Field(0, ge=0)
    """Sample from the k most likely tokens; 0 is all of them."""
    max_depth: Count = 16
    """Steps after which a path is cut: truncated, not terminal."""
    thoughts: Literal["apart", "searched"] = "apart"
    """What becomes of the thought with which a reasoning model begins: `apart` leaves it out
    of the steps and counts its tokens; `searched` makes its paragraphs steps of the tree, of a
    local model that thinks. They do not count for `max_depth`."""
    max_thought_tokens: Count = 1024
    """Tokens of a searched thought after which it is closed, so that the model answers."""
    batch_pops: Count = 1
    """States expanded together. More than 1 is not the paper's Algorithm 1."""
    failed_check: Literal["prune", "penalise", "keep"] = "prune"
    """What a failed check does: `prune` closes the state that the step leads to,
    `penalise` takes `penalty` from the step's process reward, as the paper does with
    code that does not tokenise; `keep` only reports it."""
    penalty: float = Field(0.5, ge=0)
    """What `penalise` takes from the process reward; the paper's for code is 0.5."""
    verify: Literal["after", "never"] = "never"
    """Whether a second model completes what was collected, before the answer is chosen.
    Trajectories that all have one answer are not sent, nor those that `abstain` excludes.
    (rStar's; not in the Q* paper.)"""
    verified_selection: Literal[
        "shrunk_survival", "share_survival", "survivor_vote", "reward_confidence", "majority"
    ] = "shrunk_survival"
    """Which trajectory is returned once they are verified, instead of by `selection`; see
    `verification.winning`. `reward_confidence` returns the survivor of the highest f."""
    fallback: bool = True
    """Without any complete trajectory, complete the best popped state once, greedily
    (choices 7 and 8)."""
    max_pops: Count | None = 256
    """Most states popped, complete ones included; None is no limit."""

    @classmethod
    def profile(cls, data_set: DataSet, **changes: Any) -> Self:
        """The paper's settings for a data set, with some values changed.

        They differ in the aggregator. What else belongs to them is not a setting: for
        GSM8K a process reward model as `utility`, for MATH none, for MBPP the rule
        `python-tokens`.

        Raises:
            SettingsError: The paper has no such data set.

        Source: Q* (arXiv 2406.14283), section 4.1.
        """
        if data_set not in _AGGREGATORS:
            raise SettingsError(f"no profile {data_set!r}; known: {', '.join(_AGGREGATORS)}")
        paper = {"num_samples": 6, "num_trajectories": 6, "lam": 1.0}
        return cls(**{**paper, "aggregator": _AGGREGATORS[data_set], **changes})

    @classmethod
    def within(cls, max_tokens: int, **changes: Any) -> Self:
        """Settings for a pretrained model whose questions may cost `max_tokens` each.

        The paper's K = 6 at every state spends a small budget on first steps: no solution
        comes to its end. These draw several first steps and go on with each by one sample, those
        first that the Q-value model likes best; what a check refutes is not gone on with, and
        the solutions that come to their end vote. Sampling is less hot than for the bundled
        model. Which scorer is used is not a setting.

        Args:
            max_tokens: Most tokens of a question, at least 1. There is a first step for every
                `SOLUTION_TOKENS` of them, two at least.
            changes: Other settings.

        Raises:
            SettingsError: A value is out of its range.

        Source: our own. The sampling is what the publisher of Qwen2.5 recommends. Of two to four
            first steps for 1,000 tokens four were best on 160 questions of GSM8K train, by less
            than decides (`benchmarks/search.py --tune --bank`); more tokens are not measured.
        """
        begun = max(2, int(max_tokens) // SOLUTION_TOKENS) if type(max_tokens) is int else 2
        chosen = {
            "root_samples": begun,
            "num_samples": 1,
            "num_trajectories": begun,
            "selection": "majority",
            "count_repeats": True,
            "temperature": 0.7,
            "top_p": 0.8,
            "top_k": 20,
            "max_tokens": max_tokens,
        }
        return cls(**{**chosen, **changes})

    @field_validator("actions")
    @classmethod
    def _concatenating(cls, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        if "re_answer" in actions:
            raise ValueError("re_answer replaces text, but a Q* state is a concatenation; omit it")
        if len(set(actions)) != len(actions):
            raise ValueError("name each action once")
        if not set(actions) - {"rephrase", "retrieve"}:
            raise ValueError("name an action that may follow every state, such as propose_step")
        return actions

    def samples_at(self, *, root: bool) -> int:
        """How many samples an expansion draws."""
        return (self.root_samples if root else None) or self.num_samples
