"""What a trained head is worth on questions that it never saw, beside log-probabilities.

    python benchmarks/heads.py --quick                                 # the recorded figures
    python benchmarks/heads.py --head build/head --rows DRAWN.jsonl    # of the test split
    python benchmarks/heads.py --head build/head --rows DRAWN.jsonl --record

Rows are solutions that `pool.py --draw --hidden` drew a step at a time of test questions, of the
policy that the head was trained for, so that a head is judged for no token. What it was trained on
are train questions; nothing is chosen here.

Figures, printed last: those of `scorers.py` for `head`, `path` and `last_step`, and

auc_PLACE_head_minus_path    paired over questions with right and wrong samples, with low_ and high_
search_NAME_minus_vote       Q* with one sample a step, replayed with these values, minus the
                             checked vote, at the same cap; search_NAME is its share right
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from real_models.files import AbsentError, records
from real_models.judged_heads import drawn_bank, head_values, judged

from langchain_qstar.evaluation.recording import (
    print_figures,
    provenance,
    read_record,
    rounded,
    tell,
    write_record,
)
from langchain_qstar.evaluation.rows import read_rows
from langchain_qstar.tasks import get_task

RECORD: Final = Path(__file__).parent / "results" / "heads.json"
PACKAGES: Final = ("langchain-qstar", "transformers", "torch")
CAP: Final = 1000


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the recorded figures (the default)")
    parser.add_argument("--head", type=Path, help="a folder that qstar train wrote")
    parser.add_argument("--rows", type=Path, help="what pool.py --draw --hidden wrote")
    parser.add_argument("--task", default="gsm8k", help="of the rows")
    parser.add_argument("--questions", type=int, help="the first of them only")
    parser.add_argument("--cap", type=int, default=CAP, help="tokens of a replayed search")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    options = parser.parse_args()
    if not (options.head and options.rows):
        if RECORD.exists():
            print_figures(read_record(RECORD)["figures"])
        else:
            tell("no figures are recorded")
        return
    task, rows = get_task(options.task), read_rows(options.rows)
    try:
        asked = records(options.task, options.questions)
        bank, values = drawn_bank(rows, asked, task), head_values(options.head, rows, asked)
    except AbsentError as error:
        tell(f"skipped: {error}")
        return
    figures: dict[str, Any] = judged(bank, values, task, options.cap)
    figures = rounded(figures)
    if options.record:
        document = {
            **provenance(Path(__file__), PACKAGES),
            "rows": options.rows.name,
            "drawn_with": sorted({row["version"] for row in rows}),
            "card": (options.head / "README.md").read_text("utf-8"),
            "cap": options.cap,
            "figures": figures,
        }
        write_record(RECORD, document)
    print_figures(figures)


if __name__ == "__main__":
    main()
