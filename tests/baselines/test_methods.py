"""What every baseline does alike: ends, keeps its samples, asks once, and stays in its budget."""

from __future__ import annotations

import pytest

from langchain_qstar.baselines import best_of_n, greedy, self_consistency
from langchain_qstar.baselines.budget import Budget
from langchain_qstar.baselines.solving import Run
from langchain_qstar.checks.running import StepChecks
from langchain_qstar.errors import ModelError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Completion

FIVE = "2+3=5\nThe answer is 5.\n"
SILENT = "2+3=5\nThat is all."
ASKED = {"": [SILENT], f"{SILENT}\nThe answer is": [" 5.\nIs it?\n"]}


class Failing(ScriptedPolicy):
    """Its first sample of a request fails; the others are what the script says."""

    def sample(self, requests):
        return [
            [Completion("2+", finish="error", generated=1), *group[1:]]
            for group in super().sample(requests)
        ]


class Narrow(ScriptedPolicy):
    """One sample at a time keeps it busy."""

    full_rows = 1


class Meagre(ScriptedPolicy):
    """It returns one completion less than it was asked for."""

    def sample(self, requests):
        return [group[:-1] for group in super().sample(requests)]


def test_a_solution_ends_with_its_answer_and_what_would_follow_costs_nothing(solve):
    goes_on = f"{FIVE}Problem: another one.\nThe answer is 99.\n"
    solution = solve({"": [goes_on]})
    assert (solution.answer, solution.text) == ("5", FIVE)
    assert {sample.text for sample in solution.samples} == {FIVE}
    assert solution.usage.completion_tokens == 5 * len(solution.samples)  # words of FIVE


def test_every_sample_is_kept_with_what_is_known_about_it(solve):
    solution = solve({"": [FIVE]})
    sample = solution.samples[0]
    assert (sample.text, sample.answer, sample.guessed) == (FIVE, "5", False)
    assert (sample.finish, sample.completion_tokens, sample.logprob) == ("stop", 5, -2.5)
    assert (sample.score, sample.failed) == (0.5 if solution.q_model else None, False)
    assert len(solution.samples) == solution.usage.completions


def test_an_answer_that_is_only_guessed_says_so(solve):
    solution = solve({"": ["Two and three makes 5"]})
    assert (solution.answer, solution.guessed) == ("5", True)
    assert all(sample.guessed for sample in solution.samples)
    assert (solution.samples[0].finish, solution.unparsed) == ("eos", 0)
    assert not solve({"": [FIVE]}).guessed


def test_a_solution_that_ended_without_an_answer_is_asked_for_it_once(solve):
    model = ScriptedPolicy(ASKED)
    solution = solve(model)
    assert solution.answer == "5"
    assert solution.text == f"{SILENT}\nThe answer is 5.\n"
    assert {sample.text for sample in solution.samples} == {solution.text}
    _, asked = model.calls
    assert len(asked) == len(solution.samples)
    assert {(a.temperature, a.prefill, a.stop) for a in asked} == {(0.0, "The answer is", ("\n",))}
    # 2+3=5, That, is, all., the end of the text; and a space, and 5.
    assert solution.usage.completion_tokens == len(asked) * (5 + 2)
    assert solution.samples[0].completion_tokens == 5 + 2


def test_who_has_no_answer_then_has_none(solve):
    model = ScriptedPolicy({"": [SILENT], f"{SILENT}\nThe answer is": [" unknown.\n"]})
    solution = solve(model)
    assert (solution.answer, len(model.calls)) == (None, 2)
    assert solution.unparsed == len(solution.samples)
    assert solution.samples[0].text.endswith("The answer is unknown.\n")


def test_a_solution_that_was_cut_has_no_answer_and_is_not_asked(solve):
    model = ScriptedPolicy(lambda _: ["it makes 5 "])
    solution = solve(model)
    assert (solution.answer, solution.guessed, len(model.calls)) == (None, False, 1)
    assert {sample.finish for sample in solution.samples} == {"length"}
    assert (solution.stopped, solution.samples[0].completion_tokens) == ("complete", 30)


