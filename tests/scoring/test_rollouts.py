from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar import ScriptedPolicy
from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import ScoreRequest, State, Step, Task
from langchain_qstar.scoring.rollouts import RederivationScorer, RolloutScorer
from langchain_qstar.stepping.thoughts import thought_end

TASK = Task(
    name="sums",
    messages=lambda question: (("user", question),),
    is_terminal=lambda text: "so " in text,
    answer=lambda text: text.rpartition("so ")[2].strip() or None,
    canonical=lambda text: text.replace("3+2", "2+3"),
)
STATE = State("What is 2 and 3?")


def request(*texts):
    return ScoreRequest(STATE, tuple(Step(text) for text in texts))


async def test_a_step_is_worth_the_share_of_its_rollouts_that_reach_the_favourite_answer():
    script = {
        "a\n": ["so 5\n", "so 5\n", "so 5\n", "so 6\n"],
        "b\n": ["so 6\n", "so 5\n", "hm\n", ""],
    }
    scorer = RolloutScorer(ScriptedPolicy(script), TASK, n=4)
    # Four of eight say 5, two say 6, two say nothing.
    scores = scorer.score([request("a\n", "b\n")])
    assert scores[0].values == (0.75, 0.25)
    assert scores[0].completions == 8
    assert scores[0].generated_tokens > 0
    assert await scorer.ascore([request("a\n", "b\n")]) == scores


def test_a_whole_solution_is_not_continued_but_votes():
    policy = ScriptedPolicy({"a\n": ["so 5\n"]})
    scores = RolloutScorer(policy, TASK, n=2).score([request("so 6\n", "a\n", "so 5\n")])
    assert scores[0].values == (0.0, 1.0, 1.0)
    assert scores[0].completions == 2


def test_rollouts_that_reach_nothing_are_worth_nothing():
    scores = RolloutScorer(ScriptedPolicy({}), TASK, n=2).score([request("a\n"), request()])
    assert scores[0].values == (0.0,)
    assert scores[1].values == ()


async def test_a_step_is_worth_the_share_of_samples_that_find_the_same_in_any_words():
    policy = ScriptedPolicy({"": ["2+3=5\n", "3+2=5\n", "2+3=6\n", "2*3=6\n"]})
    scorer = RederivationScorer(policy, TASK, n=4)
    scores = scorer.score([request("3+2=5\n", "2+3=6\n", "2-3=1\n")])
    assert scores[0].values == (0.5, 0.25, 0.0)
    assert scores[0].completions == 4
    assert await scorer.ascore([request("3+2=5\n", "2+3=6\n", "2-3=1\n")]) == scores


def test_a_step_of_several_lines_is_taken_again_whole():
    policy = ScriptedPolicy({"": ["we add:\n2+3=5\nso 5\n", "we add:\n3+2=6\n"]})
    scorer = RederivationScorer(policy, replace(TASK, step_end=thought_end), n=2)
    assert scorer.score([request("we add:\n2+3=5\n")])[0].values == (0.5,)


def test_the_same_request_gets_the_same_rollouts_and_another_seed_others():
    def seeds(seed):
        policy = ScriptedPolicy({"a\n": ["so 5\n"]})
        RolloutScorer(policy, TASK, n=2, seed=seed).score([request("a\n")])
        return policy.calls[0][0].seeds

    assert seeds(1) == seeds(1) != seeds(2)


@pytest.mark.parametrize("kind", [RolloutScorer, RederivationScorer])
@pytest.mark.parametrize("wrong", [{"n": 0}, {"temperature": 0.0}])
def test_settings_out_of_range_are_refused(kind, wrong):
    with pytest.raises(SettingsError):
        kind(ScriptedPolicy({}), TASK, **wrong)


@pytest.mark.nano
@pytest.mark.parametrize("kind", [RolloutScorer, RederivationScorer])
def test_a_real_model_goes_on_from_a_step(kind):
    from langchain_qstar.models.resolve import resolve_policy
    from langchain_qstar.tasks import NANO

    question = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
    state = State(question, NANO.messages(question))
    steps = (Step("Ann has 3*4=12 pens.\n"), Step("Ann has 3+4=9 pens.\n"))
    scorer = kind(resolve_policy("nano"), NANO, n=4)
    right, wrong = scorer.score([ScoreRequest(state, steps)])[0].values
    assert 0 <= wrong <= right <= 1
