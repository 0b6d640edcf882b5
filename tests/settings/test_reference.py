from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from langchain_qstar.settings import QStarSettings, RStarSettings
from langchain_qstar.settings.reference import page, values


@pytest.mark.parametrize("kind", [QStarSettings, RStarSettings])
def test_every_setting_has_a_row(kind: type[QStarSettings | RStarSettings]):
    rows = {line.split("`")[1] for line in page().splitlines() if line.startswith("| `")}
    assert set(kind.model_fields) <= rows


@pytest.mark.parametrize("kind", [QStarSettings, RStarSettings])
def test_every_setting_says_what_it_means_also_to_a_server(kind: Any):
    schemas = kind.model_json_schema(by_alias=False)["properties"]
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number > 0, ≤ 1"),
        ({"type": "boolean"}, "`True`, `False`"),
        ({"enum": ["a", "b"], "type": "string"}, '`"a"`, `"b"`'),
        ({"items": {"enum": ["a"], "type": "string"}, "type": "array"}, 'any of `"a"`'),
        ({"items": {"type": "number"}, "type": "array"}, "tuple of number"),
        ({"prefixItems": [{"type": "number"}] * 2, "type": "array"}, "pair of number"),
        (
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
            "integer ≥ 1, or `None`",
        ),
    ],
)
def test_what_a_setting_may_be_is_told_in_words(schema: dict[str, Any], told: str):
    assert values(schema) == told


def test_a_command_prints_the_page():
    command = [sys.executable, "-m", "langchain_qstar.settings"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    assert printed.stdout == page()
