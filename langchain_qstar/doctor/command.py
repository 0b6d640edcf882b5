"""`qstar doctor` on the command line.

Exit codes: 0 the bundled model can answer questions here, or the server that was named
can; 1 a fault of ours; 2 something must be installed or done first: the last lines say what.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

HEALTHY, UNFIT = 0, 2


def add_command(commands: Any) -> None:
    """Add `doctor` to the subparsers of `qstar`."""
    doctor = commands.add_parser(
        "doctor",
        help="what this machine has and lacks, and how fast it is",
        description="Devices, memory, backends and versions; how fast the bundled model runs, "
        "against the bare model's forward pass; what to install next.",
        epilog="Exit codes: 0 the bundled model can answer questions here, or the server that was "
        "named can; 1 a fault of ours; 2 something must be installed or done first.",
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.add_argument(
        "--seconds", type=float, default=10.0, help="of measuring; 0 for none; default: 10"
    )
    doctor.add_argument(
        "--policy",
        metavar="URL",
        help="a server to look at, http://HOST:PORT/v1 or openai:NAME@URL: whether it answers, "
        "and whether with log-probabilities, seeds, several samples a request, grammars",
    )
    doctor.add_argument("--debug", action="store_true", help="show the traceback of an error")
    doctor.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from langchain_qstar.doctor.report import examine, lines

    report = examine(seconds=args.seconds, server=args.policy)
    if args.json:
        sys.stdout.write(json.dumps(report.as_json()) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(report))
    return HEALTHY if report.healthy else UNFIT
