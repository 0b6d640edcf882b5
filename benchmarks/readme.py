"""Write the results in README.md and docs/ from the recorded ones, so that none is typed by hand.

python benchmarks/readme.py            # write
python benchmarks/readme.py --quick    # only say whether the documents are up to date
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = Path(__file__).parent / "results"
PACKAGE: Final = ROOT / "langchain_qstar"

METHODS: Final = {
    "greedy": ("greedy", "one pass"),
    "self_consistency": ("self-consistency", "most frequent answer"),
    "self_consistency_checked": ("self-consistency, checked", "of samples that fail no check"),
    "best_of_n": ("best-of-N", "by the bundled Q head"),
    "best_of_n_vote": ("best-of-N, weighted vote", "the same scores"),
    "qstar_unchecked": ("Q\\* without checks", "the bundled Q head"),
    "qstar": ("**Q\\***", "the bundled Q head; a failed step is pruned"),
}


def recorded(name: str) -> dict[str, Any]:
    """One file of results."""
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return document


def accuracy() -> str:
    """The table of methods, and what Q* adds to each."""
    run, tuning = recorded("accuracy"), recorded("tuning")
    f = run["figures"]
    rows = [
        f"| {name} | {f[method]:.1%} | {f[f'low_{method}']:.1%} to {f[f'high_{method}']:.1%} "
        f"| {f[f'tokens_{method}']:.0f} | {note} |"
        for method, (name, note) in METHODS.items()
    ]
    others = [method for method in METHODS if method != "qstar"]
    more = [
        f"| {METHODS[method][0]} | {100 * f[f'qstar_over_{method}']:+.1f} "
        f"| {100 * f[f'low_qstar_over_{method}']:+.1f} to "
        f"{100 * f[f'high_qstar_over_{method}']:+.1f} | {verdict(f, method)} |"
        for method in others
    ]
    return f"""\
Test split of the bundled model, {run["n"]} problems of 2 to 10 steps, 95 % intervals. Settings were
chosen for every method on {tuning["n"]} problems of the development split
(`python benchmarks/accuracy.py --tune --record`, then `--full --record`; two CPU cores).

| method | right | interval | tokens a question | |
|---|---|---|---|---|
{chr(10).join(rows)}

| Q\\* minus | points | paired interval | |
|---|---|---|---|
{chr(10).join(more)}
"""


def verdict(figures: dict[str, float], method: str) -> str:
    """What the interval of a difference says."""
    low, high = figures[f"low_qstar_over_{method}"], figures[f"high_qstar_over_{method}"]
    if low > 0:
        return "Q\\* is better"
    return "Q\\* is worse" if high < 0 else "not decided by so few problems"


def overhead() -> str:
    """What LangGraph and the search cost."""
    f = recorded("graph")["figures"]
    return f"""\
What LangGraph and the search cost by themselves, with a model that takes no time
(`python benchmarks/graph.py --full --record`):
{f["ms_per_expansion"]:.2f} ms an expansion; at 5,000 nodes {f["flatness"]:.2f} times that at 50.
"""


def engine() -> str:
    """Our search against raw decoding, and others against our search."""
    f = recorded("engine")["figures"]
    rows = "\n".join(
        f"| {n} | {f[f'search_over_ceiling_{n}']:.2f} | {f[f'naive_over_search_{n}']:.1f} "
        f"| {f[f'nrs_over_search_{n}']:.1f} |"
        for n in (1, 4, 16)
    )
    return f"""\
CPU seconds, a random Llama of 28M parameters, one thread
(`python benchmarks/engine.py --full --record`):

| at once | search ÷ raw decoding | `generate` a sample ÷ search | `n` sequences ÷ search |
|---|---|---|---|
{rows}

Raw decoding is the model's bare forward pass on a full batch. `n` sequences is `generate` with
`num_return_sequences`.
"""


def llamacpp() -> str:
    """Llama.cpp beside its own bare calls, and beside transformers."""
    run, same = recorded("engine_llamacpp"), recorded("llamacpp")
    f, g = run["figures"], same["figures"]
    return f"""\
