"""Live searches and baselines on a real model, a row a question, kept so that runs add up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from langchain_qstar.chains import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    SelfConsistencyChain,
)
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.evaluation.recording import tell
from langchain_qstar.evaluation.rows import add_rows, read_rows
from langchain_qstar.solution import Solution
from real_models.files import model_file, product_version, records

Row = dict[str, Any]

ROWS: Final = 40
"""Completions that decode together."""
ROW_TOKENS: Final = 1024
"""Memory of each, with its prompt."""
AT_ONCE: Final = 24
"""Questions that are worked on at once."""
WORDS: Final = "plain_words"
WORDS_FILE: Final = Path(__file__).parent / "plain_words.jsonl"
"""Questions that were written once and judged once; no setting is chosen on them."""
SAMPLES: Final = 64
"""Samples of a vote that its budget ends, not their number."""


@dataclass(frozen=True)
class Way:
    """A method with its budget and settings.

    Attributes:
        name: What figures call it.
        method: `greedy`, `vote`, `checked_vote`, `best_of_n`, `qstar` or `rstar`.
        max_tokens: Cap of a question, None for none.
        q_model: Of `qstar` and `best_of_n`: a scorer as chains take it.
        settings: Of the search, or of the sampling of a baseline.
    """

    name: str
    method: str
    max_tokens: int | None
    q_model: str | None
    settings: dict[str, Any]

    @property
    def key(self) -> str:
        """What rows are kept under: all of it but the name."""
        told = [self.method, self.max_tokens, self.q_model, sorted(self.settings.items())]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


class Runs:
    """A model, a split of a task, and the rows that are known of it."""

    def __init__(self, policy: str, task: str, split: str, rows: Path) -> None:
        self.name, self.task, self.split, self.path = policy, task, split, rows

    @cached_property
    def policy(self) -> Any:
        """The product's policy."""
        from langchain_qstar import LlamaCppPolicy

        file = model_file(self.name)
        return LlamaCppPolicy(file, threads=1, max_rows=ROWS, row_tokens=ROW_TOKENS)

    def questions(self, first: int, count: int) -> list[Row]:
        """Records of the split from number `first` on."""
        if self.task == WORDS:
            return [json.loads(line) for line in WORDS_FILE.read_text("utf-8").splitlines()][:count]
        name = self.task if self.split == "test" else f"{self.task}_{self.split}"
        return records(name, first + count)[first:]

    def chain(self, way: Way) -> Any:
        """The chain of a way."""
        shared: dict[str, Any] = {"task": "gsm8k" if self.task == WORDS else self.task}
        settings = dict(way.settings)
        if way.method == "qstar":
            settings |= {"max_tokens": way.max_tokens}
            return QStarChain(self.policy, way.q_model or "default", settings=settings, **shared)
        if way.method == "rstar":
            settings |= {"max_tokens": way.max_tokens}
            return RStarChain(self.policy, settings=settings, **shared)
        if way.method == "greedy":
            return GreedyChain(self.policy, max_tokens=way.max_tokens, **shared)
        options: dict[str, Any] = {"n": SAMPLES, "max_tokens": way.max_tokens, **settings}
        if way.method == "best_of_n":
            return BestOfNChain(self.policy, way.q_model or "default", **options, **shared)
        options["checked"] = way.method == "checked_vote"
        return SelfConsistencyChain(self.policy, **options, **shared)

    def known(self, way: Way) -> dict[str, Row]:
        """Rows of a way by question."""
        return {row["id"]: row for row in read_rows(self.path) if row["key"] == way.key}

    def run(self, way: Way, first: int, count: int) -> list[Row]:
        """A row for each question; those that are missing are measured."""
        asked, known = self.questions(first, count), self.known(way)
        lacking = [each for each in asked if each["id"] not in known]
        if lacking:
            chain = self.chain(way)
            inputs = [each["question"] for each in lacking]
            config = {"max_concurrency": AT_ONCE}
            for at, solution in chain.batch_as_completed(inputs, config, return_exceptions=True):
                if isinstance(solution, Exception):
                    raise solution
                row = self._row(way, lacking[at], solution, chain.task)
                add_rows(self.path, [row])
                known[row["id"]] = row
                tell(
                    f"{way.name} {row['id']}: {row['answer']}, right: {row['right']}, "
                    f"{row['tokens']} tokens, {row['stopped']}"
                )
        return [known[each["id"]] for each in asked]

    def _row(self, way: Way, record: Row, solution: Solution, task: Any) -> Row:
        gold = task.gold(record["answer"]) or record["answer"]
        return {
            "key": way.key,
            "id": record["id"],
            "version": product_version(),
            "answer": solution.answer,
            "right": grade(solution.answer, gold, task) == "right",
            "tokens": solution.usage.completion_tokens,
            "stopped": solution.stopped,
            "collected": sum(vote.count for vote in solution.votes),
            "fallback": not solution.votes,
            "nodes": len(solution.tree),
            "shortfalls": list(solution.usage.shortfalls),
        }


def told(way: Way, rows: Sequence[Row]) -> Row:
    """A way as it is written down beside its rows."""
    return {
        "name": way.name,
        "method": way.method,
        "max_tokens": way.max_tokens,
        "q_model": way.q_model,
        "settings": way.settings,
        "versions": sorted({row["version"] for row in rows}),
    }
