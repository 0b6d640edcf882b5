"""rStar on nano's test split against self-consistency, with verifiers weak and strong.

    python benchmarks/rstar.py --quick            # a sample beside the recorded run
    python benchmarks/rstar.py --full --record    # the figures, on the test split

Tokens of verifiers count. Self-consistency is interpolated to the tokens of what it is
compared with; where its largest N has fewer, that N stands, for its curve is flat there.
`--weaker FOLDER` names another generator, which nano verifies: a model trained on fewer
tokens (`python -m langchain_qstar.training.nano --tokens ...` makes one), or the folder of
nano-verifier, which is nano's equal. `--stronger FOLDER` names a verifier trained on more.

Figures, printed last, each share with low_, high_ (95 % Wilson) and tokens_:

self_consistency_N            majority of N samples
rap_R                         sub-questions only, R rollouts, majority
generator_maj_R               all five actions, R rollouts, majority of the candidates
rstar_self, rstar_peer        the default selection after verification by nano itself, and by
                              nano-verifier, at VERIFIED rollouts
rstar_stronger                with --stronger; with --weaker for that generator, beside
                              generator_maj_weaker
VERIFIER_over_generator_maj   paired difference, with its interval
generator_maj_over_self_consistency
actions_NAME                  action subsets at 4 rollouts, majority (Table 1 in shape)
verified_precision, verified_recall, coverage, accuracy_covered    of the peer's agreement
n_PART                        problems of the parts that --only names
completions_share_32, rounds_32    of a scripted model with 80 % agreement, 32 rollouts
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from langchain_qstar.baselines.pools import curve, draw_pools, majority
from langchain_qstar.chains import RStarChain
from langchain_qstar.evaluation.intervals import interpolate, paired_difference, wilson
from langchain_qstar.evaluation.recording import (
    digests,
    print_figures,
    provenance,
    read_record,
    tell,
    work_folder,
    write_record,
)
from langchain_qstar.models.resolve import BUNDLED, resolve_policy
from langchain_qstar.problems.generator import Problem, make_problems
from langchain_qstar.protocols import Completion, Policy, SampleRequest
from langchain_qstar.rstar import create_rstar_graph, rstar_superstep_limit
from langchain_qstar.settings import RStarSettings
from langchain_qstar.settings.rstar import ACTIONS
from langchain_qstar.tasks import NANO

RESULTS: Final = Path(__file__).parent / "results" / "rstar.json"
PACKAGES: Final = ("torch", "transformers", "langgraph")
WEIGHTS: Final = "model.safetensors"
ASKED: Final = {"search": ("nano", "nano-verifier"), "actions": ("nano",), "weaker": ("nano",)}
"""The bundled models that each part asks."""
SEARCH: Final[dict[str, Any]] = {"num_votes": 3, "num_last_votes": 8, "max_depth": 8}
"""Fewer votes than the paper's 10 and 32, which cost 4,000 tokens before the first step."""
PARTS: Final = tuple(ASKED)
NEVER: Final = {"verify": "never", "selection": "majority"}
ROLLOUTS: Final = (2, 4, 8)
VERIFIED: Final = 8
SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
SUBSETS: Final = {
    "a3": ("subquestion",),
    "a3_a5": ("subquestion", "rephrase"),
    "a3_a5_a4": ("subquestion", "re_answer", "rephrase"),
    "a3_a5_a4_a2": ("finish", "subquestion", "re_answer", "rephrase"),
}


@dataclass(frozen=True)
class Row:
    """What one method did with one question."""

    method: str
    number: int
    right: bool
    tokens: int
    verified: bool
    """Whether the verifier agreed with the answer, and no check failed a step."""


