from __future__ import annotations

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from langchain_qstar.errors import ModelError
from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring.judge import JudgeScorer

STATE = State("What is 2+3?").then(Step("First I add.\n"))


def judge(*replies):
    return JudgeScorer(GenericFakeChatModel(messages=iter(replies)))


def request(*texts):
    return ScoreRequest(STATE, tuple(Step(text) for text in texts))


async def test_a_grade_of_ten_is_a_value_of_1():
    scorer = judge("It adds up. Grade: 10", "grade: 2.5 ", "Grade: 3\nno, Grade: **4**")
    scores = [scorer.score([request(each)])[0] for each in "ab"]
    scores += await scorer.ascore([request("c")])
    assert [each.values for each in scores] == [(1.0,), (0.25,), (0.4,)]
    assert scorer.unparsed == 0


@pytest.mark.parametrize("reply", ["I like it.", "Grade: 11", "Grade: ten", ""])
def test_a_reply_without_a_grade_is_neither_good_nor_bad_and_is_counted(reply):
    scorer = judge(reply)
    assert scorer.score([request("a")])[0].values == (0.5,)
    assert scorer.unparsed == 1


def test_the_judge_sees_question_steps_and_step_and_its_tokens_count():
    usage = {"input_tokens": 50, "output_tokens": 7, "total_tokens": 57}
    seen = []

    class Seeing(GenericFakeChatModel):
        def _generate(self, messages, *args, **kwargs):
            seen.append(messages[0].text)
            return super()._generate(messages, *args, **kwargs)

    replies = iter([AIMessage("Grade: 5", usage_metadata=usage)])
    scores = JudgeScorer(Seeing(messages=replies)).score([request("2+3=5\n")])
    assert all(part in seen[0] for part in ("What is 2+3?", "First I add.", "2+3=5"))
    assert (scores[0].completions, scores[0].generated_tokens, scores[0].read_tokens) == (1, 7, 50)


def test_only_when_every_call_fails_the_judge_fails():
    class Failing(GenericFakeChatModel):
        def _generate(self, messages, *args, **kwargs):
            if "bad" in messages[0].text:
                raise RuntimeError("no such server")
            return super()._generate(messages, *args, **kwargs)

    scorer = JudgeScorer(Failing(messages=iter(["Grade: 8"])), max_concurrency=1)
    assert scorer.score([request("bad", "fine")])[0].values == (0.5, 0.8)
    with pytest.raises(ModelError, match="every call of judge:Failing failed: no such server"):
        scorer.score([request("bad")])
