from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.errors import ModelError, QuestionError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.nodes.mutual.asking import MOST_FAILURES
from langchain_qstar.nodes.mutual.verify_by_completion import make_verify_by_completion
from langchain_qstar.protocols import Completion
from langchain_qstar.settings import RStarSettings

SEVEN = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 w17 The answer is 7."
EIGHT = "So it is 8. The answer is 8."
TWO = {"0.0": ("finish", SEVEN, "7"), "0.1": ("finish", EIGHT, "8")}


class Failing(ScriptedPolicy):
    """Fails for every batch that holds a request whose text has the word."""

    def __init__(self, script, word, error=ModelError):
        super().__init__(script)
        self.word, self.error = word, error

    def sample(self, requests):
        answers = super().sample(requests)
        if any(self.word in request.state.text for request in requests):
            raise self.error("out of order")
        return answers


class Fixed(ScriptedPolicy):
    """Always returns the same completions."""

    def __init__(self, *completions):
        super().__init__({})
        self.completions = list(completions)

    def sample(self, requests):
        self.calls.append(tuple(requests))
        return [self.completions for _ in requests]


def verified(
    driven, view, task, nodes, verifier, *, stats=None, usage=None, judge=None, **settings
):
    beat = make_verify_by_completion(verifier, task, RStarSettings(**settings), judge)
    return driven(beat, view(nodes, stats, usage=usage))


def says(answer):
    return once(f" so the answer is {answer}.")


def once(text):
    return lambda so_far: () if so_far.endswith(text) else [text]


def test_statement_51_every_candidate_is_asked_at_every_mask_in_one_batch(driven, view, task, tree):
    verifier = ScriptedPolicy(says(7))
    update, _ = verified(driven, view, task, tree(TWO), verifier)
    ((*requests,),) = verifier.calls
    shown = [len(request.state.text.split()) for request in requests]
    assert shown == [5, 7, 9, 11, 2, 3, 4, 4]  # of 21 and of 8 words
    assert update["stats"] == {"0.0": {"completed": ["7"] * 4}, "0.1": {"completed": ["7"] * 4}}
    assert update["usage"]["calls"] == 1
    assert update["usage"]["completions"] == 8
    assert update["usage"]["completion_tokens"] > 0


def test_statement_53_the_original_question_is_asked(driven, view, task, tree):
    nodes = tree(
        {
            "0.0": ("rephrase", "Rephrase: Add 3 and 4.\n"),
            "0.0.0": ("finish", SEVEN, "7"),
            "0.1": ("finish", EIGHT, "8"),
        }
    )
    verifier = ScriptedPolicy(says(7))
    verified(driven, view, task, nodes, verifier)
    asked = {request.state.messages for request in verifier.calls[0]}
    assert asked == {(("user", "What is 3 plus 4?"),)}
    assert not any("Rephrase" in request.state.text for request in verifier.calls[0])


def test_statement_53_the_answer_is_that_of_the_completion_alone(driven, view, task, tree):
    early = "The answer is 7. Or it is not, who can tell from so few words?"
    nodes = tree({"0.0": ("finish", early, "7"), "0.1": ("finish", EIGHT, "8")})
    update, _ = verified(driven, view, task, nodes, ScriptedPolicy(once(" Nobody.")))
    assert update["stats"]["0.0"] == {"completed": [None] * 4}


def test_statement_53_a_prefill_is_none_of_the_completion(driven, view, task, tree, opening):
    forms = task_forms(task, opening)
    early = "The answer is 7. Or it is not, who can tell from so few words?"
    nodes = tree({"0.0": ("finish", early, "7"), "0.1": ("finish", EIGHT, "8")})
    verifier = ScriptedPolicy(once(" Nobody."))
    update, _ = verified(driven, view, replace(task, forms=forms), nodes, verifier)
    assert verifier.calls[0][2].prefill.startswith("The answer is 7.")
    assert update["stats"]["0.0"] == {"completed": [None] * 4}


def task_forms(task, opening):
    from langchain_qstar.actions import InlineForms

    class Prefilling(InlineForms):
        def completing(self, question, prefix):
            return opening(question, prefix)

    return Prefilling(task)