class Remembered:
    """A policy whose completions are kept, so that runs that share a tree draw it once.

    Usage is as if each run had drawn its own.
    """

    def __init__(self, policy: Policy) -> None:
        """Keep what `policy` draws."""
        self._policy = policy
        self._known: dict[Any, Completion] = {}

    @property
    def name(self) -> str:
        """That of the policy."""
        return self._policy.name

    @property
    def window(self) -> int | None:
        """That of the policy."""
        return self._policy.window

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text`."""
        return self._policy.count_tokens(text)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """Draw what is not known yet."""
        missing = [(key, each) for each in requests for key in self._keys(each)]
        fresh = {key: self._only(each, key[-1]) for key, each in missing if key not in self._known}
        drawn = self._policy.sample(list(fresh.values())) if fresh else []
        self._known |= {key: group[0] for key, group in zip(fresh, drawn, strict=True)}
        return [[self._known[key] for key in self._keys(each)] for each in requests]

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`, blocking."""
        return self.sample(requests)

    @staticmethod
    def _keys(request: SampleRequest) -> list[tuple[Any, ...]]:
        texts = (request.state.messages, request.state.text, request.prefill, request.stop)
        how = (request.max_tokens, request.temperature, request.top_p, request.top_k)
        return [(*texts, *how, seed) for seed in request.seeds]

    @staticmethod
    def _only(request: SampleRequest, seed: int) -> SampleRequest:
        return replace(request, seeds=(seed,))


class Agreeing:
    """A policy that writes nano's formats at once, and says the same number 8 times of 10."""

    name, window = "agreeing", None

    def count_tokens(self, text: str) -> int:
        """Number of words."""
        return len(text.split())

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """One text a seed."""
        return [[self._said(each, seed) for seed in each.seeds] for each in requests]

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`."""
        return self.sample(requests)

    @staticmethod
    def _said(request: SampleRequest, seed: int) -> Completion:
        draw = random.Random(seed)
        number = 42 if draw.random() < 0.8 else draw.randint(0, 30)
        lines = {
            "Q:": f"Q: How many are in box {seed % 997}?\n",
            "A:": f"A: There are {number}.\n",
            "Rephrase:": "Rephrase: 1) There are boxes. Question: How many things are there?\n",
        }
        text = lines.get(request.prefill, f"Box {seed % 997} is counted.\n")
        if not request.stop:
            text += f"The answer is {number}.\n"
        return Completion(text, generated=len(text.split()))


def scripted() -> dict[str, float]:
    """Rounds of the model and the share of votes drawn, at the paper's 32 rollouts."""
    settings = RStarSettings(num_rollouts=32, verify="never", selection="majority")
    graph = create_rstar_graph(Agreeing(), task=NANO, settings=settings).compile()
    rounds, beside, solution = 0, [0], {}
    for update in graph.stream(
        {"question": "How many things are there?"},
        {"recursion_limit": rstar_superstep_limit(settings)},
        stream_mode="updates",
    ):
        for name, value in update.items():
            if name in ACTIONS:
                beside.append(value["usage"].get("calls", 0))
            elif name == "backup":
                rounds, beside = rounds + max(beside), [0]
            elif name == "answer":
                solution = value["solution"]
    voted = [node for node in solution["tree"] if node["votes"]]
    asked = sum(
        settings.num_last_votes if node["terminal"] else settings.num_votes for node in voted
    )
    drawn = sum(node["votes"] for node in voted)
    return {"completions_share_32": drawn / asked, "rounds_32": float(rounds)}


def run(method: str, chain: RStarChain, problems: Sequence[Problem], done: Path) -> list[Row]:
    """One row a question; what is in `done` is not run again."""
    lines = done.read_text("utf-8").splitlines() if done.exists() else []
    known = [Row(**json.loads(line)) for line in lines]
    rows = {row.number: row for row in known if row.method == method}
    missing = [each for each in range(len(problems)) if each not in rows]
    for start in range(0, len(missing), 20):
        group = missing[start : start + 20]
        solutions = chain.batch([problems[each].question for each in group])
        fresh = [
            Row(
                method,
                number,
                solution.answer is not None
                and NANO.equivalent(solution.answer, str(problems[number].answer)),
                solution.usage.completion_tokens,
                bool(solution.agreed) and solution.verified is not False,
            )
            for number, solution in zip(group, solutions, strict=True)
        ]
        done.parent.mkdir(parents=True, exist_ok=True)
        with done.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in fresh)
        rows |= {row.number: row for row in fresh}
    found = [rows[each] for each in range(len(problems))]
    tell(f"{method}: {sum(row.right for row in found)} of {len(found)} right")
    return found


def share(name: str, right: Sequence[float], tokens: float) -> dict[str, float]:
    """A share with its interval and tokens a question."""
    low, high = wilson(sum(right), len(right))
    mean = sum(right) / len(right)
    return {name: mean, f"low_{name}": low, f"high_{name}": high, f"tokens_{name}": tokens}


def shares(name: str, rows: Sequence[Row]) -> dict[str, float]:
    """As `share`, of rows."""
    tokens = sum(row.tokens for row in rows) / len(rows)
    return share(name, [float(row.right) for row in rows], tokens)


def difference(name: str, a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """A paired difference with its interval."""
    mean, low, high = paired_difference(a, b)
    return {name: mean, f"low_{name}": low, f"high_{name}": high}


def right_of(rows: Sequence[Row]) -> list[float]:
    """1 or 0 a question."""
    return [float(row.right) for row in rows]


def sampled(
    problems: Sequence[Problem],
) -> tuple[dict[str, float], list[tuple[float, list[float]]]]:
    """Self-consistency at every N."""
    golds = [str(problem.answer) for problem in problems]
    questions = [problem.question for problem in problems]
    policy = resolve_policy("nano")
    pools = draw_pools(questions, policy, NANO, n=max(SIZES), temperature=0.8)
    points = curve(pools, golds, NANO, majority(NANO), SIZES)
    figures: dict[str, float] = {}
    for n, (tokens, right) in zip(SIZES, points, strict=True):
        figures |= share(f"self_consistency_{n}", right, tokens)
    return figures, points


def searched(problems: Sequence[Problem], done: Path, stronger: str | None) -> dict[str, float]:
    """The bundled generator: more rollouts, then verifiers."""
    policy = Remembered(resolve_policy("nano"))
    verifiers: dict[str, Any] = {"self": policy, "peer": "nano-verifier"}
    verifiers |= {"stronger": stronger} if stronger else {}
    figures, points = sampled(problems)
    rows: list[Row] = []
    for rollouts in ROLLOUTS:
        settings = {**SEARCH, **NEVER, "num_rollouts": rollouts}
        rows = run(f"generator_maj_{rollouts}", chain(policy, settings), problems, done)
        figures |= shares(f"generator_maj_{rollouts}", rows)
    generator = right_of(rows)
    tokens = figures[f"tokens_generator_maj_{ROLLOUTS[-1]}"]
    sampled_right = [
        interpolate([(spent, right[each]) for spent, right in points], tokens)
        for each in range(len(problems))
    ]
    figures |= difference("generator_maj_over_self_consistency", generator, sampled_right)
    for name, verifier in verifiers.items():
        settings = {**SEARCH, "num_rollouts": VERIFIED}
        found = run(f"rstar_{name}", chain(policy, settings, verifier), problems, done)
        figures |= shares(f"rstar_{name}", found)
        figures |= difference(f"{name}_over_generator_maj", right_of(found), generator)
        if name == "peer":
            figures |= trust(found)
    return figures


def ablated(problems: Sequence[Problem], done: Path) -> dict[str, float]:
    """Subsets of the actions, and RAP."""
    figures: dict[str, float] = {}
    policy = Remembered(resolve_policy("nano"))
    for name, actions in SUBSETS.items():
        settings = {**SEARCH, **NEVER, "num_rollouts": 4, "actions": actions}
        rows = run(f"actions_{name}", chain(policy, settings), problems, done)
        figures |= shares(f"actions_{name}", rows)
    settings = {**SEARCH, **NEVER, "num_rollouts": VERIFIED, "actions": SUBSETS["a3"]}
    rows = run(f"rap_{VERIFIED}", chain(policy, settings), problems, done)
    return figures | shares(f"rap_{VERIFIED}", rows)


def weaker_pair(problems: Sequence[Problem], done: Path, weaker: str) -> dict[str, float]:
    """A weaker generator, verified by itself and by the bundled model."""
    policy = Remembered(resolve_policy(weaker))
    settings = {**SEARCH, "num_rollouts": VERIFIED}
    majority_rows = run(
        "generator_maj_weaker", chain(policy, {**settings, **NEVER}), problems, done
    )
    figures = shares("generator_maj_weaker", majority_rows)
    for name, verifier in {"self_weaker": policy, "stronger": "nano"}.items():
        rows = run(f"rstar_{name}", chain(policy, settings, verifier), problems, done)
        figures |= shares(f"rstar_{name}", rows)
        over = difference(f"{name}_over_generator_maj", right_of(rows), right_of(majority_rows))
        figures |= over
    return figures


def chain(policy: Policy, settings: dict[str, Any], verifier: Any = None) -> RStarChain:
    """RStar on the bundled task."""
    return RStarChain(policy, verifier, task="nano", settings=settings)


def trust(rows: Sequence[Row]) -> dict[str, float]:
    """What the verifier's agreement is worth, and what would be left without the others."""
    verified = [row for row in rows if row.verified]
    right = [row for row in rows if row.right]
    both = sum(row.right for row in verified)
    return {
        "verified_precision": both / max(1, len(verified)),
        "verified_recall": both / max(1, len(right)),
        "coverage": len(verified) / len(rows),
        "accuracy_covered": both / max(1, len(verified)),
    }


def full(options: argparse.Namespace) -> None:
    """All parts that were asked for; what an earlier part recorded stays."""
    problems = make_problems("test", options.problems or 100)
    parts = [part for part in PARTS if options.only in (None, part)]
    if not options.weaker and "weaker" in parts:
        parts.remove("weaker")
    read = {part: weights_read(part, options) for part in parts}
    done = {
        part: work_folder(Path(__file__), files) / f"{len(problems)}.rows.jsonl"
        for part, files in read.items()
    }
    figures = scripted()
    if "search" in parts:
        figures |= searched(problems, done["search"], options.stronger)
    if "actions" in parts:
        figures |= ablated(problems, done["actions"])
    if "weaker" in parts:
        figures |= weaker_pair(problems, done["weaker"], options.weaker)
    figures |= {f"n_{part}": float(len(problems)) for part in parts}
    if options.record:
        keep(figures, read)
    print_figures(figures)


def weights_read(part: str, options: argparse.Namespace) -> list[Path]:
    """The files of weights that a part reads."""
    named = {"search": options.stronger, "weaker": options.weaker}.get(part)
    folders = [BUNDLED[each] for each in ASKED[part]] + ([Path(named)] if named else [])
    return [folder / WEIGHTS for folder in folders]


def keep(figures: dict[str, float], read: Mapping[str, Sequence[Path]]) -> None:
    """Record the figures of parts beside those of the others, each with where it comes from."""
    before = read_record(RESULTS) if RESULTS.exists() else {"runs": {}, "figures": {}}
    runs = before["runs"] | {
        part: provenance(Path(__file__), PACKAGES, files) for part, files in read.items()
    }
    known = {"settings": SEARCH, "figures": before["figures"] | figures}
    write_record(RESULTS, {"runs": runs, **known})


def quick(count: int) -> None:
    """A small search measured here, and the recorded figures."""
    problems = make_problems("test", count)
    settings = {**SEARCH, "num_rollouts": 2}
    solutions = RStarChain("nano", task="nano", settings=settings).batch(
        [problem.question for problem in problems]
    )
    right = sum(
        solution.answer is not None and NANO.equivalent(solution.answer, str(problem.answer))
        for solution, problem in zip(solutions, problems, strict=True)
    )
    tell(f"{right} of {count} right with 2 rollouts, verified by itself")
    recorded = read_record(RESULTS)
    bundled = digests([folder / WEIGHTS for folder in BUNDLED.values()])
    agrees = all(
        bundled.get(name, digest) == digest
        for run in recorded["runs"].values()
        for name, digest in run["sha256"].items()
    )
    print_figures({**recorded["figures"], **scripted(), "agrees": int(agrees)})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="the default")
    mode.add_argument("--full", action="store_true")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    parser.add_argument("--problems", type=int, help="how many (default 4, 100)")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--stronger", help="a stronger verifier for the bundled model")
    parser.add_argument("--weaker", help="folder of another generator, which nano verifies")
    options = parser.parse_args()
    if options.full:
        full(options)
    else:
        quick(options.problems or 4)


if __name__ == "__main__":
    main()
