"""Which replies are the same, how sure a model is, and what a choice costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_qstar.agents.replies import groups_of, same_words, sureness, with_cost


def calling(*names: str, text: str = "") -> AIMessage:
    return AIMessage(text, tool_calls=[{"name": name, "args": {}, "id": name} for name in names])


def counted(text: str, tokens: int) -> AIMessage:
    usage: Any = {"input_tokens": 10, "output_tokens": tokens, "total_tokens": 10 + tokens}
    return AIMessage(text, usage_metadata=usage)


def test_replies_are_grouped_by_what_they_call_or_say():
    replies = [
        AIMessage("a  b"),
        calling("f", "g"),
        AIMessage("a b"),
        calling("g", "f", text="said too"),
        calling("f"),
        AIMessage("c"),
    ]
    assert groups_of(replies, same_words) == [[0, 2], [1, 3], [4], [5]]


@given(st.lists(st.sampled_from(["a", "b", "c"])))
def test_every_reply_is_in_one_group_with_its_equals(texts):
    groups = groups_of([AIMessage(text) for text in texts], same_words)
    assert sorted(place for group in groups for place in group) == list(range(len(texts)))
    assert [len({texts[place] for place in group}) for group in groups] == [1] * len(set(texts))


def test_sureness_is_the_geometric_mean_of_the_token_probabilities():
    # probabilities 1/e and 1/e^3: their geometric mean is 1/e^2
    content = [{"logprob": -1.0}, {"logprob": -3.0}]
    reply = AIMessage("a", response_metadata={"logprobs": {"content": content}})
    assert sureness(reply) == pytest.approx(0.1353352832)
    assert sureness(AIMessage("a")) is None


def test_the_cost_of_all_is_that_of_the_chosen_one():
    chosen = with_cost(counted("a", 3), [counted("b", 4), AIMessage("c")], {"samples": 3})
    assert chosen.usage_metadata == {
        "input_tokens": 20,
        "output_tokens": 7,
        "total_tokens": 27,
    }
    again = with_cost(chosen, [], {"values": [0.5]})
    assert again.response_metadata["search"] == {"samples": 3, "values": [0.5]}


def test_a_cost_that_is_not_known_is_not_made_up():
    assert with_cost(AIMessage("a"), [AIMessage("b")], {}).usage_metadata is None
