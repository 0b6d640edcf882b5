from __future__ import annotations

import json
from typing import TypedDict

import pytest
from pydantic import BaseModel, ConfigDict

from langchain_qstar import GrammarError
from langchain_qstar.models.faces.schemas import closed, grammar_of, schema_of


class Leaf(BaseModel):
    value: int
    next: Leaf | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    value: int


class Pair(TypedDict):
    """Two numbers."""

    left: int
    right: int


def test_a_pydantic_class_keeps_its_definitions():
    assert schema_of(Leaf)["$defs"]["Leaf"]["required"] == ["value"]


def test_a_typed_dict_and_an_openai_function_are_schemas_too():
    assert set(schema_of(Pair)["properties"]) == {"left", "right"}
    function = {"name": "f", "parameters": {"type": "object", "properties": {"x": {}}}}
    assert set(schema_of(function)["properties"]) == {"x"}


def test_a_json_schema_is_taken_as_it_is_with_or_without_a_title():
    for schema in ({"type": "integer"}, {"title": "T", "enum": [1]}, {"$ref": "#/$defs/a"}):
        assert schema_of(schema) == schema


@pytest.mark.parametrize("schema", [{"a": 1}, 3, "text", object()])
def test_anything_else_is_refused_in_one_line(schema):
    with pytest.raises(GrammarError, match="is no JSON schema") as caught:
        schema_of(schema)
    assert "\n" not in str(caught.value)


def test_objects_are_closed_at_every_depth_unless_they_say_otherwise():
    made = closed(schema_of(Leaf))
    assert made["$defs"]["Leaf"]["additionalProperties"] is False
    assert closed(schema_of(Open))["additionalProperties"] is True
    listed = closed({"anyOf": [{"properties": {"a": {"properties": {}}}}]})["anyOf"][0]
    assert listed["properties"]["a"]["additionalProperties"] is False


def test_values_in_a_schema_are_left_alone():
    schema = {"const": {"properties": 1}, "examples": [{"properties": {}}]}
    assert closed(schema) == schema


def test_a_schema_that_is_not_json_is_refused():
    with pytest.raises(GrammarError, match="not JSON"):
        grammar_of({"const": object()}, strict=True)


@pytest.mark.parametrize("strict", [True, False])
def test_only_a_strict_schema_is_held_to_the_letter(strict):
    made = json.loads(grammar_of({"type": "integer"}, strict=strict))
    assert made["x-guidance"]["lenient"] is not strict
