"""The command line: `qstar solve`, `label`, `train`, `convert` and `doctor`.

Standard output carries the result and nothing else; progress and errors go to
standard error. Exit codes: 0 answered, 1 a fault of ours, 2 bad usage or input
(one line), 3 a budget ended without an answer, 4 no answer, 130 interrupted.

The parser needs the standard library only, so that `--help` is quick; a command
imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from langchain_qstar.doctor.command import add_command
from langchain_qstar.errors import (
    CheckpointError,
    InputError,
    MissingExtraError,
    QStarError,
    QuestionError,
    SettingsError,
)
from langchain_qstar.training.commands import add_commands, add_prompt_arguments

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from langchain_core.runnables import RunnableConfig
    from langgraph.types import Checkpointer

    from langchain_qstar.chains import SolverChain
    from langchain_qstar.solution import Solution

ANSWERED, FAULT, USAGE, BUDGET_ENDED, NO_ANSWER, INTERRUPTED = 0, 1, 2, 3, 4, 130

MAX_QUESTION_BYTES: Final = 1_000_000
"""More than any model reads; without a limit, endless input would fill the memory."""

PIPE_WIDTH: Final = 120
"""Columns of a drawing that does not go to a terminal."""

THREAD: Final = "qstar solve"
"""The thread where --thread names none, as of a file that holds one search."""

_SPENDING: Final = {name: name for name in ("max_completions", "max_tokens", "max_seconds")}
_PARAMETERS: Final = {name: name for name in ("temperature", "top_p", "top_k")}
_SAMPLING: Final = {"samples": "n", **_PARAMETERS, **_SPENDING}

# What each option is called where it is used; an option that is missing here
# means nothing to that method, and giving it is an error.
METHODS: Final[Mapping[str, Mapping[str, str]]] = {
    "qstar": {
        "q_model": "q_model",
        "verifier": "verifier",
        "checkpoint": "checkpoint",
        "thread": "thread",
        "samples": "num_samples",
        "trajectories": "num_trajectories",
        "lam": "lam",
        **_PARAMETERS,
        "max_pops": "max_pops",
        "max_nodes": "max_nodes",
        "max_completions": "max_completions",
        "max_tokens": "max_tokens",
        "max_seconds": "max_seconds",
    },
    "rstar": {
        "q_model": "q_model",
        "verifier": "verifier",
        "checkpoint": "checkpoint",
        "thread": "thread",
        "rollouts": "num_rollouts",
        "depth": "max_depth",
        **_PARAMETERS,
        "max_nodes": "max_nodes",
        "max_completions": "max_completions",
        "max_tokens": "max_tokens",
        "max_seconds": "max_seconds",
    },
    "greedy": _SPENDING,
    "self-consistency": _SAMPLING,
    "checked-self-consistency": _SAMPLING,
    "best-of-n": {"q_model": "q_model", **_SAMPLING},
}
OPTIONS: Final = tuple(dict.fromkeys(option for each in METHODS.values() for option in each))


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is a `--help` away."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {_printable(message)} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Not argparse's own, which wants the version before anybody asks for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from langchain_qstar import __version__

        sys.stdout.write(f"qstar {__version__}\n")
        parser.exit(ANSWERED)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, a function of the parsed arguments."""
    parser = _Parser(prog="qstar", description="Search over reasoning steps.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    solve = commands.add_parser(
        "solve",
        help="answer one question",
        description="Answer one question. Without options: Q* with the bundled model, offline. "
        "The result goes to standard output, everything else to standard error.",
        epilog="Exit codes: 0 answered, 1 a fault of ours, 2 bad usage or input, "
        "3 a budget ended without an answer, 4 no answer, 130 interrupted.",
    )
    _add_solve_arguments(solve)
    solve.set_defaults(run=_solve)
    add_commands(commands)
    add_command(commands)
    convert = commands.add_parser(
        "convert",
        help="write a model as a GGUF file, for llama.cpp, or a GGUF file as a folder",
        description="Write the bundled model, or a Llama of its kind, as a GGUF file. "
        "Use it by: qstar solve ... --policy gguf:FILE. From a GGUF file a folder of "
        "transformers' format is made, dequantised.",
    )
    convert.add_argument("source", help="nano, a folder with a model, or a GGUF file")
    convert.add_argument("target", help="the GGUF file, or from one the folder, to write")
    convert.add_argument("--weights", help="of a GGUF file: f32 (default), f16 or q8_0")
    convert.add_argument("--debug", action="store_true", help="show the traceback of an error")
    convert.set_defaults(run=_convert)
    return parser


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number that can be compared")
    return value


