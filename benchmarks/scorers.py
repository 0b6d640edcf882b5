"""Which value of a step guides a search on a model that nothing was trained for.

    python benchmarks/scorers.py --quick                         # the packed banks
    python benchmarks/scorers.py --rows DRAWN.jsonl              # steps with log-probabilities
    python benchmarks/scorers.py --bank results/banks/NAME.jsonl.xz  # of the train split
    python benchmarks/scorers.py --rows DRAWN.jsonl --policy gguf:FILE --bare   # question, too

A choice is made on train questions only: a bank of another split is refused. Rows are solutions
that were drawn a step at a time (`real_models/stepwise.py`), packed or not; of a bank that keeps
texts only, `--policy` reads the log-probabilities again. `--bare` reads them once more without
the question, for the candidate `question`; `read_tokens` says what that costs.

Figures for each candidate of `real_models/candidates.py`, with low_ and high_ (95 %, bootstrap
over questions):

auc_50_NAME, _75_, _100_  the chance that, at that share of its steps, a right sample of a
                          question has the higher value than a wrong one of the same question
best_NAME, weighted_NAME  share right of best-of-N, and of the vote weighted by the value at the end
weighted_over_vote_NAME   paired difference to the plain vote
idle_wins_NAME            of pairs of steps of a question at the same place, one of which finds a
                          number and one of which does not (it copies, announces or repeats): how
                          often the idle one has the higher value; ties count half

`questions`, `mixed` (with right and wrong samples, of which alone the AUC is) and `samples` say
how much there is.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from real_models.candidates import CANDIDATES, Asked, Candidate, Tried
from real_models.files import AbsentError, records
from real_models.valuing import figures, tried

from langchain_qstar.evaluation.banks import read_bank, reread, restored
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.evaluation.recording import print_figures, tell
from langchain_qstar.evaluation.rows import read_rows
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.protocols import State, Step, Task
from langchain_qstar.scoring.identity import ReadingPolicy
from langchain_qstar.stepping.splitting import pieces
from langchain_qstar.tasks import fit_task, get_task

BANKS: Final = Path(__file__).parent / "results" / "banks"


def from_rows(path: Path, task: str, count: int | None) -> list[Asked]:
    """Questions whose steps were drawn one at a time.

    Raises:
        AbsentError: The questions are not there.
    """
    questions = {each["id"]: each for each in records(f"{task}_train")}
    known = get_task(task)
    drawn: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_rows(path):
        drawn[row["id"]].append(row)
    asked = []
    for name, rows in list(drawn.items())[:count]:
        if name not in questions:
            raise AbsentError(f"{name} is no question of the train split of {task}")
        samples = sorted(rows, key=lambda row: row["number"])
        gold = known.right_answer(questions[name]["answer"])
        drawn_samples = [restored(row["sample"]) for row in samples]
        found = (tried(each, gold, known) for each in drawn_samples if each.steps)
        asked.append(Asked(questions[name]["question"], tuple(found)))
    return asked


def from_bank(path: Path, policy: ReadingPolicy | None, count: int | None) -> list[Asked]:
    """Questions of a bank, whose steps the policy reads where the bank has none.

    Raises:
        AbsentError: It is not of the train split, or there is no policy to read it.
    """
    bank = read_bank(path)
    if bank.about["split"] != "train":
        raise AbsentError(f"{path.name} is of the {bank.about['split']} split; choose on train")
    known = get_task(bank.about["task"])
    if all(one.steps for each in bank.questions for one in each.samples):
        return [
            Asked(each.question, tuple(tried(one, each.gold, known) for one in each.samples))
            for each in bank.questions[:count]
        ]
    if policy is None:
        raise AbsentError(f"{path.name} has no log-probabilities; give the --policy that reads it")
    task = fit_task(known, policy)  # type: ignore[arg-type]
    asked = []
    for each in bank.questions[:count]:
        read = reread(each, task)
        samples = [
            Tried(
                tuple(Step(text) for text in pieces(one.sample.text, task)),
                one.sample.answer,
                one.sample.answer is not None
                and grade(one.sample.answer, each.gold, task) == "right",
            )
            for one in read.samples
            if one.sample.text
        ]
        asked.append(with_logprobs(Asked(each.question, tuple(samples)), policy, task))
    return asked


def with_logprobs(asked: Asked, policy: ReadingPolicy, task: Task) -> Asked:
    """The same with the log-probabilities of every step, as the policy reads it now."""
    read = iter(_read(asked, policy, task.messages(asked.question)))
    samples = tuple(
        replace(one, steps=tuple(replace(step, logprobs=next(read)) for step in one.steps))
        for one in asked.samples
    )
    return Asked(asked.question, samples)


def with_bare(asked: Asked, policy: ReadingPolicy, task: Task) -> Asked:
    """The same with what the steps are worth where the question is left out of the prompt."""
    read = iter(_read(asked, policy, task.messages("(The question is not shown.)")))
    samples = tuple(
        replace(one, bare=tuple(next(read) for _ in one.steps)) for one in asked.samples
    )
    return Asked(asked.question, samples)


def _read(
    asked: Asked, policy: ReadingPolicy, messages: tuple[tuple[str, str], ...]
) -> list[tuple[float, ...]]:
    states, steps = [], []
    for one in asked.samples:
        state = State(asked.question, messages)
        for step in one.steps:
            states.append(state)
            steps.append(step)
            state = state.then(step)
    return policy.token_logprobs(states, steps)


def _named(names: Iterable[str]) -> dict[str, Candidate]:
    return {name: CANDIDATES[name] for name in names}


def quick() -> None:
    """The figures of every packed bank that needs no policy to read it."""
    for path in sorted(BANKS.glob("*.train.*.jsonl.xz")):
        tell(path.name)
        names = [each for each in CANDIDATES if each != "question"]
        print_figures(figures(from_bank(path, None, None), _named(names)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--quick", action="store_true", help="the packed banks of train questions (the default)"
    )
    source.add_argument("--rows", type=Path, help="solutions drawn a step at a time")
    source.add_argument("--bank", type=Path, help="a bank of train questions")
    parser.add_argument("--policy", help="who reads texts, such as gguf:FILE")
    parser.add_argument("--task", default="gsm8k", help="of rows")
    parser.add_argument("--bare", action="store_true", help="read them without the question too")
    parser.add_argument("--questions", type=int, help="the first of them only")
    parser.add_argument("--scorers", nargs="*", choices=tuple(CANDIDATES), metavar="NAME")
    options = parser.parse_args()
    if options.bare and not options.policy:
        parser.error("--bare needs a --policy that reads")
    if not (options.rows or options.bank):
        quick()
        return
    policy: Any = resolve_policy(options.policy) if options.policy else None
    try:
        asked = (
            from_rows(options.rows, options.task, options.questions)
            if options.rows
            else from_bank(options.bank, policy, options.questions)
        )
    except AbsentError as error:
        sys.exit(f"{error}")
    told: dict[str, Any] = {}
    if options.bare:
        task = fit_task(get_task(options.task), policy)
        before = policy.counters.prefilled
        asked = [with_bare(each, policy, task) for each in asked]
        told["read_tokens"] = policy.counters.prefilled - before
    names = options.scorers or [each for each in CANDIDATES if each != "question" or options.bare]
    tell(f"{len(asked)} questions")
    print_figures(figures(asked, _named(names)) | told)


if __name__ == "__main__":
    main()
