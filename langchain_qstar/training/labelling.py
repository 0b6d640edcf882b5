"""What `qstar label` does: from questions or a bank to a file of labels, told as it goes."""

from __future__ import annotations

import argparse
import sys

from langchain_qstar.errors import InputError
from langchain_qstar.evaluation.banks import read_bank
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.training.bank_labels import label_bank
from langchain_qstar.training.collection import collect_labels
from langchain_qstar.training.commands import named_task
from langchain_qstar.training.label_file import LabelFile
from langchain_qstar.training.progress import EARLY, Progress, Tally
from langchain_qstar.training.questions import GradedQuestion, nano_questions, read_questions
from langchain_qstar.training.rollouts import LabelSettings


def label(args: argparse.Namespace) -> int:
    """Run `qstar label`; the exit code.

    Raises:
        InputError: An option does not go with the others.
        LabelError: Questions, bank or file cannot be used.
        ModelError: A model failed; what was done is in the file.
    """
    labels, teller = _from_bank(args) if args.from_bank else _from_questions(args)
    sys.stderr.write("\n")
    last = teller.last
    if warning := Tally(len(labels.questions), labels.questions).progress().warning:
        sys.stderr.write(f"warning: {warning}\n")
    if last and last.done < last.total:
        left = last.total - last.done
        sys.stderr.write(f"stopped by --max-tokens with {left} questions left\n")
    steps = sum(len(each.steps) for each in labels.questions)
    left_out = f", {len(labels.bad)} damaged lines left out" if labels.bad else ""
    sys.stdout.write(
        f"{len(labels.questions)} questions, {steps} steps in {args.out}, a right rollout of "
        f"{labels.ever_right} questions, right and wrong ones of {labels.mixed}{left_out}\n"
    )
    return 0


def _from_questions(args: argparse.Namespace) -> tuple[LabelFile, Teller]:
    if args.rescore:
        raise InputError("--rescore is for --from-bank; sampling keeps log-probabilities")
    names = ("samples", "completions", "searches", "temperature", "seed")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    settings = LabelSettings(by=args.by, trajectories=args.trajectories, **given)
    questions = _questions(args)
    policy = resolve_policy(args.policy, chat_template=args.chat_template)
    teller = Teller()
    labels = collect_labels(
        questions,
        policy,
        named_task(args, policy),
        args.out,
        settings,
        completer=None if args.completer is None else resolve_policy(args.completer),
        q_model=args.q_model,
        skip_bad=args.skip_bad,
        max_tokens=args.max_tokens,
        progress=teller,
    )
    return labels, teller


def _from_bank(args: argparse.Namespace) -> tuple[LabelFile, Teller]:
    meaningless = {
        "a file of questions": args.questions,
        "--problems": args.problems,
        "--completer": args.completer,
        "--completions": args.completions,
        "--searches": args.searches,
        "--temperature": args.temperature,
        "--seed": args.seed,
        "--max-tokens": args.max_tokens,
    }
    for name, value in meaningless.items():
        if value is not None:
            raise InputError(f"{name} means nothing with --from-bank, which draws nothing")
    if (args.by, args.trajectories) != ("rollouts", "sampling"):
        raise InputError("a bank holds sampled solutions; leave out --by and --trajectories")
    bank = read_bank(args.from_bank)
    policy = resolve_policy(args.policy, chat_template=args.chat_template)
    teller = Teller()
    labels = label_bank(
        bank,
        policy,
        named_task(args, policy),
        args.out,
        samples=args.samples,
        rescore=args.rescore,
        skip_bad=args.skip_bad,
        progress=teller,
    )
    return labels, teller


def _questions(args: argparse.Namespace) -> list[GradedQuestion]:
    if (args.questions is None) == (args.problems is None):
        raise InputError(
            "give a file of questions, --problems N for the bundled model's, or --from-bank FILE"
        )
    if args.questions is not None:
        return read_questions(args.questions, skip_bad=args.skip_bad)
    if args.problems < 1:
        raise InputError(f"--problems is {args.problems}; ask for at least 1")
    return nano_questions(args.problems)


class Teller:
    """Tells how far a collection is, and early on whether it is for nothing."""

    def __init__(self) -> None:
        self.last: Progress | None = None
        self._warned = False

    def __call__(self, progress: Progress) -> None:
        """Write one line, on a terminal over the last one, and the warning once."""
        self.last = progress
        before, after = ("\r", "") if sys.stderr.isatty() else ("", "\n")
        sys.stderr.write(
            f"{before}labelled {progress.done} of {progress.total} questions, "
            f"{progress.tokens} tokens in {progress.completions} completions; "
            f"{progress.right_share:.0%} of samples right, right and wrong ones of "
            f"{progress.mixed_share:.0%} of questions {after}"
        )
        if not self._warned and EARLY <= progress.done < progress.total and progress.warning:
            sys.stderr.write(f"\nwarning: {progress.warning}\n")
            self._warned = True
        sys.stderr.flush()
