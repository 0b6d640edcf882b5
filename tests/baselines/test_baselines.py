from __future__ import annotations

import pytest

from langchain_qstar.baselines import (
    abest_of_n,
    agreedy,
    aself_consistency,
    best_of_n,
    greedy,
    self_consistency,
)
from langchain_qstar.errors import ModelError, QuestionError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Scores
from langchain_qstar.scoring import CallableScorer
from langchain_qstar.solution import Solution
from langchain_qstar.tasks import NANO

SIX = "2*3=6\nThe answer is 6.\n"
FIVE = "2+3=5\nThe answer is 5.\n"
FIVE_TOO = "3+2=5\nThe answer is 5.0.\n"
LOST = "I am lost.\n"


def policy(*solutions):
    return ScriptedPolicy({"": solutions})


def solve(method, *solutions, **options):
    return method("What?", policy=policy(*solutions), task=NANO, **options)


class TestGreedy:
    def test_it_draws_one_solution_at_temperature_zero(self):
        model = policy(SIX)
        solution = greedy("What?", policy=model, task=NANO)
        ((request,),) = model.calls
        assert (request.temperature, len(request.seeds), request.stop) == (0.0, 1, ())
        assert request.state.messages == (("user", "What?"),)
        assert (solution.answer, solution.method, solution.stopped) == ("6", "greedy", "complete")
        assert [step.text for step in solution.steps] == ["2*3=6\n", "The answer is 6.\n"]
        assert (solution.policy, solution.task, solution.q_model) == ("scripted", "nano", None)

    def test_usage_counts_what_was_generated(self):
        model = policy(SIX)
        usage = greedy("What?", policy=model, task=NANO).usage
        assert (usage.calls, usage.completions, usage.prompt_tokens) == (1, 1, 1)
        (completion,) = model.sample(model.calls[0])[0]
        assert usage.completion_tokens == completion.generated

    def test_a_solution_without_an_answer_is_unparsed(self):
        solution = solve(greedy, LOST)
        assert (solution.answer, solution.unparsed) == (None, 1)

    def test_a_model_that_says_nothing_gives_no_answer(self):
        solution = solve(greedy, "")
        assert (solution.answer, solution.steps) == (None, ())

    def test_the_token_budget_cuts_the_solution_and_says_so(self):
        solution = solve(greedy, SIX, max_tokens=2)
        assert (solution.answer, solution.stopped) == (None, "tokens")
        assert solution.usage.completion_tokens == 2


class TestSelfConsistency:
    def test_the_answer_of_most_solutions_wins(self):
        solution = solve(self_consistency, SIX, FIVE, FIVE_TOO, LOST, n=4)
        assert solution.answer == "5"
        assert [(v.answer, v.count) for v in solution.votes] == [("5", 2), ("6", 1)]
        assert [v.weight for v in solution.votes] == pytest.approx([2 / 3, 1 / 3])
        assert solution.unparsed == 1
        assert solution.text == FIVE

    def test_of_equal_votes_the_first_drawn_wins(self):
        assert solve(self_consistency, SIX, FIVE, n=2).answer == "6"
        assert solve(self_consistency, FIVE, SIX, n=2).answer == "5"

    def test_all_samples_are_one_call_with_different_seeds(self):
        model = policy(SIX)
        self_consistency(
            "What?", policy=model, task=NANO, n=5, temperature=0.6, top_p=0.9, top_k=20, seed=3
        )
        ((request,),) = model.calls
        assert len(set(request.seeds)) == 5
        assert (request.temperature, request.top_p, request.top_k) == (0.6, 0.9, 20)

    def test_no_answer_at_all_is_no_answer(self):
        solution = solve(self_consistency, LOST, n=3)
        assert (solution.answer, solution.votes, solution.unparsed) == (None, (), 3)

    @pytest.mark.parametrize("budget", [1, 6, 20, 29, 1000])
    def test_the_token_budget_is_never_exceeded(self, budget):
        solution = solve(self_consistency, FIVE, n=6, max_tokens=budget)
        assert solution.usage.completion_tokens <= budget
        assert solution.stopped == ("complete" if budget == 1000 else "tokens")

    def test_samples_under_a_budget_are_those_without_one(self):
        free, tight = policy(SIX), policy(SIX)
        self_consistency("What?", policy=free, task=NANO, n=6)
        self_consistency("What?", policy=tight, task=NANO, n=6, max_tokens=800)
        assert len(tight.calls) > 1
        assert {request.max_tokens for (request,) in tight.calls} == {NANO.solution_tokens}
        drawn = [seed for (request,) in tight.calls for seed in request.seeds]
        assert tuple(drawn) == free.calls[0][0].seeds


