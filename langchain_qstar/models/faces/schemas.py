"""JSON schemas as grammars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel

from langchain_qstar.errors import GrammarError
from langchain_qstar.models.grammar_text import COMPACT, HINTS

_SCHEMATIC: Final = frozenset("type properties $ref anyOf oneOf allOf enum const".split())
"""Keys of which a JSON schema has at least one, and an OpenAI function none."""

_VALUES: Final = ("const", "enum", "default", "examples")
"""Keys of a schema that hold values, not schemas."""


def schema_of(schema: Any) -> dict[str, Any]:
    """The JSON schema of a pydantic class, a `TypedDict`, a function, or a JSON schema.

    Raises:
        GrammarError: `schema` is none of them.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_json_schema()
    if isinstance(schema, Mapping) and _SCHEMATIC & {*schema}:
        return dict(schema)
    try:
        return convert_to_json_schema(schema)
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise GrammarError(f"schema={schema!r:.60} is no JSON schema: {reason}") from error


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with objects that have the properties it names and, unless it says so, no others.

    By itself JSON schema allows any others, and a model that may make up names does.
    """
    made = {key: value if key in _VALUES else _closed_below(value) for key, value in schema.items()}
    if "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def _closed_below(value: Any) -> Any:
    if isinstance(value, Mapping):
        return closed(value)
    return [_closed_below(each) for each in value] if isinstance(value, list) else value


def grammar_of(schema: Mapping[str, Any], *, strict: bool) -> str:
    """A JSON schema as `SampleRequest.grammar` takes it.

    Args:
        schema: The schema.
        strict: Refuse what cannot be enforced, instead of leaving it out.

    Raises:
        GrammarError: The schema is not JSON.
    """
    try:
        return json.dumps({**schema, HINTS: {**COMPACT, "lenient": not strict}})
    except (TypeError, ValueError) as error:
        raise GrammarError(f"the schema is not JSON: {error}") from error


def rule(schema: Mapping[str, Any], *, strict: bool) -> str:
    """A JSON schema as a part of a Lark grammar; see `grammar_of`."""
    return f"%json {grammar_of(schema, strict=strict)}"


def literal(text: str) -> str:
    """`text` as a part of a Lark grammar, nothing if it is empty."""
    return json.dumps(text, ensure_ascii=False) if text else ""
