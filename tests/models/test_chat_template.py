from __future__ import annotations

import pytest

from langchain_qstar.actions import Trace
from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.chat_template import PLAIN, template_text
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.remote.template import ChatTemplate
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.tasks import CHOICE, GSM8K, MATH, STRATEGYQA, fit_rstar_task, fit_task

TEXT = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
PICKY = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}<assistant>"
)
"""As Gemma's and Mistral's templates are."""


def test_a_name_for_none_a_file_a_folder_or_text_may_be_given(tmp_path):
    (tmp_path / "chat_template.jinja").write_text(TEXT)
    given = TEXT, tmp_path / "chat_template.jinja", str(tmp_path / "chat_template.jinja"), tmp_path
    assert {template_text(each) for each in given} == {TEXT}
    assert template_text("plain") == PLAIN


@pytest.mark.parametrize("given", ["nowhere.jinja", "", "x" * 5000, "a\0b", "~nobody-has-this/x"])
def test_what_is_not_there_is_one_line(given):
    with pytest.raises(ModelSpecError, match="give Jinja text, a file of it") as caught:
        template_text(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{% for %}", "{% for m in messages %}", "{{ messages[ }}"])
def test_a_file_that_does_not_compile_is_one_line(tmp_path, text):
    (tmp_path / "mine.jinja").write_text(text)
    with pytest.raises(ModelSpecError, match="is no Jinja") as caught:
        template_text(tmp_path / "mine.jinja")
    assert "\n" not in str(caught.value)


def test_a_picky_template_refuses_what_it_refuses(make_tokenizer):
    codec = TextCodec(make_tokenizer(template=PICKY))
    for messages in ((("system", "a"),), (("user", "a"), ("user", "b"))):
        with pytest.raises(ModelSpecError, match="refuses the messages"):
            codec.prompt(messages)
        with pytest.raises(ModelSpecError, match="refuses the messages"):
            ChatTemplate(PICKY).render(messages)


@pytest.mark.parametrize("task", [GSM8K, MATH, STRATEGYQA, CHOICE], ids=lambda each: each.name)
def test_no_prompt_of_ours_needs_a_system_turn_or_two_turns_in_a_row(task, make_tokenizer):
    codec, policy = TextCodec(make_tokenizer(template=PICKY)), ScriptedPolicy({})
    styles = ({}, {"prompts": "few-shot"}, {"prompts": "completion"})
    asked = [fit_task(task, policy, **told).messages("Why?") for told in styles]
    forms = fit_rstar_task(task, policy).forms
    asked += [
        forms.opening(each, Trace("Why?")).state.messages
        for each in forms.actions
        if each != "re_answer"
    ]
    for messages in asked:
        assert codec.prompt(messages) == codec.encode(ChatTemplate(PICKY).render(messages))
