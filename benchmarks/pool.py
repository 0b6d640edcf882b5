"""A bank of samples of a real model, and every figure that can be replayed from it.

    python benchmarks/pool.py --quick                                  # replay what is kept
    python benchmarks/pool.py --draw --task gsm8k --questions 150 --samples 8
    python benchmarks/pool.py --pack --task gsm8k --questions 150 --samples 8
    python benchmarks/pool.py --replay results/banks/NAME.jsonl.xz
    python benchmarks/pool.py --draw --hidden --split train --questions 300 --top-p 0.8 --top-k 20
    python benchmarks/pool.py --labels build/gsm8k.jsonl --split train --questions 300 --top-p 0.8
    qstar train build/gsm8k.jsonl --policy FOLDER --layers=-1 --features build/gsm8k.features ...

`--draw` samples solutions a step at a time through the product's policy, as searches do, with
the task's own prompt, ending where the product's solutions end. With `--hidden` it keeps what a
head reads of every step, and `--labels FILE` then writes the file that `qstar train` takes, with
FILE's features beside it: of the last layer, which is what `--layers` has to name. `--engine
transformers` runs the weights dequantised (`real_models/engines.py`), and `--after` lets two
processes share the questions. Rows are kept in build/pool and drawing
goes on after what is there, packed or not: after a kill, on another machine, with more
questions, or with more samples (of the same seeds). Another model, prompt or temperature has
rows of its own. `--pack` writes them to results/banks, compressed, with what they are of;
`--split train` is the development split. A sample that ended without an answer is asked for it
once, as the product does; what it says then is kept apart from its text.

Figures of a replay, printed last, with low_ and high_ (95 %, over questions):

pass_K                 a sample of K is right (unbiased)
vote_K, checked_vote_K the commonest answer of K samples, and of those without a failed check
wrong_beats_right      of questions with a right sample: a wrong answer has more votes
wrong_ties_right       as many
best_logprob_N         best-of-N by the log-probability of the text; best_mean_logprob of a token
NAME_over_vote         paired difference to the vote
confidence             the winner's share of the samples; its Brier score and the area under its
                       curve (AUC) as a forecast of being right, and the AUC of the margin over
                       the next answer
vote_margin_A_B        the vote where the margin is from A to below B %; questions_margin_ how many
solved_A_B             share of questions with A to below B % right samples; solved_never, _always
unparsed_samples       of samples that ended by themselves: without an answer; unparsed_asked
                       when asked for it, too
cut, guessed, failed   samples that were too long; answers not marked; with a failed check
right_failed           right samples of those with a failed check; right_unfailed without
reread                 answers that today's reader reads otherwise than when the bank was packed

Models such as Qwen2.5-Coder may have seen problems like these.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from real_models.drawing import banked, draw, kept, missing
from real_models.engines import ENGINES, loaded
from real_models.files import AbsentError, model_file, records, sha256, short_name
from real_models.labelled import write_labels

from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.evaluation.banks import LARGEST, Bank, read_bank, reread, write_bank
from langchain_qstar.evaluation.recording import print_figures, provenance, tell
from langchain_qstar.evaluation.replay import replayed
from langchain_qstar.evaluation.rows import add_rows, read_rows
from langchain_qstar.protocols import Task
from langchain_qstar.tasks import fit_task, get_task
from langchain_qstar.training.rollouts import LabelSettings

BANKS: Final = Path(__file__).parent / "results" / "banks"
WORK: Final = Path(__file__).resolve().parent.parent / "build" / "pool"
PACKAGES: Final = ("langchain-qstar", "llama-cpp-python", "transformers", "torch")
PROBE: Final = "PROBE"
"""A question whose prompt stands for those of all."""


def about(
    policy: str,
    file: Path,
    task: Task,
    split: str,
    parameters: SamplingParameters,
    *,
    engine: str = ENGINES[0],
) -> dict[str, Any]:
    """What samples are of; those of which any of this differs are never mixed."""
    prompt = json.dumps(task.messages(PROBE), ensure_ascii=False)
    return {
        "model": short_name(policy),
        "sha256": sha256(file),
        "task": task.name,
        "split": split,
        "prompts": task.prompts,
        "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
        **asdict(parameters),
        "max_tokens": task.solution_tokens,
        "drawn": "stepwise, with seeds of the question",
        **({"engine": engine} if engine != ENGINES[0] else {}),
    }


def rows_file(of: dict[str, Any]) -> Path:
    """Where samples are kept until they are packed."""
    key = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:12]
    return WORK / f"{bank_name(of)}.{key}.jsonl"


def bank_name(of: dict[str, Any]) -> str:
    """The beginning of a bank's file name."""
    drawn = f"t{of['temperature']:g}-p{of['top_p']:g}-k{of['top_k']}"
    engine = f".{of['engine']}" if "engine" in of else ""
    return f"{of['model']}.{of['task']}.{of['split']}.{drawn}{engine}"


def asked(task: str, split: str, count: int, after: int = 0) -> list[dict[str, Any]]:
    """The first records of a split, without the first of those."""
    return records(task if split == "test" else f"{task}_{split}", count)[after:]


