from __future__ import annotations

import json

import pytest

from langchain_qstar import GrammarError
from langchain_qstar.models.chat_template import PLAIN
from langchain_qstar.models.engine.grammars import Grammars
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.faces.tool_calls import OURS, CallFormat, choice_of, format_of

TURNS = (
    "{% if tools %}<|user|>{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<|{{ m.role if m.role == 'user' else 'assistant' }}|>\n"
    "{{ m.content }}CALLS<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
EACH = "{% for c in m.tool_calls or [] %}"
# As the models of several makers write calls.
TAGGED = TURNS.replace(
    "CALLS", EACH + "{{ '\\n' }}[CALL]{{ c.function | tojson }}[/CALL]{% endfor %}"
)
LISTED = TURNS.replace(
    "CALLS",
    "{% if m.tool_calls %}CALLS[" + EACH + '{"name": "{{ c.function.name }}", "arguments": '
    '{{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}{{ ", " if not loop.last }}'
    "{% endfor %}]{% endif %}",
)
BARE = TURNS.replace(
    "CALLS",
    "{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}{{ raise_exception('one') }}{% endif %}"
    '{"name": "{{ m.tool_calls[0].function.name }}", "parameters": '
    "{{ m.tool_calls[0].function.arguments | tojson }}}{% endif %}",
)
SPELLED = TURNS.replace("CALLS", EACH + "<f={{ c.function.name }}></f>{% endfor %}")


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


ADD = tool("add", a={"type": "integer"}, b={"type": "integer"})
NOW = {"type": "function", "function": {"name": "now"}}


def call(name, **arguments):
    return {"name": name, "args": arguments, "id": "1"}


@pytest.mark.parametrize(
    ("template", "form"),
    [
        (TAGGED, CallFormat("\n[CALL]", "[/CALL]\n[CALL]", "[/CALL]")),
        (LISTED, CallFormat("CALLS[", ", ", "]")),
        (BARE, CallFormat("", None, "", arguments="parameters")),
        (SPELLED, None),
        (PLAIN, None),
        (TURNS.replace("tools", "others").replace("CALLS", ""), None),
    ],
)
def test_how_a_model_writes_calls_is_found_out_from_its_template(make_tokenizer, template, form):
    assert format_of(TextCodec(make_tokenizer(template=template))) == form


def test_marks_that_are_lost_in_the_text_of_an_answer_cannot_be_used(make_tokenizer):
    template = LISTED.replace("CALLS[", "<|user|>[")
    assert format_of(TextCodec(make_tokenizer(template=template))) is None


FORMS = [OURS, CallFormat("CALLS[", ", ", "]"), CallFormat("", None, "", arguments="parameters")]


@pytest.fixture
def allows(make_tokenizer):
    """Whether a grammar allows a whole text."""
    codec = TextCodec(make_tokenizer())
    size = len(codec.tokenizer)
    grammars = Grammars(lambda: codec.grammar_tokenizer(size, [0]), size)

    def check(grammar, text):
        matcher = grammars.compile(grammar).matcher()
        for token in (*codec.encode(text), 0):
            if not matcher.allowed()[token]:
                return False
            matcher.take(token)
        return True

    return check


def written(form, *calls):
    return form.written([call(*each[:1], **each[1]) for each in calls])


@pytest.mark.parametrize("form", FORMS)
class TestGrammar:
    def grammar(self, form, *, required=True, several=True, strict=None, otherwise=None):
        return form.grammar(
            [ADD, NOW], required=required, several=several, strict=strict, otherwise=otherwise
        )

    def test_a_required_call_names_a_tool_and_has_its_arguments(self, allows, form):
        grammar = self.grammar(form)
        assert allows(grammar, written(form, ("add", {"a": 1, "b": -2})))
        assert allows(grammar, written(form, ("now", {})))
        for wrong in [
            ("add", {"a": 1}),
            ("add", {"a": 1, "b": "x"}),
            ("now", {"a": 1}),
            ("no", {}),
        ]:
            assert not allows(grammar, written(form, wrong))
        assert not allows(grammar, "Hello")

    def test_several_calls_only_where_they_may_be(self, allows, form):
        both = written(form, ("now", {}), ("add", {"a": 1, "b": 2}))
        assert allows(self.grammar(form), both) == (form.between is not None)
        assert not allows(self.grammar(form, several=False), both)

    def test_a_free_model_talks_or_calls_but_never_half(self, allows, form):
        grammar = self.grammar(form, required=False)
        assert allows(grammar, "Hello {you}\n")
        assert allows(grammar, written(form, ("now", {})))
        assert allows(grammar, "Well." + written(form, ("now", {}))) or not form.opening
        assert not allows(grammar, written(form, ("now", {"a": 1})))
        assert not allows(grammar, written(form, ("no", {})))

    def test_instead_of_a_call_json_may_be_asked_for(self, allows, form):
        grammar = self.grammar(form, required=False, otherwise='%json {"type": "integer"}')
        assert allows(grammar, "12")
        assert allows(grammar, written(form, ("now", {})))
        assert not allows(grammar, "Hello")

    def test_not_strict_means_json_of_any_shape(self, allows, form):
        grammar = self.grammar(form, strict=False)
        assert allows(grammar, written(form, ("add", {"c": [1]})))
        assert not allows(grammar, written(form, ("no", {})))


def test_strict_refuses_what_cannot_be_enforced(allows):
    odd = tool("odd", n={"type": "integer", "not": {"const": 3}})

    def grammar(strict):
        return OURS.grammar([odd], required=True, several=False, strict=strict)

    assert allows(grammar(strict=None), written(OURS, ("odd", {"n": 3})))
    with pytest.raises(GrammarError, match="not"):
        allows(grammar(strict=True), "")


def test_definitions_of_a_tool_are_found(allows):
    schema = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/Point"}},
        "required": ["at"],
        "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    }
    point = {"type": "function", "function": {"name": "go", "parameters": schema}}
    grammar = OURS.grammar([NOW, point], required=True, several=False, strict=True)
    assert allows(grammar, written(OURS, ("go", {"at": {"x": 3}})))
    assert not allows(grammar, written(OURS, ("go", {"at": {"y": 3}})))


@pytest.mark.parametrize("form", FORMS)
class TestReading:
    def test_what_was_written_is_read(self, form):
        calls = [("add", {"a": 1, "b": 2}), ("now", {})][: 2 if form.between else 1]
        content, found, invalid = form.read(written(form, *calls))
        assert (content, invalid) == ("", [])
        assert [(each["name"], each["args"]) for each in found] == calls
        assert len({each["id"] for each in found}) == len(calls)

    def test_text_is_text(self, form):
        for text in ("", "Hello", "Hello {", "[1]", '{"a": 1}'):
            assert form.read(text) == (text, [], [])

    def test_what_ends_inside_a_call_is_told_as_it_is(self, form):
        cut = written(form, ("add", {"a": 1, "b": 2}))[: len(form.opening) + 20]
        content, found, invalid = form.read(cut)
        assert found == []
        if form.opening:
            assert (content, invalid[0]["args"]) == ("", cut)
        else:
            assert (content, invalid) == (cut, [])


def test_text_before_a_call_is_kept():
    content, found, _ = OURS.read("I add." + written(OURS, ("now", {})))
    assert (content, found[0]["name"]) == ("I add.", "now")


@pytest.mark.parametrize(
    "broken",
    ['{"name": 3, "arguments": {}}', '{"arguments": {}}', '{"name": "f", "arguments": 3}', "[]"],
)
def test_json_that_is_no_call_is_invalid_and_never_raises(broken):
    _, found, invalid = OURS.read(f"{OURS.opening}{broken}{OURS.closing}")
    assert found == []
    assert broken in (invalid[0]["args"] or "")


def test_a_call_without_arguments_has_none():
    _, found, _ = OURS.read(OURS.opening + '{"name": "now"}' + OURS.closing)
    assert found[0]["args"] == {}


@pytest.mark.parametrize(
    ("choice", "names", "required", "single"),
    [
        (None, ["add", "now"], False, False),
        ("auto", ["add", "now"], False, False),
        (False, ["add", "now"], False, False),
        ("none", [], False, False),
        ("any", ["add", "now"], True, False),
        ("required", ["add", "now"], True, False),
        (True, ["add", "now"], True, False),
        ("now", ["now"], True, True),
        ({"type": "function", "function": {"name": "now"}}, ["now"], True, True),
    ],
)
def test_what_a_tool_choice_means(choice, names, required, single):
    made = choice_of(choice, [ADD, NOW])
    assert [each["function"]["name"] for each in made.tools] == names
    assert (made.required, made.single) == (required, single)


def test_a_choice_of_no_tool_names_the_tools():
    with pytest.raises(GrammarError, match="tool_choice='later': no such tool; tools: add, now"):
        choice_of("later", [ADD, NOW])


def test_calls_are_written_as_json_that_keeps_letters():
    assert json.loads(written(OURS, ("f", {"x": "é"})).split("\n")[1])["arguments"] == {"x": "é"}
    assert "é" in written(OURS, ("f", {"x": "é"}))