def test_statement_54_unanimous_candidates_are_not_sent(driven, view, task, tree):
    nodes = tree({"0.0": ("finish", SEVEN, "7"), "0.1": ("finish", "The answer is 7.0.", "7.0")})
    verifier = ScriptedPolicy(says(7))
    update, events = verified(driven, view, task, nodes, verifier)
    assert (update["stats"], events, verifier.calls) == ({}, [], [])


def test_unanimous_candidates_are_sent_while_others_may_follow(driven, view, task, tree):
    nodes = tree({"0.0": ("finish", SEVEN, "7")})
    update, _ = verified(driven, view, task, nodes, ScriptedPolicy(says(7)), verify="during")
    assert update["stats"] == {"0.0": {"completed": ["7"] * 4}}


def test_what_a_search_would_withhold_is_not_sent(driven, view, task, tree):
    verifier = ScriptedPolicy(says(7))
    update, _ = verified(driven, view, task, tree(TWO), verifier, abstain=True)
    assert (update["stats"], verifier.calls) == ({}, [])


def test_statement_54_what_has_no_answer_or_an_overlong_one_is_not_sent(driven, view, task, tree):
    nodes = tree(TWO | {"0.2": ("finish", "Who knows?"), "0.3": ("finish", "x", "9" * 101)})
    update, _ = verified(driven, view, task, nodes, ScriptedPolicy(says(7)))
    assert update["stats"].keys() == {"0.0", "0.1"}


def test_statement_58_the_verifier_never_sees_a_gold_answer_for_there_is_none(
    driven, view, task, tree
):
    nodes = tree(TWO)
    verifier = ScriptedPolicy(says(7))
    verified(driven, view, task, nodes, verifier)
    assert not any("gold" in key for record in nodes.values() for key in record)
    assert "answer is" not in "".join(r.state.text for r in verifier.calls[0])


def test_statement_59_identical_texts_are_sent_once_and_verified_ones_no_more(
    driven, view, task, tree
):
    nodes = tree(
        TWO | {"0.2": ("finish", SEVEN, "7"), "0.3": ("finish", "8? The answer is 8.", "8")}
    )
    verifier = ScriptedPolicy(says(7))
    update, _ = verified(
        driven, view, task, nodes, verifier, stats={"0.1": {"completed": [None] * 4}}
    )
    assert update["stats"].keys() == {"0.0", "0.3"}


def test_statement_60_a_failing_verifier_disagrees_and_aborts_nothing(driven, view, task, tree):
    verifier = Failing(says(7), word="")
    update, _ = verified(driven, view, task, tree(TWO), verifier)
    assert update["stats"] == {each: {"completed": [None] * 4} for each in ("0.0", "0.1")}
    assert len(verifier.calls) <= MOST_FAILURES


@pytest.mark.parametrize("error", [ModelError, QuestionError, TimeoutError, ConnectionError])
def test_statement_60_a_batch_that_fails_is_asked_in_parts(driven, view, task, tree, error):
    verifier = Failing(says(7), word="So", error=error)
    update, _ = verified(driven, view, task, tree(TWO), verifier)
    assert update["stats"]["0.0"] == {"completed": ["7"] * 4}
    assert update["stats"]["0.1"] == {"completed": [None] * 4}


def test_statement_60_what_fails_first_keeps_nothing_from_being_asked(driven, view, task, tree):
    update, _ = verified(driven, view, task, tree(TWO), Failing(says(7), word="w1"))
    assert update["stats"]["0.0"] == {"completed": [None] * 4}
    assert update["stats"]["0.1"] == {"completed": ["7"] * 4}


@pytest.mark.parametrize("finish", ["cancelled", "error"])
def test_statement_60_a_cancelled_completion_is_no_match(driven, view, task, tree, finish):
    verifier = Fixed(Completion("the answer is 7.", finish=finish, generated=3))
    update, _ = verified(driven, view, task, tree(TWO), verifier)
    assert update["stats"]["0.0"] == {"completed": [None] * 4}
    assert update["usage"]["completion_tokens"] == 24  # it was paid for all the same


def test_statement_60_a_completion_that_was_cut_off_says_nothing_but_its_answer(
    driven, view, task, tree
):
    lastly = replace(task, answer=lambda text: text.split()[-1])
    cut = Fixed(Completion("it is 7", finish="length"))
    update, _ = verified(driven, view, lastly, tree(TWO), cut)
    assert update["stats"]["0.0"] == {"completed": [None] * 4}


