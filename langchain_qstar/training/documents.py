"""Training documents of nano: one problem, one way of solving it, in every action's format.

Formats (all continue the same chat prompt, so actions can be mixed in one trajectory):

* plain lines, one step each (propose-step, finish);
* `Q:` and `A:` lines (subquestion; re-answer samples the `A:` line again);
* a `Rephrase:` line at the root that lists the conditions;
* a mixture of these, drawn per step.

Besides, some documents are bare arithmetic, and some only read: they ask "What is
said?" and hold no solution.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from langchain_qstar.problems.equations import evaluate, write_equation
from langchain_qstar.problems.generator import Problem, answer_line, capitalised, make_problem
from langchain_qstar.problems.story import Ref
from langchain_qstar.training.lookups import look_up

SUBQUESTION, ANSWER, REPHRASE = "Q:", "A:", "Rephrase:"
_KEPT = {"holdings": 0.9, "layout": 0.4}
"""Share of the problems of a kind that are trained on, by default all: these two are learnt
long before the kinds in which a number belongs to one of many things, as long as nothing can be
looked up; after that, holdings lag behind."""
_STEP_WEIGHTS = (3, 8, 10, 11, 11, 11, 11, 11, 11, 12)  # how often 1..10 steps are trained

_ARITHMETIC, _LOOKUP, _READING = 0.01, 0.08, 0.12
"""Shares of documents that are bare arithmetic, that look numbers up, and that only read."""
READ = "What is said?"
"""What a document that only reads asks."""
_READ_AT_LEAST = 2
"""Quantities without which a text has nothing to be mixed up."""
_TO_COMPUTE = "?"
_FILLERS = re.compile(
    r" ?\b(How|What|many|much|money|do|does|did|is|are|the|a|an|of|in|there|have|has|total)\b|\?"
)


@dataclass(frozen=True)
class Document:
    """What the user says and what the assistant should write."""

    question: str
    completion: str


def make_document(seed: int) -> Document:
    """The training document with this seed."""
    rng = random.Random(f"document/{seed}")
    kind = rng.random()
    if kind < _ARITHMETIC:
        return _drill(rng)
    if kind < _ARITHMETIC + _LOOKUP:
        text, lines = look_up(rng)
        return Document(f"{text} {READ}", lines)
    problem = _draw(rng)
    if kind < _ARITHMETIC + _LOOKUP + _READING and len(problem.told()) >= _READ_AT_LEAST:
        return read_document(problem, rng)
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


def read_document(problem: Problem, rng: random.Random) -> Document:
    """Every number the facts give or relate, in random order, nothing computed.

    In a solution what is read stands between computed numbers and behind a random choice
    of order; here nothing else has to be learnt. Without lookups these taught nothing.
    """
    question = problem.question.removesuffix(problem.ask) + READ
    short = rng.random() < 0.6
    lines = []
    for index in problem.told():
        asked, said = problem.ask_for(index, rng), _as_said(problem, index)
        key = f"{_FILLERS.sub('', asked).strip()}:" if short else f"{SUBQUESTION} {asked}\n{ANSWER}"
        lines.append(f"{key} {said}.\n")
    rng.shuffle(lines)
    return Document(question, "".join(lines))


def _as_said(problem: Problem, index: int) -> str:
    """The number of a quantity, or its operation on numbers and on what must be computed."""
    quantities = problem.story.quantities
    quantity = quantities[index]
    if quantity.op is None:
        return str(quantity.value)
    operands = [
        str(quantities[x.index].value if quantities[x.index].op is None else _TO_COMPUTE)
        if isinstance(x, Ref)
        else str(x)
        for x in quantity.operands
    ]
    return quantity.op.join(operands)


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