def test_a_completion_that_failed_is_a_sample_that_failed(solve):
    solution = solve(Failing({"": [FIVE]}))
    first, *others = solution.samples
    assert (first.finish, first.answer, first.text) == ("error", None, "2+")
    assert solution.unparsed == 1
    assert solution.answer == ("5" if others else None)


def test_a_completion_that_is_missing_is_a_sample_that_failed(solve):
    solution = solve(Meagre({"": [FIVE]}))
    assert (solution.samples[-1].finish, solution.unparsed) == ("error", 1)
    assert solution.answer == ("5" if len(solution.samples) > 1 else None)


def test_the_token_budget_is_never_passed_and_what_was_drawn_votes(solve):
    solution = solve({"": [FIVE]}, max_tokens=12)
    assert solution.usage.completion_tokens <= 12
    if solution.method == "greedy":
        assert (solution.answer, solution.stopped) == ("5", "complete")
    else:
        assert (solution.answer, solution.stopped) == ("5", "tokens")
        assert [sample.finish for sample in solution.samples] == ["stop", "stop", "length"]


def test_the_budget_of_completions_is_never_passed(solve):
    solution = solve({"": [FIVE]}, n=5, max_completions=2)
    if solution.method == "greedy":
        assert (solution.usage.completions, solution.stopped) == (1, "complete")
    else:
        assert (solution.usage.completions, solution.stopped) == (2, "completions")
        assert solution.answer == "5"


@pytest.mark.parametrize("name", ["max_completions", "max_tokens"])
def test_a_budget_that_is_spent_asks_for_no_answer(solve, name):
    one = {"max_completions": 1, "max_tokens": 5}[name]
    solution = solve(ScriptedPolicy(ASKED), n=1, **{name: one})
    assert (solution.answer, solution.stopped) == (None, name.removeprefix("max_"))
    assert [sample.text for sample in solution.samples] == [SILENT]


def test_asking_takes_what_is_left_of_the_budget(sums):
    # Three solutions of 5 tokens, and answers of 2.
    solution = self_consistency(
        "What?", policy=ScriptedPolicy(ASKED), task=sums, n=3, max_tokens=19
    )
    assert [sample.answer for sample in solution.samples] == ["5", "5", None]
    assert (solution.usage.completion_tokens, solution.stopped) == (19, "tokens")


def test_a_question_for_the_answer_is_cut_by_the_budget_too(solve):
    solution = solve(ScriptedPolicy(ASKED), n=1, max_tokens=6)
    assert (solution.usage.completion_tokens, solution.stopped) == (6, "tokens")
    assert solution.answer is None
    assert [sample.text for sample in solution.samples] == [f"{SILENT}\nThe answer is "]


def test_a_budget_of_seconds_lets_no_further_round_begin(solve, monkeypatch):
    clock = iter(range(10, 10_000, 10))
    monkeypatch.setattr(Run, "seconds", property(lambda _: next(clock)))
    solution = solve(Narrow({"": [FIVE]}), n=5, max_seconds=25.0)
    if solution.method != "greedy":
        # Looked at after 10, 20 and 30 seconds.
        assert (len(solution.samples), solution.stopped) == (2, "seconds")
        assert solution.answer == "5"


def test_no_second_at_all_is_no_answer_and_no_crash(solve, monkeypatch):
    clock = iter(range(10, 10_000, 10))
    monkeypatch.setattr(Run, "seconds", property(lambda _: next(clock)))
    solution = solve({"": [FIVE]}, max_seconds=1)
    assert (solution.answer, solution.samples, solution.stopped) == (None, (), "seconds")


