"""What every method makes of models that answer otherwise than asked."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    ScriptedPolicy,
    ScriptedScorer,
    SelfConsistencyChain,
)

QUESTION = "Kim has 7 boxes of 6 pens. How many pens does Kim have?"
BUDGET = 300

WRITES = {
    "in another language": "Kim hat 7 Kisten mit je 6 Stiften.\n7 * 6 = 42 Stifte.\n\\boxed{42}\n",
    "in Chinese": "每个盒子有6支笔。\n7 × 6 = 42\n答案是 \\boxed{42}。\n",
    "in JSON": '{"reasoning": "7 * 6 = 42",\n "answer": "\\\\boxed{42}"}\n',
    "in one line": "7 * 6 = 42, so the answer is 42.",
    "in one word": "42",
    "with the answer alone in a box": "$\\boxed{42}$",
}
ENDLESS = {
    "one line for ever": lambda _: ["so we go on and on "],
    "lines for ever": lambda text: [f"Then there are {len(text)} pens in the next box.\n"],
    "the same line for ever": lambda _: ["Kim has 7 boxes of pens, and so we count.\n"],
    "signs for ever": lambda _: [".\n\n"],
    "brackets for ever": lambda _: ["\\[\n"],
    "an open code block": lambda text: ["x = 7\n"] if text else ["```python\n"],
}
EMPTY = {"nothing": lambda _: [""], "blanks": lambda text: [] if text else [" \n"]}


def methods(policy: Any) -> dict[str, Any]:
    scorer = ScriptedScorer({}, default=0.5)
    shared: dict[str, Any] = {"task": "gsm8k"}
    searched = {"num_samples": 2, "num_trajectories": 2, "max_pops": 12}
    rolled = {"num_rollouts": 3, "num_votes": 2, "num_last_votes": 2, "num_steps": 2}
    return {
        "greedy": GreedyChain(policy, **shared),
        "self-consistency": SelfConsistencyChain(policy, n=3, **shared),
        "checked": SelfConsistencyChain(policy, n=3, checked=True, **shared),
        "best-of-n": BestOfNChain(policy, scorer, n=3, **shared),
        "qstar": QStarChain(policy, scorer, settings=searched, **shared),
        "rstar": RStarChain(policy, settings={**rolled, "max_depth": 4}, **shared),
    }


NAMES = list(methods(ScriptedPolicy({})))


@pytest.mark.parametrize("name", [each for each in NAMES if each != "rstar"])
@pytest.mark.parametrize("how", WRITES)
def test_a_right_answer_is_found_however_the_model_writes(name, how):
    whole = WRITES[how]

    def goes_on(text: str) -> list[str]:
        rest = whole.removeprefix(text) if whole.startswith(text) else ""
        line, newline, _ = rest.partition("\n")
        return [line + newline] if rest else [""]

    chain = methods(ScriptedPolicy(goes_on))[name]
    solution = chain.invoke(QUESTION)
    assert solution.answer == "42", solution.text
    assert solution.guessed == (how == "in one word")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", [*ENDLESS, *EMPTY])
def test_a_model_that_never_says_anything_gets_no_answer_inside_the_budget(name, how):
    policy = ScriptedPolicy((ENDLESS | EMPTY)[how])
    solution = methods(policy)[name].invoke(QUESTION, max_tokens=BUDGET)
    assert solution.answer is None
    assert solution.usage.completion_tokens <= BUDGET


@pytest.mark.parametrize("name", NAMES)
async def test_the_same_holds_without_blocking(name):
    policy = ScriptedPolicy(ENDLESS["lines for ever"])
    solution = await methods(policy)[name].ainvoke(QUESTION, max_tokens=BUDGET)
    assert solution.answer is None


@pytest.mark.parametrize("name", NAMES)
def test_half_a_character_is_a_sign_that_stands_for_it(name):
    """As wrappers of models let through that cut a reply by UTF-16; no file and no store has it."""
    policy = ScriptedPolicy(lambda _: ["7 * 6 = 42 \ud83d\n\\boxed{42}\n"])
    solution = methods(policy)[name].invoke(QUESTION)
    assert "42 \ufffd" in "".join(step.text for step in solution.steps)
    assert solution.model_validate_json(solution.model_dump_json()) == solution
