"""Which rule should choose rStar's winner: a simulated study, with verifiers weak and strong.

    python benchmarks/selection.py --quick
    python benchmarks/selection.py --full --record

No model is asked. A question has a difficulty; generator and verifier solve it with a
chance that falls with it, and fall for the same wrong answers (Zipf). The generator finds
24 candidates; each is shown to the verifier at four masks, as in the official code. A wrong
candidate goes wrong at a random place: where the verifier is shown that place it follows the
error six times in ten. Where it is shown a right beginning, that helps it. The verifiers:

nothing   agrees with any candidate by the same chance (0.1, 0.3 or 0.6): it knows nothing
weaker    solves clearly fewer questions than the generator
equal     as many: the generator itself, or a peer
strong    clearly more

The rules are those of `langchain_qstar.verification.winning`, except for self-verification,
which would show nothing but what was assumed of the judge.

Figures, printed last: RULE_GENERATOR_VERIFIER, the share of questions answered right;
least_RULE and mean_RULE, how much it gains over the majority where it gains least, and on
the mean; verified_precision_ and verified_recall_ of winners that the verifier agrees with,
under the default rule; default_is_best, 1 if of the rules that lose less than `TOLERANCE`
anywhere the default of `RStarSettings` gains most on the mean.
"""

from __future__ import annotations

import argparse
import math
import operator
import random
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from statistics import mean
from typing import Final, Literal, NamedTuple

from langchain_qstar.evaluation.recording import (
    print_figures,
    provenance,
    rounded,
    write_record,
)
from langchain_qstar.settings import RStarSettings
from langchain_qstar.verification.candidates import Answer, Candidate, answers_of
from langchain_qstar.verification.winning import Selection, agreed, scores, winner

RESULTS: Final = Path(__file__).parent / "results" / "selection.json"
RULES: Final[tuple[Selection, ...]] = (
    "majority",
    "reward_confidence",
    "share_survival",
    "survivor_vote",
    "shrunk_survival",
)
DEFAULTS: Final = RStarSettings()
GENERATORS: Final = {"weak": -0.8, "strong": 1.0}
"""Log-odds of solving a question of middle difficulty."""
Knowledge = Literal["nothing", "weaker", "equal", "strong"]
VERIFIERS: Final[dict[Knowledge, float]] = {
    "nothing": 0.0,
    "weaker": -1.5,
    "equal": 0.0,
    "strong": 2.0,
}
"""Log-odds that a verifier has more than the generator."""
CHANCES: Final = (0.1, 0.3, 0.6)
"""How often a verifier that knows nothing agrees."""
SPREAD: Final = 1.5
"""Standard deviation of difficulty, in log-odds."""
CANDIDATES: Final = 24
FOLLOWED: Final = 0.6
"""How often an error that is shown is followed."""
AGAIN: Final = 0.25
"""Chance of each further rollout that ends in a candidate."""
VOTES: Final = 8
"""Votes by which a candidate has its confidence."""
ZIPF: Final = tuple(accumulate(1 / rank for rank in range(1, 9)))
"""How common the wrong answers are, cumulated."""
RIGHT: Final = "right"
TOLERANCE: Final = 0.1


class Models(NamedTuple):
    """Chances on one question."""

    generator: float
    verifier: float
    random: float | None
    """The chance of agreement of a verifier that knows nothing."""


def question(rng: random.Random, generator: float, knowledge: Knowledge) -> list[Answer]:
    """The candidates for one question, verified, by their answers."""
    ease = rng.gauss(0, SPREAD)
    models = Models(
        generator=logistic(generator + ease),
        verifier=logistic(generator + VERIFIERS[knowledge] + ease),
        random=rng.choice(CHANCES) if knowledge == "nothing" else None,
    )
    found = [candidate(rng, models, number) for number in range(CANDIDATES)]
    return answers_of(found, DEFAULTS.agreement, operator.eq)