On llama.cpp (`{run["command"]}`), CPU seconds, the same model, eight questions at
once: the search takes {f["llamacpp_over_ceiling"]:.2f} times as long as bare `llama_decode` on a
full batch, and `create_completion` a sample with its own prefix match
{f["llamacpp_speedup_8"]:.2f} times as long as the search.

The same seeded search on transformers and on llama.cpp, the bundled model in float32,
{g["problems"]} problems (`{same["command"]}`): the same answer on {g["same_answers"]:.0%}, the same
tree down to every step on {g["same_trees"]:.0%}.
"""


def rows() -> str:
    """Rows of a model of 0.5B in the engine beside bare rows."""
    if not (RESULTS / "engine_rows.json").exists():
        return "Not recorded yet: `python benchmarks/engine.py --full --rows --record`.\n"
    run = recorded("engine_rows")
    f = run["figures"]
    table = "\n".join(
        f"| {n} | {f[f'engine_over_raw_{n}']:.2f} | {f[f'shared_over_raw_{n}']:.2f} "
        f"| {_or_none(f, f'transformers_over_raw_{n}')} |"
        for n in (8, 24, 48)
    )
    return f"""\
CPU seconds a token that the model reads, {run["model"]}, 300 tokens before each row, one thread
(`{run["command"]}`):

| rows | a memory for each ÷ bare decoding | one memory for all ÷ that | transformers ÷ its own |
|---|---|---|---|
{table}

Bare decoding is `llama_decode`, with a memory for each row; on transformers, with random weights of
the same shape, the forward pass in a static cache. Memory without the cache that was asked for:
{f["memory_over_weights"]:.2f} times the weights.
"""


def endurance() -> str:
    """What thousands of questions, odd texts, misdeeds and kills came to."""
    texts, misdeeds, kills = (recorded(name) for name in ("foreign_text", "attacks", "kills"))
    t, m, shapes = texts["figures"], misdeeds["figures"], kills["figures"].values()
    killed, differ, again = (
        sum(shape[name] for shape in shapes)
        for name in ("kills", "trees_differ", "repeated_finished")
    )
    run = recorded("endurance")
    f = run["figures"]
    errors, over = t["errors"] + t["check_errors"], 1000 * m["over_deadline"]
    tried, contained = (
        ", ".join(f"{m[f'{kind}_{name}']} of {kind}" for kind in ("servers", "stores", "templates"))
        for name in ("tried", "contained")
    )
    return f"""\
- {f["questions"]:,} questions in one process, 64 at a time, {f["given_up"]} of them given up at
  random (`{run["command"]}`): {f["errors"]} errors. In the
  second half, when caches are full, {f["growth_mb"]:+.0f} MiB a thousand questions; between two
  looks differed at most: descriptors {f["descriptors"]}, threads {f["threads"]} (those of searches
  in flight, which are fewer in the end), temporary files {f["files"]}.
- {t["texts"]:,} odd texts through {t["readers"]} readers of answers, checks of arithmetic,
  splitters and renderers, and {t["checks"]:,} through the symbolic check and the comparison of
  LaTeX (`{texts["command"]}`): {errors} exceptions; the
  slowest call took {t["slowest_s"]:.2f} s, the slowest of those that compute algebra in a process
  of their own {t["slowest_check_s"]:.2f} s.
- Misdeeds (`{misdeeds["command"]}`): {tried}; contained
  {contained}; {over:.0f} ms beyond the deadline at most, {m["growth_mb"]:.0f} MiB of memory for
  the largest reply.
- {killed} kills (`kill -9`) of stored searches, alone and in larger programs
  (`{kills["command"]}`): {differ} of the resumed ones ended in another
  tree, and {again} expansions were made twice that were not in flight.
