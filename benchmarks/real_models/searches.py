"""Live searches and baselines on a real model, a row a question, kept so that runs add up."""

from __future__ import annotations

import hashlib
import json
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
from langchain_qstar.protocols import Task
from langchain_qstar.solution import Solution
from real_models.engines import loaded
from real_models.files import product_version, records

Row = dict[str, Any]

SEEDS: Final = "of the question"
"""What random numbers follow from. Rows of runs in which all questions shared them are left alone:
one draw of styles for all is no sample."""

AT_ONCE: Final = 96
"""Questions that are worked on at once; a search of one sample a step has a row of each."""
WORDS: Final = "plain_words"
WORDS_FILE: Final = Path(__file__).parent / "plain_words.jsonl"
"""Questions that were written once and judged once; no setting is chosen on them."""
PROBE: Final = "PROBE"
"""A question whose prompt stands for those of all."""
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
    def scorer(self) -> str | None:
        """The scorer as it is written down: a trained one by its content, not by its place."""
        if self.q_model is None or not (folder := Path(self.q_model)).is_dir():
            return self.q_model
        content = b"".join(each.read_bytes() for each in sorted(folder.glob("q_head.*")))
        return f"head {hashlib.sha256(content).hexdigest()[:12]}"

    def told(self) -> Row:
        """As it is written down beside figures, and what rows are kept under but for its name."""
        return {
            "name": self.name,
            "method": self.method,
            "max_tokens": self.max_tokens,
            "q_model": self.scorer,
            "settings": self.settings,
        }


class Runs:
    """A model, a split of a task, and the rows that are known of it."""

    def __init__(
        self,
        policy: str,
        task: str,
        split: str,
        rows: Path,
        engine: str = "llamacpp",
        *,
        after: int = 0,
    ) -> None:
        self.name, self.task, self.split, self.path = policy, task, split, rows
        self.engine, self.after = engine, after

    @cached_property
    def policy(self) -> Any:
        """The product's policy."""
        return loaded(self.name, self.engine)

    def questions(self, count: int) -> list[Row]:
        """The first records of the split, after `after` of them."""
        if self.task == WORDS:
            return [json.loads(line) for line in WORDS_FILE.read_text("utf-8").splitlines()][:count]
        name = self.task if self.split == "test" else f"{self.task}_{self.split}"
        return records(name, self.after + count)[self.after :]

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

    def key(self, way: Way, task: Task) -> str:
        """What rows are kept under: model, engine, prompt, seeds, and the way but its name."""
        of = [self.name, self.engine, task.messages(PROBE), {**way.told(), "name": ""}, SEEDS]
        return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:12]

    def run(self, way: Way, count: int) -> list[Row]:
        """A row for each of the first questions; those that are missing are measured."""
        chain, asked = self.chain(way), self.questions(count)
        key = self.key(way, chain.task)
        known = {row["id"]: row for row in read_rows(self.path) if row["key"] == key}
        lacking = [each for each in asked if each["id"] not in known]
        if lacking:
            inputs = [each["question"] for each in lacking]
            config = {"max_concurrency": AT_ONCE}
            for at, solution in chain.batch_as_completed(inputs, config, return_exceptions=True):
                if isinstance(solution, Exception):
                    raise solution
                row = {"key": key, **_row(lacking[at], solution, chain.task)}
                add_rows(self.path, [row])
                known[row["id"]] = row
                tell(
                    f"{way.name} {row['id']}: {row['answer']}, right: {row['right']}, "
                    f"{row['tokens']} tokens, {row['stopped']}"
                )
        return [known[each["id"]] for each in asked]


def _row(record: Row, solution: Solution, task: Task) -> Row:
    gold = task.right_answer(record["answer"])
    return {
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