def candidate(rng: random.Random, models: Models, number: int) -> Candidate:
    """One solution of the generator, with what the verifier's completions of it reached."""
    answer = attempt(rng, models.generator)
    error = rng.random()
    rollouts = 0
    while rng.random() < AGAIN:
        rollouts += 1
    agreeing = sum(attempt(rng, models.generator) == answer for _ in range(VOTES - 1))
    confidence = (1 + agreeing) / VOTES
    return Candidate(
        ids=(f"0.{number}",),
        segments=(str(number),),
        answer=answer,
        weight=1 + rollouts,
        reward=rollouts * confidence,
        confidence=confidence,
        completed=tuple(completed(rng, models, answer, error, mask) for mask in DEFAULTS.masks),
    )


def attempt(rng: random.Random, chance: float) -> str:
    """An answer: right by that chance, else one of the common errors."""
    if rng.random() < chance:
        return RIGHT
    return str(rng.choices(range(len(ZIPF)), cum_weights=ZIPF)[0])


def completed(rng: random.Random, models: Models, answer: str, error: float, mask: float) -> str:
    """Where the verifier comes out when it is shown `mask` of a candidate."""
    if models.random is not None:
        return answer if rng.random() < models.random else "elsewhere"
    if answer == RIGHT:
        return attempt(rng, models.verifier + (1 - models.verifier) * mask)
    if error < mask and rng.random() < FOLLOWED:
        return answer
    return attempt(rng, models.verifier)


def logistic(x: float) -> float:
    """Log-odds as a chance."""
    return 1 / (1 + math.exp(-x))


def study(questions: int, seed: int) -> dict[str, float]:
    """All rules on the same questions, for every pair of generator and verifier."""
    figures: dict[str, float] = {}
    for generator, strength in GENERATORS.items():
        for knowledge in VERIFIERS:
            rng = random.Random(f"{seed}/{generator}/{knowledge}")
            asked = [question(rng, strength, knowledge) for _ in range(questions)]
            place = f"{generator}_{knowledge}"
            figures |= {f"{rule}_{place}": accuracy(rule, asked) for rule in RULES}
            precision, recall = verified(asked)
            figures[f"verified_precision_{place}"] = precision
            figures[f"verified_recall_{place}"] = recall
    return figures | gains(figures)


def accuracy(rule: Selection, asked: Sequence[Sequence[Answer]]) -> float:
    """Share of questions that a rule answers right."""
    chosen = (winner(answers, scores(rule, answers), rule) for answers in asked)
    return mean(answer.text == RIGHT for answer, _ in chosen)


def verified(asked: Sequence[Sequence[Answer]]) -> tuple[float, float]:
    """Of winners that the verifier agrees with, the share that is right; and the reverse."""
    rule = DEFAULTS.selection
    chosen = [winner(answers, scores(rule, answers), rule) for answers in asked]
    right = [answer.text == RIGHT for answer, _ in chosen]
    agreeing = [agreed(*pair) for pair in chosen]
    both = sum(map(operator.and_, right, agreeing))
    return both / max(sum(agreeing), 1), both / max(sum(right), 1)


def gains(figures: dict[str, float]) -> dict[str, float]:
    """What each rule gains over the majority, and whether the default is the best."""
    places = [f"{generator}_{verifier}" for generator in GENERATORS for verifier in VERIFIERS]
    over = {
        rule: [figures[f"{rule}_{place}"] - figures[f"majority_{place}"] for place in places]
        for rule in RULES
    }
    safe = [rule for rule in RULES if min(over[rule]) > -TOLERANCE]
    best = max(safe, key=lambda rule: mean(over[rule]))
    return (
        {f"least_{rule}": min(each) for rule, each in over.items()}
        | {f"mean_{rule}": mean(each) for rule, each in over.items()}
        | {"default_is_best": float(best == DEFAULTS.selection)}
    )


def main() -> None:
    """Simulate, record if asked, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="the default: 400 questions a pair")
    size.add_argument("--full", action="store_true", help="4,000 questions a pair")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.record and not options.full:
        parser.error("--record needs --full")
    questions = 4000 if options.full else 400
    figures = study(questions, options.seed)
    if options.record:
        facts = provenance(Path(__file__), ("langchain-qstar",))
        sizes = {"questions": questions, "seed": options.seed}
        write_record(RESULTS, {**facts, **sizes, "figures": rounded(figures)})
    print_figures(figures)


if __name__ == "__main__":
    main()