"""


def _or_none(figures: dict[str, Any], name: str) -> str:
    return f"{figures[name]:.2f}" if name in figures else "not measured"


def labels() -> str:
    """Ways to make labels and kinds of heads."""
    run = recorded("labels")
    f = run["figures"]
    rows = [
        f"| {said} | {per_cent(f, f'auc_{name}', 2)} | {per_cent(f, f'qstar_{name}')} "
        f"| {per_cent(f, f'best_of_n_{name}')} |"
        for name, said in LABELS.items()
    ]
    return f"""\
{run["questions"]} problems labelled, {run["n"]} of the test split searched, 2,000 tokens a question
(`{run["command"]}`); each share has a 95 % interval of about
±{100 * (f["high_qstar_mean"] - f["low_qstar_mean"]) / 2:.0f} points:

| scorer | AUC within a problem | Q\\* | best-of-N |
|---|---|---|---|
{chr(10).join(rows)}

AUC is that of whole solutions of {run["questions"] * 15 // 100} held-out problems, half as many
for completions.
"""


def per_cent(f: dict[str, float], name: str, digits: int = 0) -> str:
    """A share, or a figure with so many digits, if it was measured."""
    if name not in f:
        return ""
    return f"{f[name]:.{digits}f}" if digits else f"{f[name]:.1%}"


LABELS: Final = {
    "log_probability": "log-probability of the policy, nothing trained",
    "best": "best return of the rollouts by a step (paper, construction 2)",
    "mean": "mean return of the same rollouts",
    "linear": "the same, linear head",
    "pairwise": "the same, pairwise loss",
    "fitted_q": "fitted Q-iteration (construction 1)",
    "completed": "mean return of completions from each step (construction 3)",
    "as_reward": "`mean` as process reward g (min), no Q",
    "both": "`mean` as process reward g (min) and Q",
}
RSTAR: Final = {
    "rstar_self": "rStar, nano verifies itself",
    "rstar_peer": "rStar, `nano-verifier` verifies",
}
WEAKER: Final = {
    "generator_maj_weaker": "8 rollouts, majority",
    "rstar_self_weaker": "rStar, `nano-verifier` verifies itself",
    "rstar_stronger": "rStar, nano verifies",
}
ABLATED: Final = {
    "actions_a3": "`subquestion`",
    "actions_a3_a5": "and `rephrase`",
    "actions_a3_a5_a4": "and `re_answer`",
    "actions_a3_a5_a4_a2": "and `finish`",
    "rap_8": "`subquestion` alone, 8 rollouts (RAP)",
}


def peer_told(f: dict[str, float]) -> str:
    """What the second bundled model adds as verifier, and what its agreement is worth."""
    gain, low, high = (100 * f[f"{side}peer_over_generator_maj"] for side in ("", "low_", "high_"))
    agreed = round(f["coverage"] * f["n_search"])
    alone = {
        name: json.loads((PACKAGE / name / "figures.json").read_text("utf-8"))["greedy"]
        for name in ("nano", "nano_verifier")
    }
    return f"""\
What `nano-verifier` adds to the tree's majority: {gain:+.1f} points ({low:+.1f} to
{high:+.1f}). Greedily it solves {alone["nano_verifier"]:.1%} of the problems of its card,
nano {alone["nano"]:.1%}.
Of the {agreed} answers it agrees with {f["verified_precision"]:.0%} are right, and it agrees with
{f["verified_recall"]:.0%} of the right ones."""


def rstar() -> str:
    """RStar beside votes, with verifiers."""
    run = recorded("rstar")
    f = run["figures"]
    commands = {part: each["command"] for part, each in run["runs"].items()}
    names = {
        name: f"{name.rpartition('_')[2]} samples, majority"
        for name in ("self_consistency_16", "self_consistency_64")
    }
    names |= {
        name: f"{name.rpartition('_')[2]} rollouts, majority"
        for name in f
        if name.startswith("generator_maj_") and name.rpartition("_")[2].isdigit()
    }
    over = "generator_maj_over_self_consistency"
    gain, low, high = (100 * f[f"{side}{over}"] for side in ("", "low_", "high_"))
    drawn, rounds = f["completions_share_32"], f["rounds_32"]
    votes = run["settings"]["num_last_votes"]
    peer = peer_told(f)
    return f"""\
Test split of the bundled model, {f["n_search"]:.0f} problems, 95 % intervals; {votes} votes a
solution instead of the paper's 32 (`{commands["search"]}`, two CPU cores):

