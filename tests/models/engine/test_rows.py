from __future__ import annotations

import numpy as np
import pytest

from langchain_qstar.models.engine.backend import Sampling
from langchain_qstar.models.engine.rows import Endings, Row
from langchain_qstar.models.engine.text import TextCodec


@pytest.fixture
def draw(make_tokenizer):
    """Draws the given pieces one after the other, as far as the row wants them."""
    tokenizer = make_tokenizer("ab", "\n\n", thinks=True)
    codec = TextCodec(tokenizer)
    endings = Endings(codec, [tokenizer.eos_token_id], len(tokenizer))

    def run(*pieces, stop=("\n",), limit=50, thought_limit=50, opened=False):
        row = Row((1,), stop, Sampling(0), limit, thought_limit, opened)
        kinds = np.array([endings.kind(stop)])
        for token in (token for piece in pieces for token in tokenizer.encode(piece)):
            if row.feed is not None:
                break
            row.took(token, -1.0)
            if endings.notable(kinds, [token])[0] or row.left <= 0:
                endings.look(row)
        return row

    return run


def told(row):
    return row.text, row.finish, row.generated, row.thought


def test_a_stop_token_is_still_read_so_that_its_step_can_be_continued(draw):
    row = draw("so\n")
    assert told(row) == ("so\n", "stop", 3, 0)
    assert (row.feed, row.whole, row.node_tokens) == (row.ids[-1:], True, tuple(row.ids))


def test_nothing_comes_after_an_end_token_so_it_is_not_read(draw):
    row = draw("so", "<|end|>")
    assert told(row) == ("so", "eos", 3, 0)
    assert row.feed == []
    assert len(row.ids) == len(row.logprobs) == 2


def test_of_a_cut_token_its_kept_part_is_read_instead(draw):
    row = draw("o\n\n")
    assert told(row) == ("o\n", "stop", 2, 0)
    assert (len(row.ids), row.feed, row.whole) == (1, row.cut, True)
    assert row.logprobs == [-1.0, -1.0]


def test_a_character_of_several_tokens_that_ends_early_is_not_kept(draw):
    row = draw("a€", stop=("\u20ac",))
    assert told(row) == ("a€", "stop", 4, 0)
    assert row.whole
    assert row.feed == row.ids[-1:]


def test_a_full_row_ends_with_its_last_token_read(draw):
    row = draw("abcdef", limit=3)
    assert told(row) == ("abcd", "length", 3, 0)  # "ab" is one token
    assert row.feed == row.ids[-1:]


def test_a_thought_is_in_neither_text_nor_ids_and_its_stops_mean_nothing(draw):
    row = draw("<think>", "let me\nsee", "</think>", "\n\n", "so\n")
    assert told(row) == ("so\n", "stop", 16, 13)
    assert len(row.ids) == len(row.logprobs) == 3
    assert not row.whole  # what was read holds the thought


def test_a_thought_that_the_prompt_opened_ends_the_same_way(draw):
    row = draw("hm\n", "</think>", "so\n", opened=True)
    assert told(row) == ("so\n", "stop", 7, 4)
    assert not row.whole


def test_a_thought_has_a_limit_of_its_own(draw):
    row = draw("<think>", "x" * 20, thought_limit=5, limit=8)
    assert told(row) == ("", "length", 6, 6)
    longer = draw("x" * 6, "</think>", "y" * 20, opened=True, thought_limit=9, limit=3)
    assert told(longer) == ("yyy", "length", 10, 7)


def test_an_end_within_a_thought_leaves_an_empty_text(draw):
    assert told(draw("<think>", "x", "<|end|>")) == ("", "eos", 3, 2)


def test_a_tag_after_the_first_word_is_text(draw):
    row = draw("so", "<think>", "\n")
    assert (row.finish, row.thought, len(row.ids)) == ("stop", 0, 4)


def test_a_row_that_starts_again_forgets_everything(draw):
    row = draw("<think>", "x", "</think>", "so\n")
    row.restart()
    assert told(row) == ("", "length", 0, 0)
    assert (row.ids, row.logprobs, row.feed, row.left) == ([], [], None, 50)
    assert (row.thinking, row.whole) == (False, True)
    opened = draw("x", "</think>", "so\n", opened=True, thought_limit=9)
    opened.restart()
    assert (opened.thinking, opened.whole, opened.left) == (True, False, 9)
