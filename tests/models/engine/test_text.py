from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.engine.text import TextCodec

CHAT = (("user", "Who?"),)
SWITCH = (
    "{% for m in messages %}{{ m['content'] }}{% endfor %}>"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
)
OPENS = "{% for m in messages %}{{ m['content'] }}{% endfor %}><think>\n"


@pytest.fixture
def codec(make_tokenizer):
    def make(template, **options):
        return TextCodec(make_tokenizer(template=template, thinks=True), **options)

    return make


def prompt(codec, messages=CHAT, *, thinking=False):
    ids = codec.prompt(messages, thinking)
    text = codec.tokenizer.decode(ids, skip_special_tokens=False)
    return text, codec.in_thought(ids)


def test_without_a_chat_template_messages_are_joined_as_text(make_tokenizer):
    base = TextCodec(make_tokenizer(template=None))
    assert prompt(base)[0] == "Who?\n"
    assert (base.chats, base.lacks_template) == (False, True)


def test_what_answers_chats_has_a_template_of_its_own_or_a_given_one(make_tokenizer, codec):
    assert codec(SWITCH).chats
    given = TextCodec(make_tokenizer(template=None), "{{ messages[0]['content'] }}!")
    assert (given.chats, given.lacks_template) == (True, False)
    joined = codec(SWITCH, chat_template="plain")
    assert (joined.chats, joined.lacks_template) == (False, False)


def test_a_given_template_may_be_a_file(codec, tmp_path):
    (tmp_path / "mine.jinja").write_text("{{ messages[0]['content'] }}!")
    assert prompt(codec(SWITCH, chat_template=tmp_path / "mine.jinja"))[0] == "Who?!"


def test_a_template_of_ones_own_replaces_the_tokenizers(codec):
    given = codec(SWITCH, chat_template="{{ messages[0]['content'] }}!")
    assert prompt(given)[0] == "Who?!"


def test_a_template_that_refuses_the_messages_is_one_line(codec):
    refusing = codec("{{ raise_exception('no system\nplease') }}")
    with pytest.raises(ModelSpecError, match=r"refuses the messages: no system$"):
        refusing.prompt(CHAT)


def test_a_last_message_of_the_assistant_is_continued(codec):
    template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}"
        "{% if not loop.last %}.{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    messages = (*CHAT, ("assistant", "It was"))
    assert prompt(codec(template), messages)[0] == "[user]Who?.[assistant]It was"
    assert prompt(codec(template))[0] == "[user]Who?[assistant]"


def test_the_switch_of_a_template_is_off_unless_asked_for(codec):
    assert prompt(codec(SWITCH)) == ("Who?><think>\n\n</think>\n\n", False)
    assert prompt(codec(SWITCH), thinking=True) == ("Who?>", False)


def test_a_thought_that_a_template_opens_is_closed_unless_asked_for(codec):
    assert prompt(codec(OPENS)) == ("Who?><think>\n</think>\n\n", False)
    assert prompt(codec(OPENS), thinking=True) == ("Who?><think>", True)


def test_a_tokenizer_without_think_tokens_knows_a_thought_by_its_spelling(make_tokenizer):
    codec = TextCodec(make_tokenizer())
    assert codec.think_tags is None
    assert codec.in_thought(codec.encode("Go on.<think>\n"))
    assert not codec.in_thought(codec.encode("<think>12</think>\n"))


def test_a_word_that_loses_its_space_alone_may_complete_a_stop_string_that_ends_with_one():
    words = WordLevel({"▁yes": 0, "no": 1, "▁a\n": 2, "?": 3}, "?")
    bare = Tokenizer(words)
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    codec = TextCodec(PreTrainedTokenizerFast(tokenizer_object=bare), "plain")
    assert codec.decode([0]) == "yes"
    assert codec.may_complete((". ",), 4).tolist() == [True, False, True, False]
    assert codec.may_complete(("\n",), 4).tolist() == [False, False, True, False]
    assert codec.may_complete(("s", "?"), 6).tolist() == [True, False, False, True, False, False]
    assert not codec.may_complete((), 4).any()