![Shares right against tokens](rollouts.svg)

{shares_of(f, names | RSTAR)}

The tree's majority minus that of samples at the same tokens, or of 64: {gain:+.1f} points
({low:+.1f} to {high:+.1f}). {peer}
With a scripted model that agrees with itself 8 times of 10, 32 rollouts draw {drawn:.0%} of all
votes in {rounds:.0f} rounds of the model.

{stronger_told(f, commands["weaker"])}
Which actions an expansion has, {f["n_actions"]:.0f} problems, 4 rollouts where none are named,
majority (`{commands["actions"]}`):

{shares_of(f, ABLATED)}
"""


def stronger_told(f: dict[str, float], command: str) -> str:
    """What nano adds as verifier of what the other bundled model wrote."""
    gain, low, high = (
        100 * f[f"{side}stronger_over_generator_maj"] for side in ("", "low_", "high_")
    )
    return f"""\
The other way round `nano-verifier` writes and nano verifies:
{f["n_weaker"]:.0f} problems (`{command}`).

{shares_of(f, WEAKER)}

Nano as verifier adds {gain:+.1f} points ({low:+.1f} to {high:+.1f}) to that tree's majority.
"""


def shares_of(f: dict[str, float], names: dict[str, str]) -> str:
    """A table of shares with their intervals and tokens."""
    rows = [
        f"| {said} | {f[name]:.1%} | {f[f'low_{name}']:.1%} to {f[f'high_{name}']:.1%} "
        f"| {f[f'tokens_{name}']:,.0f} |"
        for name, said in names.items()
        if name in f
    ]
    return f"""\
| method | right | interval | tokens a question |
|---|---|---|---|
{chr(10).join(rows)}"""


def sweeps() -> str:
    """The curves of lambda and K."""
    run = recorded("sweeps")
    lam, k = (axis(run["figures"], name) for name in ("lambda", "k"))
    return f"""\
Development split of the bundled model, {run["n"]} problems, 2,000 tokens a question, 95 % intervals
(`{run["command"]}`):

![Shares right for values of λ](lambda.svg)
![Shares right for values of K](k.svg)

As numbers, by λ: {lam}. By K: {k}.
"""


def axis(figures: dict[str, float], name: str) -> str:
    """One curve in words: what was set, and the share right with it."""
    points = [key for key in figures if key.startswith(f"{name}_")]
    return ", ".join(f"{key.removeprefix(f'{name}_')} {figures[key]:.1%}" for key in points)


SIDES: Final = {
    "greedy": "**through the product**, greedy",
    "zero_shot": "plain: zero-shot chat",
    "few_shot": "plain: 8 examples, no template",
    "ours": "plain: the product's prompt as text",
    "base_greedy": "**as a base model**, through the product",
    "base_plain": "plain: the same text",
}
TASK_NAMES: Final = {"gsm8k": "GSM8K", "svamp": "SVAMP", "multiarith": "MultiArith"}


def real() -> str:
    """A pretrained model through the package and by plain prompts."""
    run = recorded("real")
    f, model = run["figures"], run["model"]
    rows = [
        f"| {shown} | " + " | ".join(share(f, f"{task}_{side}") for task in TASK_NAMES) + " |"
        for side, shown in SIDES.items()
        if any(f"{task}_{side}" in f for task in TASK_NAMES)
    ]
    differences = "; ".join(
        f"{name} {100 * f[f'{task}_difference']:+.0f} "
        f"({100 * f[f'low_{task}_difference']:+.0f} to {100 * f[f'high_{task}_difference']:+.0f})"
        for task, name in TASK_NAMES.items()
    )
    return f"""\
`{model["file"]}` of `{model["repository"]}`, the first {f["recorded_n"]} questions of each test
set, share right with its 95 % interval and tokens a question (`{run["command"]}`):

| | {" | ".join(TASK_NAMES.values())} |
|---|{"---|" * len(TASK_NAMES)}
{chr(10).join(rows)}

