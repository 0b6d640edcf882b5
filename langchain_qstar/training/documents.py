"""Training documents of nano: one problem, one way of solving it, in every action's format.

Formats (all continue the same chat prompt, so actions can be mixed in one trajectory):

* plain lines, one step each (propose-step, finish);
* `Q:` and `A:` lines (subquestion; re-answer samples the `A:` line again);
* a `Rephrase:` line at the root that lists the conditions;
* a mixture of these, drawn per step.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from langchain_qstar.problems.equations import evaluate, write_equation
from langchain_qstar.problems.generator import Problem, answer_line, capitalised, make_problem

SUBQUESTION, ANSWER, REPHRASE = "Q:", "A:", "Rephrase:"
_KEPT = {"holdings": 0.4, "layout": 0.5}
"""Share of the problems of a kind that are trained on, by default all: these two are learnt
long before the kinds in which a number belongs to one of many things."""
_STEP_WEIGHTS = (5, 14, 14, 12, 11, 10, 9, 8, 8, 8)  # how often 1..10 steps are trained


@dataclass(frozen=True)
class Document:
    """What the user says and what the assistant should write."""

    question: str
    completion: str


def make_document(seed: int) -> Document:
    """The training document with this seed."""
    rng = random.Random(f"document/{seed}")
    if rng.random() < 0.06:
        return _drill(rng)
    problem = _draw(rng)
    return Document(problem.question, write_completion(problem, rng))


def _draw(rng: random.Random) -> Problem:
    steps = rng.choices(range(1, 11), _STEP_WEIGHTS)[0]
    while True:
        problem = make_problem("train", steps, rng.getrandbits(48))
        if rng.random() < _KEPT.get(problem.kind, 1.0):
            return problem


def write_completion(problem: Problem, rng: random.Random) -> str:
    """One solution of `problem` in a randomly drawn format."""
    share = rng.choices((0.0, 1.0, 0.5), (70, 14, 16))[0]
    lines = [f"{REPHRASE} {problem.rephrased(rng)}\n"] if rng.random() < 0.1 else []
    for index in problem.order(rng):
        if rng.random() < share:
            lines.append(f"{SUBQUESTION} {problem.sub_question(index, rng)}\n{ANSWER} ")
        lines.append(f"{problem.line(index, rng)}\n")
    return "".join(lines) + answer_line(problem.answer)


def _drill(rng: random.Random) -> Document:
    """Bare arithmetic, mostly the operations small models find hard."""
    op = rng.choices("+-*/", (2, 4, 2, 4))[0]
    if op == "/":
        b, c = rng.randint(2, 9), rng.choice((rng.randint(2, 12), rng.randint(2, 40)))
        operands = [b * c, b]
    elif op == "*":
        operands = [rng.choice((rng.randint(2, 12), rng.randint(2, 40))), rng.randint(2, 9)]
    else:
        high = rng.choice((20, 60, 100, 250))
        operands = sorted((rng.randint(1, high), rng.randint(1, high)), reverse=True)
        if op == "-" and operands[0] == operands[1]:
            operands[0] += 1
    value = evaluate(op, operands)
    expression = op.join(map(str, operands))
    words = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}[op]
    asked = rng.choice(
        (
            f"What is {expression}?",
            f"Calculate {expression}.",
            f"What is {operands[0]} {words} {operands[1]}?",
            f"{expression} =",
        )
    )
    line = capitalised(write_equation(op, operands, rng))
    return Document(asked, f"{line}.\n{answer_line(value or 0)}")
