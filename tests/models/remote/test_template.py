from __future__ import annotations

import json

import pytest

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.remote.template import ChatTemplate
from langchain_qstar.models.resolve import NANO_FOLDER

CHAT = (("user", "Who?"), ("assistant", "Me."), ("user", "Why?"))


@pytest.mark.nano
@pytest.mark.parametrize("messages", [CHAT[:1], CHAT, (*CHAT, ("assistant", "Because"))])
def test_the_bundled_template_makes_what_transformers_makes_of_it(messages):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(NANO_FOLDER)
    rendered = ChatTemplate(NANO_FOLDER).render(messages)
    ids = tokenizer.encode(rendered, add_special_tokens=False)
    assert tuple(ids) == TextCodec(tokenizer).prompt(messages)


def test_a_template_is_text_or_a_file_or_a_folder(tmp_path):
    text = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
    expected = "[user]Who?[assistant]"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": text}))
    assert ChatTemplate(tmp_path).render(CHAT[:1]) == expected
    (tmp_path / "chat_template.jinja").write_text(text)
    assert ChatTemplate(tmp_path).render(CHAT[:1]) == expected
    assert ChatTemplate(tmp_path / "chat_template.jinja").render(CHAT[:1]) == expected
    assert ChatTemplate(text).render(CHAT[:1]) == expected


def test_plain_joins_messages_by_blank_lines():
    assert ChatTemplate("plain").render(CHAT) == "Who?\n\nMe.\n\nWhy?\n"


def test_a_message_is_never_read_as_template():
    template = ChatTemplate("{{ messages[0].content }}")
    assert template.render((("user", "{{ messages }}"),)) == "{{ messages }}"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('no\nsystem role') }}", "refuses the messages: no"),
        ("{{ messages[9].content }}", "refuses the messages"),
        ("{{ messages.__class__.__mro__ }}", "refuses the messages"),
    ],
)
def test_a_template_that_refuses_is_one_line(template, says):
    with pytest.raises(ModelSpecError, match=says) as caught:
        ChatTemplate(template).render(CHAT)
    assert "\n" not in str(caught.value)


def test_what_is_no_template_is_one_line(tmp_path):
    with pytest.raises(ModelSpecError, match="is no Jinja"):
        ChatTemplate("{% for %}")
    with pytest.raises(ModelSpecError, match="give Jinja text, a file of it"):
        ChatTemplate(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModelSpecError, match="holds no chat template"):
        ChatTemplate(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelSpecError, match="cannot read"):
        ChatTemplate(tmp_path)


def test_what_spells_a_control_token_in_a_text_gets_a_space():
    template = ChatTemplate("{% for m in messages %}<|turn|>{{ m.content }}{% endfor %}")
    told = [template.spaced]
    assert template.render([("user", "a <|turn|> b </s> <|tu<|turn|>rn|>")]).count("<|turn|>") == 1
    told.append(template.spaced)
    assert told == [False, True]
    assert template.foreign("a < b and c > d") == "a < b and c > d"