The product minus the better of the plain prompts, in points with the paired 95 % interval:
{differences}. Answers without a calculation: {f["bare_answers"]:.1%}; greedy solutions without
an answer: {f["unparsed_greedy"]:.1%}{samples(f)}. {run["note"]}
"""


def share(figures: dict[str, float], name: str) -> str:
    """One cell: a share, its interval, and what it cost."""
    if name not in figures:
        return "not measured"
    low, high = figures[f"low_{name}"], figures[f"high_{name}"]
    return f"{figures[name]:.0%} ({low:.0%} to {high:.0%}), {figures[f'tokens_{name}']:.0f}"


def samples(figures: dict[str, float]) -> str:
    """What the banks say of samples."""
    if "unparsed_samples" not in figures:
        return ""
    return (
        f"; samples at temperature 0.8 that ended by themselves without an answer: "
        f"{figures['unparsed_samples']:.1%}, {figures['unparsed_asked']:.1%} once asked for it"
    )


SEARCHED: Final = {
    "greedy": "greedy",
    "vote": "votes",
    "checked_vote": "votes of what no check refutes",
    "best_of_n": "best-of-N by log-probability of the path",
    "qstar": "**Q\\***, log-probability of the path",
    "qstar_step": "Q\\*, log-probability of the last step",
    "qstar_agreement": "Q\\*, agreement of the samples",
    "qstar_head": "Q\\*, a trained head",
    "weighted_head": "weighted votes by the head",
    "rstar_4": "rStar, four times the tokens",
    "rstar_8": "rStar, eight times the tokens",
}


def search() -> str:
    """Searches on a pretrained model beside votes."""
    if not (RESULTS / "search.json").exists():
        return "Not recorded yet.\n"
    run = recorded("search")
    f, model = run["figures"], run["model"]
    tasks = {**TASK_NAMES, "plain_words": "plain words"}
    tables = [
        _searched(f, task, name)
        for task, name in tasks.items()
        if any(f"{task}_{way}" in f for way in SEARCHED)
    ]
    replayed = "".join(
        _replayed(f, task, name) for task, name in tasks.items() if f"{task}_replayed_vote" in f
    )
    return f"""\
{model["name"]} (`{model["repository"]}`) {ENGINES[run["engine"]]}, {run["cap"]} tokens a question
at most, but for greedy and rStar:

{chr(10).join(tables)}{replayed}"""


ENGINES: Final = {
    "llamacpp": "on llama.cpp",
    "transformers": "dequantised, on transformers in float32",
}
SCORERS: Final = {
    "path": "all tokens of the path",
    "last_step": "the last step",
    "step_mean": "the mean of the steps",
    "surprises": "the least expected tenth of the tokens",
}
"""What log-probabilities are of, by the names of `real_models/replayed_search.py`."""


def _replayed(f: dict[str, Any], task: str, name: str) -> str:
    """What one bank says of searches and votes with the very same samples."""
    told = "; ".join(
        f"{said} {share(f, key)} tokens, {100 * f[f'{key}_minus_vote']:+.0f} "
        f"({100 * f[f'low_{key}_minus_vote']:+.0f} to {100 * f[f'high_{key}_minus_vote']:+.0f})"
        for scorer, said in SCORERS.items()
        if (key := f"{task}_replayed_{scorer}") in f
    )
    votes = share(f, f"{task}_replayed_vote")
    return f"""
{name}, on the very same samples as the checked vote, in every order ({votes} tokens):
Q\\* by log-probabilities of {told}.
"""


def _searched(f: dict[str, Any], task: str, name: str) -> str:
    rows = []
    beside = "vote" if f"{task}_checked_vote" in f else "greedy"
    for way, shown in SEARCHED.items():
        if (key := f"{task}_{way}") not in f:
            continue
        difference = ""
        if (minus := f"{key}_minus_{beside}") in f:
            low, high = (100 * f[f"{side}{minus}"] for side in ("low_", "high_"))
            difference = f"{100 * f[minus]:+.0f} ({low:+.0f} to {high:+.0f})"
            difference += ", undecided" if f[f"undecided_{minus}"] else ""
        searched = way != "greedy"
        collected = f"{f[f'collected_{key}']:.1f}" if searched else "1"
        completed = f"{f[f'fallback_{key}']:.0%}" if searched else ""
        rows.append(
            f"| {shown} | {f[f'questions_{key}']} | {share(f, key)} | {collected} "
            f"| {completed} | {difference} |"
        )
    said = "checked" if beside == "vote" else beside
    return f"""\
