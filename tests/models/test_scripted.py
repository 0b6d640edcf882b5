from __future__ import annotations

from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import (
    Completion,
    Policy,
    SampleRequest,
    ScoreRequest,
    State,
    Step,
    StepScorer,
)

START = State("q", (("user", "one two"),))


def ask(policy: ScriptedPolicy, *, samples: int = 1, **options: object) -> list[Completion]:
    request = SampleRequest(START, seeds=tuple(range(samples)), **options)  # type: ignore[arg-type]
    return policy.sample([request])[0]


def test_they_are_a_policy_and_a_scorer():
    assert isinstance(ScriptedPolicy({}), Policy)
    assert isinstance(ScriptedScorer({}), StepScorer)


def test_samples_take_the_continuations_in_turn():
    texts = [each.text for each in ask(ScriptedPolicy({"": ["a\n", "b\n"]}), samples=3)]
    assert texts == ["a\n", "b\n", "a\n"]


def test_by_seed_a_sample_depends_on_its_seed_alone():
    policy = ScriptedPolicy({"": ["a\n", "b\n"]}, by_seed=True)
    one = policy.sample([SampleRequest(START, seeds=(1,))])
    both = policy.sample([SampleRequest(START, seeds=(0, 1))])
    assert one[0][0] == both[0][1]
    assert one[0][0].text == "b\n"


def test_greedy_takes_the_first():
    texts = [
        each.text for each in ask(ScriptedPolicy({"": ["a\n", "b\n"]}), samples=2, temperature=0)
    ]
    assert texts == ["a\n", "a\n"]


def test_a_continuation_is_cut_after_the_first_stop_string():
    (completion,) = ask(ScriptedPolicy({"": ["a;b\nc\n"]}), stop=("\n", ";"))
    assert (completion.text, completion.finish) == ("a;", "stop")


def test_without_a_stop_string_the_script_is_followed_to_its_end():
    (completion,) = ask(ScriptedPolicy({"": ["a\n"], "a\n": ["b\n"]}), stop=())
    assert (completion.text, completion.finish) == ("a\nb\n", "eos")
    assert completion.generated == 3


def test_a_script_without_end_is_cut_by_max_tokens():
    (completion,) = ask(ScriptedPolicy(lambda _: ["a b\n"]), stop=(), max_tokens=5)
    assert (completion.text, completion.finish, completion.generated) == (
        "a b\na b\na ",
        "length",
        5,
    )


def test_a_text_ends_where_the_request_says_and_costs_no_more():
    policy = ScriptedPolicy({"": ["a b\nend\nmore\n"]})
    (completion,) = ask(policy, stop=(), ends=lambda text: text.find("end\n") + 4)
    assert (completion.text, completion.finish) == ("a b\nend\n", "stop")
    assert completion.generated == 3


def test_the_end_of_a_text_is_a_token_that_must_have_room():
    policy = ScriptedPolicy({"": ["a b"]})
    (cut,), (whole,) = (ask(policy, stop=(), max_tokens=most) for most in (2, 3))
    assert (cut.text, cut.finish, cut.generated) == ("a b", "length", 2)
    assert (whole.text, whole.finish, whole.generated) == ("a b", "eos", 3)


def test_an_unknown_state_gets_the_empty_text():
    (completion,) = ask(ScriptedPolicy({}))
    assert (completion.text, completion.finish) == ("", "eos")


def test_a_prefill_is_part_of_the_text_and_of_the_state_it_is_looked_up_by():
    (completion,) = ask(ScriptedPolicy({"Q:": [" why?\n"]}), prefill="Q:")
    assert completion.text == "Q: why?\n"


def test_tokens_are_words():
    policy = ScriptedPolicy({"": ["a bb a\n"]}, logprob=-0.5)
    assert policy.count_tokens("a bb a\n") == 3
    (completion,) = ask(policy)
    assert completion.token_ids is not None
    assert completion.token_ids[0] != completion.token_ids[1]
    assert completion.logprobs == (-0.5, -0.5, -0.5)
    assert (completion.generated, completion.prompt_tokens) == (3, 2)


async def test_what_was_asked_is_recorded_and_async_gives_the_same():
    policy = ScriptedPolicy({"": ["a\n"]})
    request = SampleRequest(START, seeds=(1,))
    assert await policy.asample([request]) == policy.sample([request])
    assert policy.calls == [(request,), (request,)]


async def test_values_are_found_by_trajectory_then_by_step():
    scorer = ScriptedScorer({"a\nb\n": 0.9, "b": 0.5, "c\n": 0.3}, default=0.1)
    after = ScoreRequest(START.then(Step("a\n")), (Step("b\n"), Step("c\n"), Step("d\n")))
    before = ScoreRequest(START, (Step("b\n"),))
    assert [each.values for each in scorer.score([after, before])] == [(0.9, 0.3, 0.1), (0.5,)]
    assert await scorer.ascore([before]) == scorer.score([before])
    assert len(scorer.calls) == 3


def test_values_may_be_computed_from_the_trajectory():
    scorer = ScriptedScorer(len)
    (scores,) = scorer.score([ScoreRequest(START.then(Step("a\n")), (Step("bb\n"),))])
    assert scores.values == (5,)
