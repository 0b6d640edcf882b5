"""Chat templates of strangers: as transformers renders them, and never for ever."""

from __future__ import annotations

import time

import pytest

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.chat_template import ChatRenderer

CHAT = [{"role": "user", "content": " Who?\n"}, {"role": "assistant", "content": "Me.\n"}]
ASKED = CHAT[:1]

HOSTILE = {
    "two loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "a long range": "{% for a in range(10**8) %}{% endfor %}",
    "a product": "{{ ('a' * 100000) * 100000 }}",
    "a list": "{{ ([1] * 100000) * 100000 }}",
    "doubling by ~": "{% set n = namespace(x='aa') %}"
    "{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling by +": "{% set n = namespace(x='aa') %}"
    "{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubling a list": "{% set n = namespace(x=[1]) %}"
    "{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "squaring": "{% set n = namespace(x=3) %}"
    "{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "a power": "{{ 9 ** 9 ** 9 ** 9 ** 9 }}",
    "a wide field": "{{ 'a'.ljust(10**9) }}",
    "a wide number": "{{ '%1000000000d' % 1 }}",
    "a wide number by a filter": "{{ '%1000000000d'|format(1) }}",
    "a wide format": "{{ '{:>1000000000}'.format(1) }}",
    "a width in a width": "{{ '{:{w}}'.format(1, w='1000000000') }}",
    "a deep indent": "{{ 'a b'|indent(1000000000, true) }}",
    "a long replacement": "{{ ('a' * 4000000)|replace('a', 'b' * 4000000) }}",
    "a long replacement by a method": "{{ ('a' * 4000000).replace('a', 'b' * 4000000) }}",
    "joined by a long text": "{{ range(9999)|map('string')|join('x' * 99999) }}",
    "joined by a method": "{{ ''.join(['a' * 4000000] * 9000) }}",
    "a macro that calls itself twice": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "filler": "{% set x = 'a' * 4000000 %}{% for i in range(9000) %}{{ x }}{% endfor %}",
    "words without end": "{{ lipsum(n=10000) }}",
    "a shell": "{{ cycler.__init__.__globals__.os.system('id') }}",
    "another shell": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a file": "{% include '/etc/passwd' %}",
    "a name of its own": "{% set n = namespace() %}{% set n.__class__ = 1 %}",
}


@pytest.mark.parametrize("misdeed", HOSTILE)
def test_a_hostile_template_is_one_line_and_ends_in_a_moment(misdeed):
    started = time.process_time()
    with pytest.raises(ModelSpecError, match="the chat template") as raised:
        ChatRenderer(HOSTILE[misdeed]).render(ASKED)
    assert time.process_time() - started < 3
    assert "\n" not in str(raised.value)


USUAL = {
    "loops": "{% for m in messages %}{{ loop.index0 }}{{ m['role'] }}:{{ m.content | trim }}"
    "{% if not loop.last %}|{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}",
    "a namespace": "{% set n = namespace(seen=false) %}{% for m in messages %}"
    "{% if m.role == 'user' %}{% set n.seen = true %}{% endif %}{% endfor %}{{ n.seen }}"
    "{{ messages[-1].content }}",
    "tokens": "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}",
    "slices": "{% set rest = messages[1:] if messages[0].role == 'user' else messages %}"
    "{{ messages[0].content.split('h')[-1].strip() }}"
    "{% for m in rest %}{{ m.content }}{% endfor %}",
    "a macro": "{% macro turn(m) -%}<{{ m.role }}>{{ m.content }}{%- endmacro %}"
    "{% for m in messages %}{{ turn(m) }}{% endfor %}",
    "what the assistant says": "{% for m in messages %}{% generation %}{{ m.content }}"
    "{% endgeneration %}{% endfor %}",
    "formats": "{{ '%s-%s' | format(messages[0].role, 1) }}{{ '{} {:>3}'.format(1, 2) }}"
    "{{ 'a,b'.split(',') | join('-') }}{{ messages | map(attribute='role') | join(',') }}"
    "{{ messages[-1].content }}",
    "numbers": "{{ 2 * 3 + 4 // 2 - 2 ** 3 }}{{ messages | length }}{{ messages[-1].content }}",
}
TOOLS = [{"type": "function", "function": {"name": "f", "description": "ü <b>"}}]
WITH_TOOLS = (
    "{% if tools %}{% for t in tools %}{{ t | tojson }}{{ t | tojson(indent=2) }}{% endfor %}"
    "{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize("usual", USUAL)
@pytest.mark.parametrize("messages", [ASKED, CHAT], ids=["asked", "continued"])
def test_usual_templates_are_rendered_as_by_transformers(make_tokenizer, usual, messages):
    tokenizer = make_tokenizer(template=USUAL[usual])
    continued = messages is CHAT
    expected = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=not continued,
        continue_final_message=continued,
    )
    ours = ChatRenderer(USUAL[usual], tokenizer.special_tokens_map)
    assert ours.render(messages) == expected


def test_tools_are_rendered_as_by_transformers(make_tokenizer):
    tokenizer = make_tokenizer(template=WITH_TOOLS)
    expected = tokenizer.apply_chat_template(ASKED, tools=TOOLS, tokenize=False)
    assert ChatRenderer(WITH_TOOLS).render(ASKED, TOOLS) == expected


def test_what_a_message_lacks_is_not_written_out():
    template = "{% for m in messages %}{{ m.content }}{{ m.tool_calls is defined }}{% endfor %}"
    chat = [{"role": "user", "content": "a", "tool_calls": None}]
    assert ChatRenderer(template).render(chat) == "aFalse"


def test_a_long_chat_is_within_the_limits():
    chat = [{"role": "user", "content": "word " * 20_000}] * 50
    assert len(ChatRenderer(USUAL["loops"]).render(chat)) > 4_000_000
