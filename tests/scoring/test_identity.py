from __future__ import annotations

from langchain_qstar import ScriptedPolicy
from langchain_qstar.scoring.identity import difference, identity_of

MINE = {"name": "a", "token_ids": [1, 2, 3], "logprobs": [-1.0, -2.0]}


def test_a_policy_that_cannot_say_how_it_reads_is_told_by_its_name():
    assert identity_of(ScriptedPolicy({}, name="a")) == {"name": "a"}
    assert difference({"name": "a"}, {"name": "a"}) is None
    assert difference({"name": "b"}, MINE) == "the model (a, not b)"


def test_another_name_is_no_difference_where_the_reading_is_the_same():
    assert difference(MINE, MINE | {"name": "b"}) is None


def test_another_precision_is_no_difference_and_another_training_is():
    assert difference(MINE, MINE | {"logprobs": [-1.05, -1.95]}) is None
    assert difference(MINE, MINE | {"logprobs": [-1.4, -2.0]}) == "the weights (of a, not of a)"


def test_other_token_ids_are_another_tokenizer():
    found = difference(MINE, MINE | {"token_ids": [1, 2, 4], "name": "b"})
    assert found == "the tokenizer (of b, not of a)"
