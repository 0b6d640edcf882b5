from __future__ import annotations

import numpy as np
import pytest
import torch

from langchain_qstar.chains import QStarChain
from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring.value_model import ValueModelScorer

ROOT = State("How many?", (("user", "How many?"),))
FIRST = Step("3+4=7\n", token_ids=(1, 2, 3))
CANDIDATES = (Step("7-2=5\n"), Step("so 7\n"))


@pytest.fixture
def judge(llama, make_tokenizer):
    made = TransformersPolicy(llama, make_tokenizer(), name="judge")
    yield made
    made.close()


def expected(llama, judge, text):
    """P(+) / (P(+) + P(-)) after the prompt and a text, by a plain pass."""
    ids = [*judge.path_ids(ROOT), *judge._codec.encode(text)]
    with torch.no_grad():
        after = llama(torch.tensor([ids])).logits[0, -1]
    good, bad = (after[judge._codec.encode(word)[0]] for word in "+-")
    return float(torch.sigmoid(good - bad))


def test_values_are_those_of_a_plain_pass_over_marked_steps(llama, judge):
    scorer = ValueModelScorer(judge, mark=" #")
    (scores,) = scorer.score([ScoreRequest(ROOT.then(FIRST), CANDIDATES)])
    texts = ["3+4=7 #\n7-2=5 #", "3+4=7 #\nso 7 #"]
    np.testing.assert_allclose(
        scores.values, [expected(llama, judge, text) for text in texts], atol=1e-5
    )
    assert scorer.name == "judge"


def test_a_chat_model_may_be_asked_once_at_the_end(llama, judge):
    scorer = ValueModelScorer(judge, mark=" right?", marks_all=False)
    (scores,) = scorer.score([ScoreRequest(ROOT.then(FIRST), CANDIDATES[:1])])
    assert scores.values[0] == pytest.approx(
        expected(llama, judge, "3+4=7\n7-2=5 right?"), abs=1e-5
    )


async def test_only_what_is_new_is_read(judge):
    scorer = ValueModelScorer(judge, mark=" #")
    (first,) = await scorer.ascore([ScoreRequest(ROOT, (FIRST,))])
    assert first.read_tokens == len(judge.path_ids(ROOT)) + len("3+4=7 #")
    (second,) = await scorer.ascore([ScoreRequest(ROOT.then(FIRST), CANDIDATES)])
    # The line end after the first step is read with each candidate: it is too short to share.
    assert second.read_tokens == len("\n7-2=5 #") + len("\nso 7 #")
    (again,) = scorer.score([ScoreRequest(ROOT.then(FIRST), CANDIDATES)])
    assert (again.read_tokens, again.values) == (0, second.values)


def test_requests_without_steps_are_answered(judge):
    assert ValueModelScorer(judge).score([ScoreRequest(ROOT, ())])[0].values == ()


def test_verdicts_must_be_two_single_tokens(judge):
    with pytest.raises(ModelSpecError, match="two words"):
        ValueModelScorer(judge, good="+", bad="+")
    with pytest.raises(ModelSpecError, match=r"'good' is 4 tokens for judge"):
        ValueModelScorer(judge, good="good").score([ScoreRequest(ROOT, CANDIDATES)])


def test_a_model_that_tells_no_probabilities_cannot_judge():
    with pytest.raises(ModelSpecError, match="ScriptedPolicy does not say"):
        ValueModelScorer(ScriptedPolicy({}))


def test_a_search_may_have_one_model_that_proposes_and_one_that_judges(
    llama, make_tokenizer, judge
):
    policy = TransformersPolicy(llama, make_tokenizer(), name="proposer")
    chain = QStarChain(
        policy, ValueModelScorer(judge), settings={"max_pops": 4, "num_samples": 2}, task="nano"
    )
    solution = chain.invoke("2 + 3?")
    assert all(0 <= (node.q or 0) <= 1 for node in solution.tree)
    assert judge.counters.prefilled
    assert not judge.counters.generated
    policy.close()