def test_statement_60_missing_completions_are_no_match(driven, view, task, tree):
    few = Fixed(Completion("the answer is 7."))
    update, _ = verified(driven, view, task, tree(TWO), few, completions_per_mask=2, masks=(0.5,))
    assert update["stats"]["0.0"] == {"completed": ["7", None]}


def test_a_verifier_without_room_for_a_candidate_disagrees(driven, view, task, tree):
    verifier = ScriptedPolicy(says(7), window=31)
    update, _ = verified(driven, view, task, tree(TWO), verifier)
    assert update["stats"]["0.0"]["completed"][-1] is None
    assert update["stats"]["0.1"] == {"completed": ["7"] * 4}


def test_masks_seeds_and_sampling_follow_the_settings(driven, view, task, tree):
    verifier = ScriptedPolicy(says(7))
    settings = {
        "random_mask": (0.2, 0.8),
        "completions_per_mask": 3,
        "verifier_temperature": 0.5,
        "repetition_penalty": 1.1,
        "mask_unit": "steps",
    }
    verified(driven, view, task, tree(TWO), verifier, **settings)
    verified(driven, view, task, tree(TWO), verifier, **settings)
    one, again = verifier.calls
    assert one == again
    assert [len(request.seeds) for request in one] == [3, 3]
    assert len({seed for request in one for seed in request.seeds}) == 6
    assert {(each.temperature, each.repetition_penalty) for each in one} == {(0.5, 1.1)}
    verified(driven, view, task, tree(TWO, seed=1), verifier, **settings)
    assert verifier.calls[-1] != one


def test_an_event_tells_what_survived(driven, view, task, tree):
    _, ((event,)) = verified(driven, view, task, tree(TWO), ScriptedPolicy(says(7)))
    assert event["type"] == "verified"
    assert [(each["id"], each["survived"]) for each in event["nodes"]] == [
        ("0.0", True),
        ("0.1", False),
    ]


def test_a_failed_candidate_is_not_sent_where_it_cannot_win(driven, view, task, tree):
    failed = {"checks": [{"name": "arithmetic", "verdict": "failed", "reason": ""}]}
    nodes = tree(TWO | {"0.2": ("finish", "So. The answer is 9.", "9")})
    update, _ = verified(
        driven,
        view,
        task,
        nodes,
        ScriptedPolicy(says(7)),
        stats={"0.1": failed},
        failed_check="prune",
    )
    assert update["stats"].keys() == {"0.0", "0.2"}


def test_budgets_leave_the_verifier_what_is_left(driven, view, task, tree):
    nodes = tree(TWO, max_completions=25)
    spent = {"completions": 20, "completion_tokens": 100}
    verifier = ScriptedPolicy(says(7))
    update, _ = verified(driven, view, task, nodes, verifier, usage=spent)
    assert update["stats"].keys() == {"0.0"}
    nodes = tree(TWO, max_tokens=100)
    assert verified(driven, view, task, nodes, verifier, usage=spent)[0]["stats"] == {}


@pytest.mark.parametrize(("rollouts", "stopped"), [(3, None), (4, "decided"), (16, None)])
def test_a_search_that_is_decided_stops(driven, view, task, tree, rollouts, stopped):
    nodes = tree(TWO, num_rollouts=rollouts)
    beat = make_verify_by_completion(ScriptedPolicy(says(7)), task, RStarSettings(verify="during"))
    update, _ = driven(beat, view(nodes, ended=["0.0", "0.0", "0.0"]))
    assert update.get("stopped") == stopped


def test_self_verification_asks_a_judge_instead(driven, view, task, tree):
    verifier, judge = ScriptedPolicy(says(7)), ScriptedScorer({SEVEN: 0.25, EIGHT: 0.75})
    update, _ = verified(
        driven, view, task, tree(TWO), verifier, judge=judge, selection="self_verification"
    )
    assert update["stats"] == {"0.0": {"belief": 0.25}, "0.1": {"belief": 0.75}}
    assert verifier.calls == []


def test_a_judge_that_fails_believes_nothing(driven, view, task, tree):
    class Broken(ScriptedScorer):
        def score(self, requests):
            raise ModelError("out of order")

    for judge in (Broken({}), ScriptedScorer(lambda _: float("nan"))):
        update, _ = verified(
            driven,
            view,
            task,
            tree(TWO),
            ScriptedPolicy({}),
            judge=judge,
            selection="self_verification",
        )
        assert update["stats"] == {}
