"""`qstar label` and `qstar train`: from questions to labels, from labels to a Q-value model.

The parsers need the standard library only; a command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_qstar.protocols import Policy, Task


def add_commands(commands: Any) -> None:
    """Add both commands to the subparsers of `qstar`; each sets `run`."""
    label = commands.add_parser(
        "label",
        help="label steps by rollouts, to train a Q-value model",
        description="Sample solutions of many questions and count, for every step, how many "
        "rollouts by it end in the right answer. The same command again continues an "
        "interrupted run.",
    )
    _add_label_arguments(label)
    label.set_defaults(run=_label)
    train = commands.add_parser(
        "train",
        help="train a Q-value model on labels",
        description="Train a Q-value model on labels that the policy's own rollouts made, "
        "with early stopping on held-out problems. The same command again continues an "
        "interrupted training. Use it by: qstar solve ... --q-model FOLDER",
    )
    _add_train_arguments(train)
    train.set_defaults(run=_train)


def _add_label_arguments(label: argparse.ArgumentParser) -> None:
    label.add_argument(
        "questions", nargs="?", type=Path, help='JSONL of {"question": ..., "answer": ...}'
    )
    label.add_argument("--problems", type=int, help="instead: so many fresh problems for nano")
    label.add_argument(
        "--from-bank",
        type=Path,
        metavar="FILE",
        help="instead: samples of --policy that are there already (benchmarks/pool.py)",
    )
    label.add_argument("--out", type=Path, required=True, help="JSONL of labels, appended to")
    _add_policy_arguments(label)
    label.add_argument(
        "--by",
        default="rollouts",
        help="what is counted: rollouts that come by a step (default), completions from "
        "it, or omega (binary search for the first error)",
    )
    label.add_argument(
        "--trajectories", default="sampling", help="where steps come from: sampling, mcts or qstar"
    )
    label.add_argument("--q-model", default="default", help="what guides --trajectories qstar")
    label.add_argument("--completer", help="with --by completions: a stronger model")
    label.add_argument("-k", "--samples", type=int, help="solutions a question; default: 8")
    label.add_argument("--completions", type=int, help="completions a step; default: 4")
    label.add_argument("--searches", type=int, help="omega: rollouts searched; default: 8")
    label.add_argument("--temperature", type=float, help="of sampling; default: 0.8")
    label.add_argument("--seed", type=int, help="same seed, same labels; default: 0")
    label.add_argument(
        "--max-tokens", type=int, help="of the whole file; no question is begun that would pass it"
    )
    label.add_argument(
        "--rescore",
        action="store_true",
        help="with --from-bank: read log-probabilities now, and not while training",
    )
    label.add_argument(
        "--skip-bad", action="store_true", help="leave out lines and questions of no use"
    )


# Option, what it is, type; the defaults are those of `ValueRecipe`.
_RECIPE: Final[tuple[tuple[str, str, Callable[[str], Any]], ...]] = (
    ("kind", "mlp (default), linear, lora or model", str),
    ("target", "best, mean (default) or fitted-q", str),
    ("loss", "balanced (default), cross-entropy, regression or pairwise", str),
    ("epochs", "at most; default: 40", int),
    ("patience", "epochs without a better one before it stops; default: 6", int),
    ("batch", "problems in a batch; default: 8", int),
    ("learning-rate", "default: 1e-3, for kind model 3e-5", float),
    ("weight-decay", "default: 0.03", float),
    ("hidden", "size of the hidden layer of mlp; default: 96", int),
    ("dropout", "of a head; default: 0.2", float),
    ("rank", "of a LoRA; default: 8", int),
    ("gamma", "discount of fitted-q; default: 1", float),
    ("iterations", "of fitted-q; default: 8", int),
    ("held-out", "share of problems held out; default: 0.15", float),
    ("seed", "default: 1", int),
)


def _add_train_arguments(train: argparse.ArgumentParser) -> None:
    train.add_argument("labels", type=Path, help="what qstar label wrote")
    train.add_argument("--out", type=Path, required=True, help="folder of the model")
    _add_policy_arguments(train)
    train.add_argument("--base", help="of kind model: nano, hf:ORG/NAME or a folder")
    train.add_argument("--layers", type=int, nargs="+", help="hidden layers that a head reads")
    train.add_argument(
        "--features",
        type=Path,
        metavar="FOLDER",
        help="where hidden states that were read are kept, to share them between trainings of a "
        "policy; default: in --out",
    )
    for name, described, kind in _RECIPE:
        train.add_argument(f"--{name}", type=kind, help=described)
    train.add_argument("--skip-bad", action="store_true", help="leave out damaged lines")


def _add_policy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy", default="nano", help="nano (default), hf:ORG/NAME, or a folder with a model"
    )
    parser.add_argument("--task", help="default: the one the policy is made for")
    add_prompt_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_prompt_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how the policy is asked: `prompts`, `shots` and `chat_template`."""
    parser.add_argument(
        "--prompts",
        default="auto",
        help="zero-shot, few-shot, completion, or a folder with instruction.txt and examples.txt; "
        "default: zero-shot for models that answer chats, completion for others",
    )
    parser.add_argument("--shots", type=int, help="worked examples to show the policy")
    parser.add_argument(
        "--chat-template",
        help="instead of the model's own: a Jinja file or text, or plain for a model without "
        "chat training",
    )


def _label(args: argparse.Namespace) -> int:
    from langchain_qstar.training.labelling import label

    return label(args)


def _train(args: argparse.Namespace) -> int:
    from langchain_qstar.models.resolve import resolve_policy
    from langchain_qstar.training.label_file import read_labels
    from langchain_qstar.training.recipe import ValueRecipe
    from langchain_qstar.training.value_model import train_value_model

    names = [name.replace("-", "_") for name, _, _ in _RECIPE]
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    recipe = ValueRecipe(layers=tuple(args.layers or ()), **given)
    labels = read_labels(args.labels, skip_bad=args.skip_bad)
    policy = resolve_policy(args.policy, chat_template=args.chat_template)
    base = args.base or (args.policy if recipe.kind == "lora" else None)
    task = named_task(args, policy)
    trained = train_value_model(
        labels,
        policy,
        task,
        args.out,
        recipe,
        base=base,
        features=args.features,
        told=_tell_epoch,
        reading=_tell_reading,
    )
    sys.stderr.write("\n")
    for note in trained.notes:
        sys.stderr.write(f"warning: {note}\n")
    for name, value in trained.figures.items():
        sys.stdout.write(f"{name}: {value:g}\n")
    sys.stdout.write(f"{trained.fits}\n")
    return 0


def _tell_reading(done: int, total: int) -> None:
    sys.stderr.write(f"\rread {done} of {total} questions ")
    sys.stderr.flush()


def _tell_epoch(epoch: float, error: float) -> None:
    sys.stderr.write(f"\repoch {epoch:g}, held-out error {error:.4f} ")
    sys.stderr.flush()


def named_task(args: argparse.Namespace, policy: Policy) -> Task:
    """The task that was named, or that the policy is made for, as the policy is asked."""
    from langchain_qstar.tasks import fit_task, get_task

    task = get_task(args.task or ("nano" if policy.name == "nano" else "gsm8k"))
    return fit_task(task, policy, prompts=args.prompts, shots=args.shots)
