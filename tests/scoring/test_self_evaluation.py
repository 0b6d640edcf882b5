from __future__ import annotations

import math

import pytest

from langchain_qstar import ScriptedPolicy
from langchain_qstar.errors import ModelSpecError
from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring.resolve import resolve_scorer
from langchain_qstar.scoring.self_evaluation import SelfEvaluationScorer


class Opinion(ScriptedPolicy):
    """Says Yes with 0.6 and No with 0.2 of anything with `=5` in it, else the other way round."""

    def path_ids(self, state):
        return tuple(range(10))

    def token_logprobs(self, states, steps):
        likes = [
            ("=5" in s.messages[0][1]) == (step.text == "Yes")
            for s, step in self.both(states, steps)
        ]
        return [(math.log(0.3), math.log(2.0)) if each else (math.log(0.2),) for each in likes]

    @staticmethod
    def both(states, steps):
        return zip(states, steps, strict=True)


REQUEST = ScoreRequest(State("What is 2+3?"), (Step("2+3=5\n"), Step("2+3=6\n")))


async def test_the_value_is_the_share_of_yes_in_yes_and_no():
    scorer = SelfEvaluationScorer(Opinion({}))
    scores = scorer.score([REQUEST, REQUEST])
    assert scores[0].values == pytest.approx((0.75, 0.25))
    assert scores[0].generated_tokens == 0
    assert scores[0].read_tokens == 20
    assert await scorer.ascore([REQUEST, REQUEST]) == scores


def test_a_policy_without_log_probabilities_is_refused():
    with pytest.raises(ModelSpecError, match="needs a local model"):
        SelfEvaluationScorer(ScriptedPolicy({}))


@pytest.mark.nano
def test_a_real_model_is_asked_by_its_logits():
    from langchain_qstar.models.resolve import resolve_policy
    from langchain_qstar.prompting import load_prompt

    policy = resolve_policy("nano")
    scorer = resolve_scorer("self-evaluation", policy)
    assert scorer is not None
    values = scorer.score([REQUEST])[0].values
    prompt = load_prompt("self_evaluation", {"question", "steps"})
    text = prompt.fill(question="What is 2+3?", steps="2+3=6")
    asked = State("What is 2+3?", (("user", text),))
    yes, no = (
        math.exp(sum(policy.token_logprobs([asked], [Step(word)])[0]))  # type: ignore[attr-defined]
        for word in ("Yes", "No")
    )
    assert values[1] == pytest.approx(yes / (yes + no), rel=1e-3)