SCORES = {
    "2*3=6": 0.9,
    "The answer is 6.": 0.2,
    "2+3=5": 0.5,
    "3+2=5": 0.4,
    "The answer is 5.": 0.7,
}


class TestBestOfN:
    def best(self, *solutions, **options):
        scorer = ScriptedScorer(SCORES, default=0.6)
        return solve(best_of_n, *solutions, scorer=scorer, n=len(solutions), **options)

    @pytest.mark.parametrize(
        ("aggregate", "answer"),
        [("min", "5"), ("last", "5"), ("mean", "5")],
    )
    def test_the_best_scored_solution_wins(self, aggregate, answer):
        assert self.best(SIX, FIVE, aggregate=aggregate).answer == answer

    def test_aggregators_disagree_where_they_should(self):
        # 6: min .2, last .2, mean .55; its rival: min .4, last .6, mean .5
        rival = "3+2=5\nThe answer is 5.0.\n"
        assert self.best(SIX, rival, aggregate="min").answer == "5"
        assert self.best(SIX, rival, aggregate="last").answer == "5"
        assert self.best(SIX, rival, aggregate="mean").answer == "6"

    def test_every_step_is_scored_in_the_state_before_it(self):
        scorer = ScriptedScorer(SCORES)
        solution = solve(best_of_n, SIX, FIVE, scorer=scorer, n=2)
        (requests,) = scorer.calls
        assert [r.state.text + r.steps[0].text for r in requests] == [
            "2*3=6\n",
            SIX,
            "2+3=5\n",
            FIVE,
        ]
        assert [step.q for step in solution.steps] == [0.5, 0.7]
        assert solution.q_model == "scripted"

    def test_the_weighted_vote_sums_scores_by_answer(self):
        # min: 6 has .2; 5 has .5 and .4; a lone 7 scores best with .6
        seven = "The answer is 7.\n"
        assert self.best(SIX, FIVE, FIVE_TOO, seven).answer == "7"
        weighted = self.best(SIX, FIVE, FIVE_TOO, seven, weighted=True)
        assert weighted.answer == "5"
        assert weighted.text == FIVE
        assert weighted.votes[0].weight == pytest.approx(0.9 / 1.7)

    def test_a_solution_without_an_answer_is_the_last_choice(self):
        assert self.best(LOST, SIX).answer == "6"
        assert self.best(LOST, LOST).answer is None
        assert self.best(LOST, LOST, weighted=True).text == LOST

    def test_of_equal_scores_the_first_drawn_wins(self):
        scorer = ScriptedScorer({}, default=0.5)
        assert solve(best_of_n, SIX, FIVE, scorer=scorer, n=2).answer == "6"

    def test_what_the_scorer_spends_is_counted(self):
        class Costly(ScriptedScorer):
            def score(self, requests):
                return [Scores((0.5,), 1, 10, 100) for _ in requests]

        free = solve(best_of_n, SIX, scorer=ScriptedScorer({}), n=1).usage
        costly = solve(best_of_n, SIX, scorer=Costly({}), n=1).usage
        assert costly.completion_tokens == free.completion_tokens + 20
        assert costly.prompt_tokens == free.prompt_tokens + 200
        assert costly.completions == free.completions + 2

    def test_an_unknown_aggregate_is_refused(self):
        with pytest.raises(SettingsError, match="min, last, mean"):
            self.best(SIX, aggregate="median")

    def test_a_scorer_that_fails_is_a_model_error(self):
        scorer = CallableScorer(lambda state, steps: [2.0])
        with pytest.raises(ModelError, match="must lie in"):
            solve(best_of_n, SIX, scorer=scorer, n=1)


def comparable(solution):
    return solution.model_copy(update={"seconds": 0.0})


async def test_async_twins_give_the_same_solutions():
    scorer = ScriptedScorer(SCORES)
    given = {"policy": policy(SIX, FIVE), "task": NANO}
    for sync, twin, options in (
        (greedy, agreedy, {}),
        (self_consistency, aself_consistency, {"n": 3}),
        (best_of_n, abest_of_n, {"n": 3, "scorer": scorer}),
    ):
        one, other = sync("What?", **given, **options), await twin("What?", **given, **options)
        assert comparable(one) == comparable(other)


def test_solutions_survive_json():
    solution = solve(self_consistency, SIX, FIVE, n=2, seed=5)
    assert Solution.model_validate_json(solution.model_dump_json()) == solution
    assert solution.seed == 5


@pytest.mark.parametrize("question", ["", "  \n", "a\x00b"])
def test_a_question_that_cannot_be_asked_is_refused(question):
    with pytest.raises(QuestionError):
        greedy(question, policy=policy(SIX), task=NANO)


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0},
        {"n": 2.5},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"top_k": 2.5},
        {"max_tokens": 0},
        {"max_tokens": 2.5},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        solve(self_consistency, SIX, **options)