def packed(
    of: dict[str, Any], task: Task, questions: Sequence[dict[str, Any]], samples: int
) -> Bank:
    """The bank of what was drawn.

    Raises:
        ValueError: Some samples are still missing.
    """
    rows = read_rows(rows_file(of))
    known = kept(rows)
    lacking = list(missing(questions, known, samples))
    if lacking:
        raise ValueError(f"{len(lacking)} questions lack samples; --draw them first")
    facts = provenance(Path(__file__), PACKAGES)
    told = {name: facts[name] for name in ("command", "date", "commit", "versions")}
    told |= {"drawn_with": sorted({row["version"] for row in rows})}
    return Bank({**of, **told}, banked(questions, known, samples, task))


def unpack(of: dict[str, Any], path: Path) -> None:
    """Make rows of a packed bank where none were drawn, so that drawing goes on from there.

    A bank of another model, prompt or temperature is left alone.
    """
    rows = rows_file(of)
    if rows.exists() or not path.exists():
        return
    bank = read_bank(path)
    if {name: bank.about.get(name) for name in of} != of:
        return
    version = " ".join(bank.about["drawn_with"])
    add_rows(
        rows,
        [
            {"id": each.id, "number": number, "version": version, "sample": one.stored()}
            for each in bank.questions
            for number, one in enumerate(each.samples)
        ],
    )


def replay(path: Path) -> dict[str, Any]:
    """The figures of a bank, with texts read as they are read today."""
    bank = read_bank(path)
    task = get_task(bank.about["task"])
    today = tuple(reread(each, task) for each in bank.questions)
    pairs = (
        pair
        for old, new in zip(bank.questions, today, strict=True)
        for pair in zip(old.samples, new.samples, strict=True)
    )
    changed = sum(old.sample.answer != new.sample.answer for old, new in pairs)
    return {**replayed(Bank(bank.about, today), task), "reread": changed}


def quick() -> None:
    """Replay every bank that is kept."""
    banks = sorted(BANKS.glob("*.jsonl.xz"))
    if not banks:
        tell("no bank is packed yet: --draw and --pack make one")
    for path in banks:
        print(f"{path.name}:")
        print_figures(replay(path))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="replay the kept banks (the default)")
    mode.add_argument("--draw", action="store_true", help="draw the samples that are missing")
    mode.add_argument("--pack", action="store_true", help="write what was drawn to results/banks")
    mode.add_argument("--labels", type=Path, help="write what was drawn as labels for qstar train")
    mode.add_argument("--replay", type=Path, help="the figures of this bank")
    parser.add_argument("--policy", default="qwen2.5-coder-0.5b", help="a known name, or gguf:FILE")
    parser.add_argument("--engine", default=ENGINES[0], choices=ENGINES, help="what runs it")
    parser.add_argument("--task", default="gsm8k")
    parser.add_argument("--split", default="test", choices=("test", "train"))
    parser.add_argument("--prompts", default="auto", help="a style of prompts, as for a chain")
    parser.add_argument("--questions", type=int, default=150)
    parser.add_argument(
        "--after",
        type=int,
        default=0,
        help="leave out the first of them: another process draws those",
    )
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=SamplingParameters().temperature)
    parser.add_argument("--top-p", type=float, default=SamplingParameters().top_p)
    parser.add_argument("--top-k", type=int, default=SamplingParameters().top_k)
    parser.add_argument(
        "--hidden", action="store_true", help="keep what a head reads, for --labels"
    )
    return parser.parse_args()


def main() -> None:
    """Command line."""
    options = _options()
    if options.replay:
        print_figures(replay(options.replay))
        return
    if not (options.draw or options.pack or options.labels):
        quick()
        return
    try:
        file = model_file(options.policy)
        questions = asked(options.task, options.split, options.questions, options.after)
    except AbsentError as error:
        tell(f"skipped: {error}")
        return
    policy = loaded(options.policy, options.engine)
    task = fit_task(get_task(options.task), policy, prompts=options.prompts)
    parameters = SamplingParameters(options.temperature, options.top_p, options.top_k)
    of = about(options.policy, file, task, options.split, parameters, engine=options.engine)
    path = BANKS / f"{bank_name(of)}.jsonl.xz"
    unpack(of, path)
    if options.draw:
        if options.hidden:
            policy.feature_layers = (-1,)
        rows = rows_file(of)
        how = {"parameters": parameters, "rows": rows, "hidden": options.hidden}
        asyncio.run(draw(policy, task, questions, options.samples, **how))
        return
    if options.labels:
        settings = LabelSettings(samples=options.samples, temperature=options.temperature)
        out, features = options.labels, options.labels.with_suffix(".features")
        drawn = read_rows(rows_file(of))
        written, mixed = write_labels(
            policy, task, questions, drawn, settings=settings, out=out, features=features
        )
        tell(f"{out}: {written} questions, {mixed} with right and wrong samples; {features}")
        return
    size = write_bank(path, packed(of, task, questions, options.samples))
    tell(f"{path.name}: {size} bytes")
    if size > LARGEST:
        sys.exit(f"{path.name} is too large for the repository: at most {LARGEST} bytes")


if __name__ == "__main__":
    main()
