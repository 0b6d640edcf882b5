"""The two sides of `real.py`: the product, and a plain prompt over bare llama.cpp.

Each text is a row that is kept, so that a run goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from langchain_qstar.chains import GreedyChain
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.evaluation.recording import tell
from langchain_qstar.evaluation.rows import add_rows, read_rows
from langchain_qstar.protocols import State
from langchain_qstar.tasks import get_task
from real_models.files import ROOT, product_version, records, sha256
from real_models.plain_answers import plain_answer
from real_models.plain_prompts import MOST, STOPS, few_shot, zero_shot

Row = dict[str, Any]

ROWS: Final = 24
"""Texts that are written at once."""
NEXT_PROBLEM: Final = ("\n\n\n", "\nProblem:", "\nQuestion:", "\nQ:")
"""Where a completer has begun the next example."""
COMPLETION: Final[dict[str, Any]] = {"prompts": "completion"}
"""What the product is told of a model that is no chat model."""


class Measured:
    """One model, and the rows that are known of it."""

    def __init__(self, policy: str, file: Path, questions: int, folder: Path | None = None) -> None:
        self.policy, self.file, self.questions = policy, file, questions
        self.folder = folder or ROOT / "build" / "real" / sha256(file)[:12]

    @cached_property
    def bare(self) -> Any:
        """The model in bare llama.cpp."""
        from real_models.plain_decoding import BareModel

        return BareModel(self.file)

    @cached_property
    def policies(self) -> dict[bool, Any]:
        """The product's policies: with the file's template, and without as a completer."""
        from langchain_qstar import LlamaCppPolicy

        return {
            base: LlamaCppPolicy(self.file, chat_template="plain" if base else None)
            for base in (False, True)
        }

    def chain(self, task: str, *, base: bool) -> GreedyChain:
        """The product."""
        if base:
            return GreedyChain(self.policies[True], task=task, **COMPLETION)
        return GreedyChain(self.policies[False], task=task)

    def asked(self, task: str) -> list[Row]:
        """The first records of a task."""
        return records(task, self.questions)

    def plain(self, task: str, prompt: str) -> list[Row]:
        """A row for each question, by bare llama.cpp with a plain prompt."""
        path, asked = self.folder / "plain.jsonl", self.asked(task)
        texts = list(self._texts(task, prompt, [each["question"] for each in asked]))
        keys = [_digest(text) for text in texts]
        known = {(row["prompt"], row["id"], row["asked"]): row for row in read_rows(path)}
        places = [(prompt, each["id"], key) for each, key in zip(asked, keys, strict=True)]
        lacking = [number for number, place in enumerate(places) if place not in known]
        if lacking:
            most, stops = self._limits(task, prompt)
            ids = [self._ids(texts[number]) for number in lacking]
            for written in self.bare.write(ids, rows=ROWS, most=most, stops=stops):
                number = lacking[written.number]
                row = _row(task, asked[number], written.text, plain_answer(written.text))
                row |= {"prompt": prompt, "asked": keys[number], "finish": written.finish}
                known[places[number]] = row | {"tokens": written.tokens}
                add_rows(path, [known[places[number]]])
                tell(f"{prompt} {row['id']}: {row['answer']}, right: {row['right']}")
        # Texts are read anew, so that rows of an older reader count as today's.
        return [
            known[place]
            | _row(task, each, known[place]["text"], plain_answer(known[place]["text"]))
            for place, each in zip(places, asked, strict=True)
        ]

    def _texts(self, task: str, prompt: str, questions: Sequence[str]) -> Iterator[Any]:
        """What the model is given: text, messages, or the ids of the product's own prompt."""
        if prompt == "few_shot":
            train = records("gsm8k_train", 200)
            yield from (few_shot(train, question) for question in questions)
        elif prompt == "zero_shot":
            yield from map(zero_shot, questions)
        else:
            chain: Any = self.chain(task, base=prompt == "base")
            for question in questions:
                state = State(question, chain.task.messages(question))
                yield list(chain.policy.path_ids(state))

    def _limits(self, task: str, prompt: str) -> tuple[int, Sequence[str]]:
        if prompt in MOST:
            return MOST[prompt], STOPS[prompt]
        return get_task(task).solution_tokens, NEXT_PROBLEM if prompt == "base" else ()

    def _ids(self, text: Any) -> list[int]:
        if isinstance(text, str):
            return list(self.bare.tokenized(text, chat=False))
        if isinstance(text[0], int):
            return list(text)
        return list(self.bare.tokenized(self.bare.chat(text), chat=True))

    def product(self, task: str, *, base: bool = False) -> list[Row]:
        """A row for each question, by the product; those of another prompt are drawn again.

        Rows say at which commit they were drawn (`version`), and a record names them all; to
        draw every one anew, remove build/real.
        """
        path, asked = self.folder / "product.jsonl", self.asked(task)
        chain = self.chain(task, base=base)
        way, version = "base" if base else "chat", product_version()
        keys = [_digest(chain.task.messages(each["question"])) for each in asked]
        places = [(way, each["id"], key) for each, key in zip(asked, keys, strict=True)]
        known = {(row["prompt"], row["id"], row["asked"]): row for row in read_rows(path)}
        lacking = [number for number, place in enumerate(places) if place not in known]
        inputs = [asked[number]["question"] for number in lacking]
        for at, solution in chain.batch_as_completed(inputs, {"max_concurrency": ROWS}):
            number = lacking[at]
            row = _row(task, asked[number], solution.text, solution.answer)
            row |= {"prompt": way, "asked": keys[number], "finish": solution.stopped}
            row |= {
                "version": version,
                "guessed": solution.guessed,
                "tokens": solution.usage.completion_tokens,
            }
            known[places[number]] = row
            add_rows(path, [row])
            tell(f"product {way} {row['id']}: {row['answer']}, right: {row['right']}")
        return [known[place] for place in places]


def _digest(asked: Any) -> str:
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def _row(task: str, record: Row, text: str, answer: str | None) -> Row:
    known = get_task(task)
    gold = known.gold(record["answer"]) or record["answer"]
    right = grade(answer, gold, known) == "right"
    return {"id": record["id"], "text": text, "answer": answer, "right": right}