def _abstaining(text: str) -> str:
    if text != "failed":
        raise argparse.ArgumentTypeError(f"{text!r} is not 'failed'; write the question before it")
    return text


def _step_form(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    return [] if names == ["none"] else names


def _add_solve_arguments(solve: argparse.ArgumentParser) -> None:
    solve.add_argument("question", help="the question, or - to read it from standard input")
    solve.add_argument("--method", choices=list(METHODS), default="qstar", help="default: qstar")
    solve.add_argument(
        "--policy",
        default="nano",
        help="nano (default), hf:ORG/NAME, a folder with a model, gguf:FILE, gguf:ORG/NAME:FILE, "
        "or openai:NAME@URL (its key: OPENAI_API_KEY)",
    )
    solve.add_argument(
        "--q-model",
        help="nano, path-log-probability, log-probability, agreement, self-evaluation, "
        "prm:FAMILY:MODEL, orm:MODEL, or a folder that qstar train wrote; default: nano for nano, "
        "path-log-probability for others, agreement where there is none (rstar: none)",
    )
    solve.add_argument(
        "--task",
        help="nano, gsm8k, svamp, multiarith, gsm_hard, math, strategyqa or choice; "
        "default: the one the policy is made for",
    )
    add_prompt_arguments(solve)
    solve.add_argument(
        "--checks",
        type=_names,
        help="what judges the steps: arithmetic, symbolic, both joined by a comma, or none; "
        "default: the task's",
    )
    solve.add_argument(
        "--abstain",
        nargs="?",
        const=True,
        default=False,
        type=_abstaining,
        metavar="failed",
        help="give no answer that is not verified, which takes a check that does more than "
        "calculate; or, as --abstain failed, none of which a check failed a step",
    )
    solve.add_argument(
        "--steps",
        type=_step_form,
        help="what a step is: thought, calculation, line, or a number of tokens; default: the "
        "task's",
    )
    solve.add_argument("--seed", type=int, default=0, help="same seed, same tree; default: 0")
    solve.add_argument("--json", action="store_true", help="print one Solution as JSON")
    solve.add_argument("--debug", action="store_true", help="show the traceback of an error")
    solve.add_argument(
        "--checkpoint",
        metavar="STORE",
        help="store the search in a sqlite file or at postgresql://HOST/DATABASE (its password: "
        "PGPASSWORD or ~/.pgpass); the same command resumes it",
    )
    solve.add_argument("--thread", metavar="NAME", help="tells searches in one --checkpoint apart")
    search = solve.add_argument_group("search")
    search.add_argument(
        "-k", "--samples", type=int, help="steps a state (qstar), or solutions (the others)"
    )
    search.add_argument("--trajectories", type=int, help="complete solutions to collect")
    search.add_argument("--lam", type=_finite, help="the weight of h in f = g + lam * h")
    search.add_argument("--temperature", type=_finite, help="of sampling; 0 is greedy")
    search.add_argument("--top-p", type=_finite, help="sample from tokens of this probability")
    search.add_argument("--top-k", type=int, help="sample from the k most likely tokens")
    search.add_argument(
        "--verifier",
        help="who completes candidates, as --policy; default: the policy (rstar), nobody (qstar)",
    )
    search.add_argument("--rollouts", type=int, help="rollouts of the tree search (rstar)")
    search.add_argument("--depth", type=int, help="steps after which a path ends (rstar)")
    budgets = solve.add_argument_group("budgets")
    budgets.add_argument("--max-pops", type=int, help="states popped")
    budgets.add_argument("--max-nodes", type=int, help="nodes of the tree")
    budgets.add_argument("--max-completions", type=int, help="completions sampled")
    budgets.add_argument("--max-tokens", type=int, help="tokens generated")
    budgets.add_argument("--max-seconds", type=_finite, help="seconds of search")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows `qstar`; by default those of this process.

    Returns:
        The exit code. Bad usage raises `SystemExit(2)` instead, as argparse does.
    """
    args = build_parser().parse_args(arguments)
    try:
        code: int = args.run(args)
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED, debug=args.debug)
    except QStarError as error:
        return _failed(str(error), error.exit_code, debug=args.debug)
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:  # noqa: BLE001  # the last place where it can become one line
        fault = f"{type(error).__name__}: {error} (a fault of ours; --debug shows where)"
        return _failed(fault, FAULT, debug=args.debug)
    return code


def _solve(args: argparse.Namespace) -> int:
    options = _options(args)
    question = _question(args.question)
    show = _write_json if args.json else _drawing()
    store, thread = (options.pop(name, None) for name in ("checkpoint", "thread"))
    if thread is not None and store is None:
        raise SettingsError("--thread names a search in a --checkpoint, and there is none")
    with _checkpointer(store) as checkpointer:
        chain = _chain(args, options, checkpointer)
        solution = _followed(chain, question, args.seed, thread or THREAD)
    show(solution)
    _tell_refutation(solution)
    return _exit_code(solution, abstained=bool(args.abstain))


def _convert(args: argparse.Namespace) -> int:
    if args.source.lower().endswith(".gguf"):
        from langchain_qstar.models.transformers.dequantising import dequantise_gguf

        if args.weights is not None:
            raise InputError("--weights is for writing a GGUF file; a folder has float32")
        sys.stdout.write(f"{dequantise_gguf(args.source, args.target)}\n")
        return ANSWERED
    from langchain_qstar.models.llamacpp.export import export_gguf
    from langchain_qstar.models.resolve import NANO_FOLDER

    source = NANO_FOLDER if args.source == "nano" else args.source
    sys.stdout.write(f"{export_gguf(source, args.target, weights=args.weights or 'f32')}\n")
    return ANSWERED


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, by the names the method has for them."""
    meant = METHODS[args.method]
    given = {name: value for name in OPTIONS if (value := getattr(args, name)) is not None}
    for name in given:
        if name not in meant:
            flag = name.replace("_", "-")
            raise SettingsError(f"--{flag} means nothing to --method {args.method}")
    return {meant[name]: value for name, value in given.items()}


def _question(argument: str) -> str:
    """The question as text, from the argument or from standard input."""
    if argument == "-":
        data = sys.stdin.buffer.read(MAX_QUESTION_BYTES + 1)
        if len(data) > MAX_QUESTION_BYTES:
            raise QuestionError(f"the question is longer than {MAX_QUESTION_BYTES} bytes")
    else:
        data = os.fsencode(argument)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise QuestionError(f"the question is not UTF-8 text (byte {error.start})") from None


def _chain(
    args: argparse.Namespace, options: dict[str, Any], checkpointer: Checkpointer
) -> SolverChain:
    from langchain_qstar import chains

    shared = {
        "policy": _policy(args.policy, args.chat_template),
        "task": args.task,
        "prompts": args.prompts,
        "shots": args.shots,
        "checks": args.checks,
        "abstain": args.abstain,
        "steps": args.steps,
    }
    if args.method == "qstar":
        q_model = options.pop("q_model", "default")
        verifier = options.pop("verifier", None)
        options |= {} if verifier is None else {"verify": "after"}
        return chains.QStarChain(
            q_model=q_model,
            verifier=verifier,
            settings=options,
            checkpointer=checkpointer,
            **shared,
        )
    if args.method == "rstar":
        models = {name: options.pop(name, None) for name in ("verifier", "q_model")}
        return chains.RStarChain(settings=options, checkpointer=checkpointer, **models, **shared)
    methods: dict[str, Callable[..., SolverChain]] = {
        "greedy": chains.GreedyChain,
        "self-consistency": chains.SelfConsistencyChain,
        "checked-self-consistency": partial(chains.SelfConsistencyChain, checked=True),
        "best-of-n": chains.BestOfNChain,
    }
    return methods[args.method](**shared, **options)


def _policy(spec: str, chat_template: str | None) -> Any:
    """What the chain is told; a server gets the key that is in the environment."""
    from langchain_qstar.models.resolve import resolve_policy, served

    if spec.startswith("openai:"):
        key = os.environ.get("OPENAI_API_KEY")
        return served(spec, api_key=key, chat_template=chat_template)
    return spec if chat_template is None else resolve_policy(spec, chat_template=chat_template)


@contextmanager
def _opened_checkpoints(store: str) -> Iterator[Checkpointer]:
    from langchain_qstar.chains.checkpoints import open_checkpoints

    with ExitStack() as stack:
        try:
            checkpointer = stack.enter_context(open_checkpoints(store))
        except CheckpointError as error:
            raise InputError(f"--checkpoint: {error}") from error
        yield checkpointer


def _checkpointer(store: str | None) -> AbstractContextManager[Checkpointer]:
    return nullcontext() if store is None else _opened_checkpoints(store)


def _followed(chain: SolverChain, question: str, seed: int, thread: str) -> Solution:
    """The solution; what happens until then is told on standard error."""
    from langchain_qstar.report.progress import SearchProgress

    progress = SearchProgress(sys.stderr.write)
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    last: Any = None
    for last in chain.stream(question, config, seed=seed):
        if isinstance(last, dict):
            progress(last)  # type: ignore[arg-type]  # every event of a stream is such a dict
    solution: Solution = last
    return solution


def _write_json(solution: Solution) -> None:
    # JSON between programs is UTF-8 (RFC 8259), whatever the terminal speaks.
    _reconfigure(encoding="utf-8")
    sys.stdout.write(solution.model_dump_json() + "\n")
    sys.stdout.flush()


def _drawing() -> Callable[[Solution], None]:
    """How a solution is drawn; asked first, so that a missing library does not cost a search."""
    try:
        from rich.console import Console
    except ImportError:
        raise MissingExtraError("rich", "cli") from None
    from langchain_qstar.report.terminal import print_solution

    _reconfigure(errors="replace")
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    return lambda solution: print_solution(solution, console)


def _reconfigure(**options: str) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(**options)  # type: ignore[arg-type]


def _tell_refutation(solution: Solution) -> None:
    """Say on standard error, where no pipe hides it, which check failed which step."""
    from langchain_qstar.rendering import refutation

    if refuted := refutation(solution.model_dump(include={"verified", "steps"})):
        sys.stderr.write(f"qstar: {_printable(refuted)}\n")


def _exit_code(solution: Solution, *, abstained: bool) -> int:
    """The exit code; who abstains asked for no answer, whatever ended the search."""
    if solution.stopped == "interrupted":
        return INTERRUPTED
    if solution.answer is not None:
        return ANSWERED
    ended = abstained or solution.stopped in {"complete", "exhausted", "decided"}
    return NO_ANSWER if ended else BUDGET_ENDED


def _failed(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"qstar: {_printable(message)}\n")
    return code


def _printable(message: str) -> str:
    """`message` on one line, with no credentials and nothing that a terminal would act upon."""
    from langchain_qstar.rendering import plain, without_credentials

    return plain(without_credentials(message))


def _reader_left() -> int:
    """Whoever read our output has gone; nothing that is still buffered may complain about it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    return INTERRUPTED
