"""Q* with every way of making labels and every kind of head, and best-of-N with the same scorers.

    python benchmarks/labels.py --quick            # the recorded figures, and whether they hold
    python benchmarks/labels.py --full --record    # the figures, on the test split

For the bundled model: labels from the paper's constructions (`qstar label`), heads trained on
them (`qstar train`), then at 2,000 generated tokens a question Q* with the head as Q, as a
process reward g, or as both, and best-of-N with it. Construction 3 of the paper needs a
stronger model; `--completer FOLDER` names one, without it the policy completes its own steps.

Figures, printed last, of every scorer NAME below: qstar_NAME and best_of_n_NAME (shares right),
auc_NAME (within a problem, held out); and of search without a trained scorer,
qstar_log_probability. low_ and high_ are 95 % Wilson intervals.

best      best return of the rollouts by a step (construction 2), a small network
mean      mean return of the same rollouts, the bundled head's label
linear    as mean, a linear head
pairwise  as mean, by the pairwise loss
fitted_q  fitted Q-iteration over the same steps (construction 1)
completed mean return of completions from each step (construction 3; Math-Shepherd's soft label)
          of half of the questions, which take more tokens than the rollouts of all
as_reward the `mean` head as process reward g (min), no Q
both      the `mean` head as process reward g (min) and Q
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from langchain_qstar.baselines.pools import best, curve, draw_pools, score_pools
from langchain_qstar.chains import QStarChain
from langchain_qstar.evaluation.intervals import interpolate, wilson
from langchain_qstar.evaluation.recording import (
    digests,
    print_figures,
    provenance,
    read_record,
    tell,
    work_folder,
    write_record,
)
from langchain_qstar.evaluation.runs import run_chain
from langchain_qstar.models.resolve import NANO_FOLDER, resolve_policy
from langchain_qstar.problems.generator import Problem, make_problems
from langchain_qstar.scoring.resolve import resolve_scorer
from langchain_qstar.tasks import NANO
from langchain_qstar.training.collection import collect_labels
from langchain_qstar.training.label_file import LabelFile
from langchain_qstar.training.questions import nano_questions
from langchain_qstar.training.recipe import ValueRecipe
from langchain_qstar.training.rollouts import LabelSettings
from langchain_qstar.training.value_model import train_value_model

RESULTS: Final = Path(__file__).parent / "results"
PACKAGES: Final = ("torch", "transformers", "langgraph")
READ: Final = (NANO_FOLDER / "model.safetensors",)
WORK: Final = work_folder(Path(__file__), READ)
TOKENS: Final = 2000
SIZES: Final = (8, 12, 16, 20, 24)

WAYS: Final[dict[str, LabelSettings]] = {
    "rollouts": LabelSettings(samples=8),
    "completions": LabelSettings(by="completions", samples=2, completions=4),
}
HEADS: Final[dict[str, tuple[str, ValueRecipe]]] = {
    "best": ("rollouts", ValueRecipe(target="best", loss="cross-entropy")),
    "mean": ("rollouts", ValueRecipe(target="mean", loss="cross-entropy")),
    "linear": ("rollouts", ValueRecipe(kind="linear", loss="cross-entropy")),
    "pairwise": ("rollouts", ValueRecipe(loss="pairwise")),
    "fitted_q": ("rollouts", ValueRecipe(target="fitted-q", loss="cross-entropy")),
    "completed": ("completions", ValueRecipe(target="mean", loss="cross-entropy")),
}
ROLES: Final = {"as_reward": (False, True), "both": (True, True)}
"""Whether the `mean` head is Q, and whether it is the process reward."""


def searcher(q_model: str | None, utility: str | None, settings: dict[str, Any]) -> QStarChain:
    """Q* with a token budget a little below the mark: its last expansion overshoots."""
    return QStarChain(
        q_model=q_model, utility=utility, settings={**settings, "max_tokens": TOKENS - 50}
    )


def labels_of(way: str, questions: int, completer: str | None) -> LabelFile:
    """The labels of a way, made once."""
    chosen = nano_questions(questions)
    return collect_labels(
        chosen[: questions // 2] if way == "completions" else chosen,
        resolve_policy("nano"),
        NANO,
        WORK / f"{way}-{questions}.jsonl",
        WAYS[way],
        completer=resolve_policy(completer) if completer and way == "completions" else None,
    )


def train_heads(questions: int, completer: str | None) -> dict[str, float]:
    """Train every head; the AUC of each within held-out problems."""
    policy, found = resolve_policy("nano"), {}
    for name, (way, recipe) in HEADS.items():
        labels = labels_of(way, questions, completer)
        trained = train_value_model(labels, policy, NANO, folder_of(name), recipe)
        found[f"auc_{name}"] = trained.figures["within_problem_auc_last"]
        if name == "mean":
            found["auc_log_probability"] = trained.figures["within_problem_auc_logprob"]
        tell(f"{name}: {trained.figures}")
    return found


def folder_of(head: str) -> Path:
    """Where a trained head is."""
    return WORK / head


def search_figures(problems: Sequence[Problem], settings: dict[str, Any]) -> dict[str, float]:
    """Q* with every scorer."""
    mean = str(folder_of("mean"))
    chains: dict[str, tuple[str | None, str | None]] = {
        "log_probability": ("log-probability", None)
    }
    chains |= {name: (str(folder_of(name)), None) for name in HEADS}
    chains |= {
        name: (mean if as_q else None, mean if as_reward else None)
        for name, (as_q, as_reward) in ROLES.items()
    }
    figures: dict[str, float] = {}
    for name, (q_model, utility) in chains.items():
        done = WORK / f"qstar-{len(problems)}.rows.jsonl"
        rows = run_chain(name, searcher(q_model, utility, settings), problems, done=done)
        figures |= share(f"qstar_{name}", [float(row.right) for row in rows])
        figures[f"tokens_qstar_{name}"] = sum(row.tokens for row in rows) / len(rows)
        tell(f"qstar with {name}: {figures[f'qstar_{name}']:.3f}")
    return figures


def best_of_n_figures(problems: Sequence[Problem], temperature: float) -> dict[str, float]:
    """Best-of-N with every head, at the same tokens."""
    policy, figures = resolve_policy("nano"), dict[str, float]()
    golds = [str(problem.answer) for problem in problems]
    questions = [problem.question for problem in problems]
    pools = draw_pools(questions, policy, NANO, n=max(SIZES), temperature=temperature)
    for name in ("log_probability", *HEADS):
        spec = "log-probability" if name == "log_probability" else str(folder_of(name))
        scorer = resolve_scorer(spec, policy)
        assert scorer is not None
        score_pools(pools, scorer, NANO)
        points = curve(pools, golds, NANO, best(NANO, min, weighted=False), SIZES)
        right = [
            interpolate([(tokens, shares[each]) for tokens, shares in points], TOKENS)
            for each in range(len(problems))
        ]
        figures |= share(f"best_of_n_{name}", right)
    return figures


def share(name: str, right: Sequence[float]) -> dict[str, float]:
    """A share with its interval."""
    low, high = wilson(sum(right), len(right))
    return {name: sum(right) / len(right), f"low_{name}": low, f"high_{name}": high}


def full(count: int, questions: int, completer: str | None, record: bool) -> None:
    """Label, train, search."""
    chosen = read_record(RESULTS / "tuning.json")["chosen"]
    problems = make_problems("test", count)
    figures = train_heads(questions, completer)
    figures |= search_figures(problems, chosen["qstar"]["settings"])
    figures |= best_of_n_figures(problems, float(chosen["best_of_n"]["temperature"]))
    if record:
        document = provenance(Path(__file__), PACKAGES, READ)
        sizes = {"n": count, "questions": questions, "completer": completer}
        write_record(RESULTS / "labels.json", {**document, **sizes, "figures": figures})
    print_figures(figures)


def quick(count: int) -> None:
    """Label, train and search a little, then print what was recorded."""
    questions = nano_questions(12)
    policy = resolve_policy("nano")
    with TemporaryDirectory() as folder:
        settings = LabelSettings(samples=4)
        labels = collect_labels(questions, policy, NANO, Path(folder) / "labels.jsonl", settings)
        recipe = ValueRecipe(epochs=2, held_out=0.3)
        train_value_model(labels, policy, NANO, Path(folder) / "head", recipe)
        chain = QStarChain(q_model=str(Path(folder) / "head"), settings={"max_tokens": 300})
        rows = run_chain("mean", chain, make_problems("test", count))
    tell(f"{sum(row.right for row in rows)} of {count} right with a head of 12 problems")
    if not (RESULTS / "labels.json").exists():
        print_figures({"sample_n": count, "recorded_n": 0})
        return
    recorded = read_record(RESULTS / "labels.json")
    agrees = int(recorded["sha256"] == digests(READ))
    print_figures({**recorded["figures"], "recorded_n": recorded["n"], "agrees": agrees})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="the default")
    mode.add_argument("--full", action="store_true")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    parser.add_argument("--problems", type=int, help="how many are searched (default 4, 100)")
    parser.add_argument("--questions", type=int, default=400, help="how many are labelled")
    parser.add_argument("--completer", help="a stronger model for construction 3")
    options = parser.parse_args()
    if options.full:
        full(options.problems or 100, options.questions, options.completer, options.record)
    else:
        quick(options.problems or 4)


if __name__ == "__main__":
    main()