| {name} | questions | right, tokens | solutions | completed | minus {said} |
|---|---|---|---|---|---|
{chr(10).join(rows)}
"""


def heads() -> str:
    """A trained head on a pretrained model beside log-probabilities."""
    if not (RESULTS / "heads.json").exists():
        return "Not recorded yet: `python benchmarks/heads.py`.\n"
    run = recorded("heads")
    f = run["figures"]

    def interval(name: str, factor: int = 1, form: str = ".2f") -> str:
        value, low, high = (factor * f[f"{side}{name}"] for side in ("", "low_", "high_"))
        return f"{value:{form}} ({low:{form}} to {high:{form}})"

    ranked = "\n".join(
        f"| {said} | {interval(f'auc_{place}_head')} | {interval(f'auc_{place}_path')} "
        f"| {interval(f'auc_{place}_last_step')} "
        f"| {interval(f'auc_{place}_head_minus_path', form='+.2f')} |"
        for place, said in ((50, "50 % of the steps"), (75, "75 %"), (100, "the end"))
    )
    used = "\n".join(
        f"| {said} | {f[f'best_{name}']:.0%} | {f[f'weighted_{name}']:.0%}, "
        f"{interval(f'weighted_over_vote_{name}', 100, '+.0f')} | {f[f'search_{name}']:.0%}, "
        f"{interval(f'search_{name}_minus_vote', 100, '+.0f')} | {f[f'search_tokens_{name}']:.0f} |"
        for name, said in (
            ("head", "the head"),
            ("path", "log-probability of the path"),
            ("last_step", "of the last step"),
        )
    )
    return f"""\
{f["questions"]} test questions, {f["samples"]} samples each; {f["mixed"]} of them have right and
wrong samples. How often a right one has the higher value than a wrong one of the same question:

| read at | the head | log-probability of the path | of the last step | head minus path |
|---|---|---|---|---|
{ranked}

What these values are worth. The plain vote of {f["samples"]} is right on {f["vote"]:.0%};
the checked vote within {run["cap"]} tokens, in every order, on {f["search_vote"]:.0%}
({f["search_tokens_vote"]:.0f} tokens):

| values | best-of-N | weighted vote, over the vote | Q\\*, over the checked vote | its tokens |
|---|---|---|---|---|
{used}
"""


SECTIONS: Final = {
    "heads": heads,
    "real": real,
    "search": search,
    "results": lambda: f"{accuracy()}\n{overhead()}",
    "endurance": endurance,
    "engine": engine,
    "llamacpp": llamacpp,
    "rows": rows,
    "labels": labels,
    "rstar": rstar,
    "sweeps": sweeps,
}


def documents() -> dict[Path, str]:
    """The texts that may hold results."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
    return {path: path.read_text("utf-8") for path in paths}


def filled(text: str) -> str:
    """`text` with what stands between each pair of marks written anew."""
    for name, section in SECTIONS.items():
        head, start, rest = text.partition(f"<!-- {name}:start -->\n")
        _, end, tail = rest.partition(f"<!-- {name}:end -->")
        if end:
            text = f"{head}{start}{section()}{end}{tail}"
    return text


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="write nothing, only compare")
    options = parser.parse_args()
    texts = documents()
    stale = {path: fresh for path, text in texts.items() if (fresh := filled(text)) != text}
    for path, fresh in stale.items():
        sys.stderr.write(f"{path.relative_to(ROOT)} is {'stale' if options.quick else 'written'}\n")
        if not options.quick:
            path.write_text(fresh, "utf-8")
    sys.stdout.write(f"up_to_date: {int(not options.quick or not stale)}\n")
    return int(options.quick and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
