r"""Odd texts through everything that reads or shows what models write: errors and slow calls.

    python benchmarks/foreign_text.py --quick
    python benchmarks/foreign_text.py --full --record

Texts are made of pieces of solutions, LaTeX, numbers, tags, control characters and noise, some
of them repeated hundreds of times, from a seed. Each goes through the reading of answers, the
arithmetic check, the splitting into steps and the rendering of a solution; a part of them through
the symbolic check and the comparison of LaTeX, which compute in a process of their own. Figures,
printed last:

texts, checks         how many went through, of each kind; readers, how many each text met
errors, check_errors  exceptions
slowest_s             seconds of the processor that the slowest call took, and
slowest               which one it was
slowest_check_s       seconds by the clock that the slowest symbolic call took
over_a_second         calls that took longer than a second; checks_over_a_second, symbolic ones
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from langchain_qstar import Completion, Solution, SolutionStep, State, Step
from langchain_qstar.answers import boxes, golds, latex, numbers, words
from langchain_qstar.checks.arithmetic import check_text
from langchain_qstar.checks.latex import same_latex
from langchain_qstar.checks.symbolic import symbolic
from langchain_qstar.evaluation.recording import (
    print_figures,
    provenance,
    rounded,
    tell,
    write_record,
)
from langchain_qstar.rendering import plain, plain_lines, without_credentials
from langchain_qstar.stepping.splitting import pieces
from langchain_qstar.stepping.thinking import apart
from langchain_qstar.stepping.thoughts import calculation_end, thought_end
from langchain_qstar.tasks import TASKS

RESULTS: Final = Path(__file__).parent / "results" / "foreign_text.json"
PACKAGES: Final = ("langchain-qstar", "math-verify", "sympy")
FULL: Final = (200_000, 10_000)
"""Texts, and pairs of them for the symbolic check."""
QUICK: Final = (2_000, 100)

PIECES: Final = (
    *"0123456789+-*/=()[]{}<>$%^_.,;:!?'\"\\|&#@~`",
    *" \n\t\r\0\x1b\x7f\u00a0\u200b\u202e\u2066\ufeff\ud800½²³×÷−–—…π∞√°€",
    *("3 + 4 = 7", "1/0", "2^9^9", "9" * 400, "1e999", "0.1.2", "1,000,000", "-", "- -3", "5!"),
    *("The answer is ", "answer: ", "Final Answer", "So, ", "#### ", "Step 2: ", "yes", "(B)"),
    *(r"\boxed{", r"\frac{1}{2}", r"\frac{", r"\sqrt{", r"\sqrt[3]{8}", r"\left(", r"\right)"),
    *(r"\text{ cm}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\dots", r"\cdot", r"\pi", "x^2"),
    *(r"\sum_{i=1}^{100} i", r"\int x dx", "x = 4", "2x + 3 = 13", r"\sin 30^\circ", r"\%", r"\$"),
    *("<think>", "</think>", "<|im_end|>", "```python\n", "```", "<<3+4=7>>", "<script>", "&lt;"),
    *(
        "twenty-one",
        "a dozen",
        "half",
        "3 apples",
        "per cent",
        "٣",
        "三",
        "é",
        "👩‍👩‍👧",
        "a\u0301" * 9,
    ),
    *("http://user:secret@host/", "sk-0123456789abcdef", "{{ x }}", "\\", "\\\\", "{}", "[[", "}}"),
)
LONGEST: Final = 20_000
STATED: Final = "Ann has 3 boxes with 4 pens each.\n3 * 4 = 12\nThe answer is 12.\n"


def texts(count: int, seed: int) -> Iterator[str]:
    """Texts of up to some thousands of characters."""
    draws = random.Random(seed)  # no secret
    for _ in range(count):
        kind = draws.random()
        if kind < 0.1:  # one piece for ever, and maybe something after it
            times = draws.choice((2, 50, 400, 2000, 20_000))
            yield (draws.choice(PIECES) * times)[:LONGEST] + draws.choice(("", "x", "!", " %", "}"))
        elif kind < 0.3:  # a good solution with something in it
            at = draws.randrange(len(STATED))
            yield STATED[:at] + "".join(draws.choices(PIECES, k=3)) + STATED[at:]
        elif kind < 0.4:  # noise
            yield "".join(chr(draws.randrange(0x3000)) for _ in range(draws.randrange(1, 200)))
        else:
            yield "".join(draws.choices(PIECES, k=draws.randrange(1, 60)))


def rendered(text: str) -> None:
    """A solution that holds the text wherever a model or a person may have put it."""
    text = Completion(text).text
    solution = Solution(
        question=text or "q", answer=text, method="qstar", steps=(SolutionStep(text=text),)
    )
    solution._repr_html_()  # what a notebook calls
    str(solution)
    solution.model_dump_json()


READERS: Final[dict[str, Callable[[str], Any]]] = {
    "final_number": numbers.final_number,
    "guess_number": numbers.guess_number,
    "same_number": lambda text: numbers.same_number(text, "12"),
    "final_latex": latex.final_latex,
    "guess_latex": latex.guess_latex,
    "formulas": latex.formulas,
    "last_box": boxes.last_box,
    "final_yes_no": words.final_yes_no,
    "guess_yes_no": words.guess_yes_no,
    "final_choice": words.final_choice,
    "guess_choice": words.guess_choice,
    "gold_number": golds.gold_number,
    "gold_latex": golds.gold_latex,
    "check_text": check_text,
    "calculation_end": calculation_end,
    "thought_end": thought_end,
    "apart": apart,
    "plain": plain,
    "plain_lines": plain_lines,
    "without_credentials": without_credentials,
    "rendered": rendered,
    **{f"pieces of {name}": partial(pieces, task=task) for name, task in TASKS.items()},
    **{f"answer of {name}": task.answer for name, task in TASKS.items()},
}


def read(count: int, seed: int) -> dict[str, Any]:
    """The figures of what reads in this process."""
    errors, slow, slowest = 0, 0, (0.0, "")
    for number, text in enumerate(texts(count, seed)):
        for name, reader in READERS.items():
            start = time.process_time()
            try:
                reader(text)
            except Exception as error:  # noqa: BLE001  # each is a finding
                errors += 1
                tell(f"{name} of {text[:200]!r}: {type(error).__name__}: {error}")
            taken = time.process_time() - start
            slow += taken > 1
            if taken > slowest[0]:
                slowest = (taken, f"{name} of {text[:40]!r}")
        if number % 20_000 == 0:
            tell(f"{number} texts, the slowest call {slowest[0]:.3f} s: {slowest[1]}")
    return {
        "texts": count,
        "readers": len(READERS),
        "errors": errors,
        "slowest_s": slowest[0],
        "slowest": slowest[1],
        "over_a_second": slow,
    }


def computed(count: int, seed: int) -> dict[str, Any]:
    """The figures of what computes in another process."""
    errors, slow, slowest, before = 0, 0, 0.0, STATED
    calls: tuple[Callable[[str], Any], ...] = (
        lambda text: symbolic(State("q").then(Step(before)), text),
        lambda text: same_latex(text, before),
    )
    symbolic(State("q"), "$1+1=2$")  # the process has started
    for number, text in enumerate(texts(count, seed)):
        for call in calls:
            start = time.perf_counter()
            try:
                call(text)
            except Exception as error:  # noqa: BLE001
                errors += 1
                tell(f"symbolic, {text[:200]!r}: {type(error).__name__}: {error}")
            taken = time.perf_counter() - start
            if taken > 1:
                slow += 1
                tell(f"{taken:.1f} s: {text[:200]!r}")
            slowest = max(slowest, taken)
        before = text
        if number % 1000 == 0:
            tell(f"{number} checks, the slowest {slowest:.3f} s")
    return {
        "checks": count,
        "check_errors": errors,
        "slowest_check_s": slowest,
        "checks_over_a_second": slow,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="some of them (the default)")
    parser.add_argument("--full", action="store_true", help="all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    options = parser.parse_args()
    count, checks = FULL if options.full else QUICK
    figures = rounded({**read(count, options.seed), **computed(checks, options.seed + 1)})
    if options.record:
        write_record(RESULTS, {**provenance(Path(__file__), PACKAGES), "figures": figures})
    print_figures(figures)


if __name__ == "__main__":
    main()
