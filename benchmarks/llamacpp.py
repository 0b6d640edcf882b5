"""Whether a search on llama.cpp answers as the same search on transformers.

    python benchmarks/llamacpp.py --quick
    python benchmarks/llamacpp.py --full --record

The bundled model as transformers loads it, in float32, and as `qstar convert` writes
it, in float32: Q* with the bundled Q head, the same seed and settings, on problems of
the test split. The two libraries round differently (log-probabilities by about 1e-5),
so a draw that falls between two tokens can fall on the other side, and the trees part
from there. The full form keeps its rows in build/llamacpp and goes on after what is there.

same_answers   share of problems with the same answer, or with none from both
same_trees     share with the same steps all over the tree
problems       how many
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from langchain_qstar import LlamaCppPolicy, QStarChain, Solution
from langchain_qstar.evaluation.recording import provenance, tell, work_folder, write_record
from langchain_qstar.models.llamacpp.export import export_gguf
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.problems.generator import make_problems

Row = dict[str, Any]
Figures = dict[str, float]

RESULTS: Final = Path(__file__).parent / "results"
PACKAGES: Final = ("torch", "transformers", "llama-cpp-python")
READ: Final = (NANO_FOLDER / "model.safetensors", NANO_FOLDER / "q_head.safetensors")
WORK: Final = work_folder(Path(__file__), READ)
QUICK, FULL, AT_ONCE = 6, 100, 10
SETTINGS: Final = {"max_pops": 12}


def measure(problems: int, done: Path | None = None) -> tuple[Figures, list[Row]]:
    """The figures, and a row for every problem; those in `done` are not searched again."""
    questions = [problem.question for problem in make_problems("test", problems)]
    known = done.read_text("utf-8").splitlines() if done and done.exists() else []
    rows: list[Row] = [json.loads(line) for line in known]
    with tempfile.TemporaryDirectory() as folder:
        file = export_gguf(NANO_FOLDER, Path(folder) / "nano.gguf")
        chains = [QStarChain(model, settings=SETTINGS) for model in ("nano", LlamaCppPolicy(file))]
        while missing := questions[len(rows) : len(rows) + AT_ONCE]:
            theirs, ours = (chain.batch(missing) for chain in chains)
            fresh = [_row(*pair) for pair in zip(missing, theirs, ours, strict=True)]
            _append(done, fresh)
            rows += fresh
            tell(f"{len(rows)} of {problems} problems, {_same_answers(rows)} with one answer")
    figures = {
        "same_answers": _same_answers(rows) / problems,
        "same_trees": sum(row["parts_at"] is None for row in rows) / problems,
        "problems": problems,
    }
    return figures, rows


def _same_answers(rows: Sequence[Row]) -> int:
    return sum(row["transformers"] == row["llamacpp"] for row in rows)


def _append(done: Path | None, rows: Sequence[Row]) -> None:
    if done is not None:
        done.parent.mkdir(parents=True, exist_ok=True)
        with done.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def _row(question: str, theirs: Solution, ours: Solution) -> Row:
    return {
        "question": question,
        "transformers": theirs.answer,
        "llamacpp": ours.answer,
        "parts_at": _parting(_steps(theirs), _steps(ours)),
    }


def _steps(solution: Solution) -> list[tuple[str, str]]:
    return [(node.id, node.text) for node in solution.tree]


def _parting(theirs: Sequence[tuple[str, str]], ours: Sequence[tuple[str, str]]) -> str | None:
    """The id of the first step that is not the same, None if all are."""
    for mine, other in zip(theirs, ours, strict=False):
        if mine != other:
            return mine[0]
    return None if len(theirs) == len(ours) else "end"


def record(figures: Figures, rows: Sequence[Row]) -> None:
    """Write the figures down with all that is needed to repeat them."""
    document = provenance(Path(__file__), PACKAGES, READ)
    differences = [row for row in rows if row["parts_at"] is not None]
    found = {"figures": figures, "differences": differences}
    write_record(RESULTS / "llamacpp.json", {**document, **found})


def main() -> None:
    """Measure, record if asked, and print."""
    parser = argparse.ArgumentParser(description="one search on two libraries")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help=f"{QUICK} problems (the default)")
    size.add_argument("--full", action="store_true", help=f"{FULL} problems")
    parser.add_argument("--problems", type=int, help="how many instead")
    parser.add_argument("--record", action="store_true", help="write them to results/")
    options = parser.parse_args()
    if options.record and not options.full:
        parser.error("--record needs --full")
    torch.set_num_threads(1)
    problems = options.problems or (FULL if options.full else QUICK)
    figures, rows = measure(problems, WORK / f"{problems}.rows.jsonl" if options.full else None)
    if options.record:
        record(figures, rows)
    for row in rows:
        if row["parts_at"] is not None:
            print(f"parted at {row['parts_at']}: {row['transformers']} and {row['llamacpp']}")
    for name, value in figures.items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
