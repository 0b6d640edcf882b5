"""R_P by rules, and the paper's rule for code."""

from __future__ import annotations

import pytest

from langchain_qstar.chains import QStarChain
from langchain_qstar.errors import ModelError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import ScoreRequest, State, Step, Task
from langchain_qstar.scoring.resolve import resolve_scorer
from langchain_qstar.scoring.rules import RuleScorer, python_tokens
from langchain_qstar.settings import QStarSettings


def after(*steps: str) -> State:
    return State("write a function", steps=tuple(Step(each) for each in steps))


@pytest.mark.parametrize(
    ("earlier", "step", "reward"),
    [
        ((), "print((1 + 2)", -0.5),
        ((), "print(1 + 2)\n", 0.0),
        (("print((1 + 2)",), ")\n", 0.0),
        (("def f(x):\n",), "    return x\n", 0.0),
        (("def f(x):\n        y = x\n",), "    return y\n", -0.5),
        ((), '"""never closed\n', -0.5),
        ((), "", 0.0),
    ],
)
def test_statement_19_code_that_does_not_tokenise_is_penalised_until_it_does(
    earlier: tuple[str, ...], step: str, reward: float
):
    assert python_tokens(after(*earlier), step) == reward


@pytest.mark.parametrize("step", ["\x00", "((((" * 10_000, "\u202e = 1", "x = '\ud800'"])
def test_any_text_is_judged_and_none_is_run(step: str):
    assert python_tokens(after(), step) in {0.0, -0.5}


def test_statement_19_with_the_last_step_only_g_is_0_again_when_the_bracket_closes():
    task = Task(
        name="code",
        messages=lambda question: (("user", question),),
        answer=lambda text: text,
        is_terminal=lambda text: text.endswith(";"),
        stop=(" ",),
    )
    solution = QStarChain(
        ScriptedPolicy({"": ["print( "], "print( ": ["1) "], "print( 1) ": ["done; "]}),
        ScriptedScorer({}),
        utility="python-tokens",
        task=task,
        settings=QStarSettings.profile("mbpp", num_samples=1, num_trajectories=1),
    ).invoke("write a function")
    assert [node.g for node in solution.tree][:3] == [None, -0.5, 0.0]


def test_rules_add_up():
    scorer = RuleScorer([python_tokens, lambda state, step: 0.25], name="rules")
    request = ScoreRequest(after(), (Step("f("), Step("f()")))
    assert scorer.score([request])[0].values == (-0.25, 0.25)


async def test_async_gives_the_same():
    request = ScoreRequest(after(), (Step("f("),))
    scorer = RuleScorer([python_tokens])
    assert await scorer.ascore([request]) == scorer.score([request])
    assert scorer.name == "python_tokens"


def test_a_rule_that_fails_is_a_model_error_that_names_it():
    def strict(state: State, step: str) -> float:
        raise ValueError("no code")

    with pytest.raises(ModelError, match="strict failed: no code"):
        RuleScorer([strict]).score([ScoreRequest(after(), (Step("x"),))])


def test_no_rule_is_an_error():
    with pytest.raises(SettingsError, match="at least one rule"):
        RuleScorer([])


def test_a_name_selects_the_papers_rule():
    scorer = resolve_scorer("python-tokens", ScriptedPolicy({}))
    assert isinstance(scorer, RuleScorer)
