"""`qstar doctor` on the command line.

Exit codes: 0 the bundled model can answer questions here, 1 a fault of ours, 2
something must be installed first; the last lines say what. With `--policy` it is the
server there that can answer or not; one line says why not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

HEALTHY, UNFIT = 0, 2


def add_command(commands: Any) -> None:
    """Add `doctor` to the subparsers of `qstar`."""
    doctor = commands.add_parser(
        "doctor",
        help="what this machine has and lacks, and how fast it is",
        description="Devices, memory, backends and versions; how fast the bundled model runs, "
        "against the bare model's forward pass; what to install next. With --policy, of a server: "
        "whether it answers, how long that takes, and what it can.",
        epilog="Exit codes: 0 the bundled model can answer questions here, or the server of "
        "--policy does, 1 a fault of ours, 2 something must be installed or mended first.",
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.add_argument(
        "--seconds", type=float, default=10.0, help="of measuring; 0 for none; default: 10"
    )
    doctor.add_argument(
        "--policy",
        metavar="SERVER",
        help="look at a server instead: openai:NAME@URL, or its URL (its key: OPENAI_API_KEY)",
    )
    doctor.add_argument(
        "--timeout",
        type=_positive,
        default=60.0,
        help="seconds to wait for each reply of a server; default: 60",
    )
    doctor.add_argument("--debug", action="store_true", help="show the traceback of an error")
    doctor.set_defaults(run=_run)


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _run(args: argparse.Namespace) -> int:
    if args.policy is not None:
        return _run_server(args)
    from langchain_qstar.doctor.report import examine, lines

    report = examine(seconds=args.seconds)
    _show(report.as_json() if args.json else lines(report))
    return HEALTHY if report.healthy else UNFIT


def _run_server(args: argparse.Namespace) -> int:
    from langchain_qstar.doctor.server import examine_server, server_lines

    key = os.environ.get("OPENAI_API_KEY")
    report = examine_server(args.policy, api_key=key, timeout=args.timeout)
    _show(report.as_json() if args.json else server_lines(report))
    return HEALTHY


def _show(report: Mapping[str, Any] | Iterable[str]) -> None:
    """A report as one JSON object, or as its lines."""
    told = [json.dumps(report)] if isinstance(report, Mapping) else report
    sys.stdout.writelines(f"{line}\n" for line in told)