def test_the_budget_is_in_the_settings_of_the_result(solve):
    settings = solve({"": [FIVE]}, max_tokens=100, max_completions=9, max_seconds=60).settings
    assert (settings["max_tokens"], settings["max_completions"]) == (100, 9)
    assert settings["max_seconds"] == 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"max_tokens": True},
        {"max_completions": 1.5},
        {"max_seconds": 0},
        {"max_seconds": float("inf")},
        {"max_seconds": "long"},
    ],
    ids=str,
)
def test_an_impossible_budget_is_refused_by_its_name(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Budget(**wrong)


def test_a_policy_that_answers_other_requests_than_were_asked_is_a_model_error(solve):
    class Confused(ScriptedPolicy):
        def sample(self, requests):
            return []

    with pytest.raises(ModelError, match="0 results for 1 requests"):
        solve(Confused({}))


# --- checks


SEVEN = "2+3=7\nThe answer is 7.\n"
PLAIN = {"": [SEVEN, SEVEN, FIVE]}


def test_the_samples_that_fail_a_check_say_so(sums):
    checks = StepChecks(sums.checks)
    solution = self_consistency(
        "What?", policy=ScriptedPolicy(PLAIN), task=sums, checks=checks, n=3
    )
    assert [sample.failed for sample in solution.samples] == [True, True, False]
    assert (solution.answer, solution.method) == ("7", "self-consistency")


def checked(task, *solutions):
    checks = StepChecks(task.checks)
    policy = ScriptedPolicy({"": solutions})
    return self_consistency(
        "What?", policy=policy, task=task, checks=checks, checked=True, n=len(solutions)
    )


def test_checked_self_consistency_counts_the_samples_that_fail_no_check(sums):
    solution = checked(sums, SEVEN, SEVEN, FIVE)
    assert (solution.answer, solution.method) == ("5", "checked-self-consistency")
    assert [(vote.answer, vote.count) for vote in solution.votes] == [("5", 1)]
    assert solution.text == FIVE


def test_all_samples_vote_when_none_that_has_an_answer_is_without_a_failure(sums):
    assert checked(sums, SEVEN, SEVEN, "The answer is 17.\n").answer == "7"
    cut = "so it goes on and on " * 9
    assert checked(sums, SEVEN, SEVEN, cut).answer == "7"


def test_checked_self_consistency_without_a_check_is_refused(sums):
    with pytest.raises(SettingsError, match="pass checks="):
        self_consistency("What?", policy=ScriptedPolicy(PLAIN), task=sums, checked=True)


def test_of_answers_with_as_many_votes_the_one_without_a_failed_check_wins(sums):
    checks = StepChecks(sums.checks)
    policy = ScriptedPolicy({"": [SEVEN, FIVE]})
    asked = {"policy": policy, "task": sums, "n": 2}
    assert self_consistency("What?", **asked, checks=checks).answer == "5"
    assert self_consistency("What?", **asked).answer == "7"


def test_the_path_is_a_solution_of_the_winner_that_fails_no_check(sums):
    detour = "7-2=5\nThe answer is 5.\n"
    checks = StepChecks(sums.checks)
    policy = ScriptedPolicy({"": [detour, FIVE]})
    solution = self_consistency("What?", policy=policy, task=sums, checks=checks, n=2)
    assert (solution.text, solution.votes[0].count) == (FIVE, 2)


def test_of_equal_scores_best_of_n_takes_the_one_without_a_failed_check(sums):
    checks = StepChecks(sums.checks)
    policy = ScriptedPolicy({"": [SEVEN, FIVE]})
    asked = {"policy": policy, "task": sums, "n": 2, "checks": checks}
    assert best_of_n("What?", scorer=ScriptedScorer({}, default=0.5), **asked).answer == "5"
    better = ScriptedScorer({"2+3=7": 0.6, "The answer is 7.": 0.6}, default=0.5)
    solution = best_of_n("What?", scorer=better, **asked)
    assert solution.answer == "7"
    assert [sample.score for sample in solution.samples] == [0.6, 0.5]


def test_checks_are_not_asked_where_there_are_none(sums):
    solution = greedy("What?", policy=ScriptedPolicy({"": [SEVEN]}), task=sums)
    assert not solution.samples[0].failed
