"""All settings as a page of Markdown, from their own descriptions: docs/settings.md.

It makes text and writes no file; `python -m langchain_qstar.settings` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_qstar.settings.checked import Settings
from langchain_qstar.settings.qstar import QStarSettings
from langchain_qstar.settings.rstar import RStarSettings
from langchain_qstar.settings.verification import VerificationSettings

Schema = Mapping[str, Any]
"""What JSON Schema says about one value."""

HEAD: Final = """\
# Settings

The settings of `QStarChain(settings=...)` and `RStarChain(settings=...)`: a `QStarSettings` or
`RStarSettings`, or a dict. A name that is unknown and a value out of range are a `SettingsError`
of one line. The budgets `max_pops` (Q\\*), `num_rollouts` (rStar), `max_tokens`,
`max_completions`, `max_seconds` and `max_nodes` may also be given with a call. Sections are those
of the papers, [Q\\*](https://arxiv.org/abs/2406.14283) and
[rStar](https://arxiv.org/abs/2408.06195).

`python -m langchain_qstar.settings` prints this page; the descriptions are those of the classes
in `langchain_qstar/settings/`.
"""

SECTIONS: Final[Mapping[str, type[Settings]]] = {
    "Of Q\\*": QStarSettings,
    "Of rStar": RStarSettings,
    "Of both: verification by a second model": VerificationSettings,
    "Of both: budgets and answers": Settings,
}

KINDS: Final = {"null": "`None`", "boolean": "`True`, `False`"}
LIMITS: Final = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(title, kind) for title, kind in SECTIONS.items())])


def _section(title: str, kind: type[Settings]) -> str:
    schemas = kind.model_json_schema(by_alias=False)["properties"]
    rows = "\n".join(
        _row(kind, name, schemas[name]) for name in kind.__annotations__ if name in schemas
    )
    return f"## {title}\n\n| setting | default | values | meaning |\n|---|---|---|---|\n{rows}\n"


def _row(kind: type[Settings], name: str, schema: Schema) -> str:
    default = kind.model_fields[name].default
    shown = f'"{default}"' if isinstance(default, str) else repr(default).replace("'", '"')
    meaning = " ".join(str(schema["description"]).split())
    return f"| `{name}` | `{shown}` | {values(schema)} | {meaning} |"


def values(schema: Schema) -> str:
    """What a setting may be, in words.

    >>> values({"type": "integer", "minimum": 1})
    'integer ≥ 1'
    >>> values({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]})
    'number > 0, or `None`'
    """
    match schema:
        case {"anyOf": kinds}:
            return ", or ".join(values(each) for each in kinds)
        case {"const": name}:
            return f'`"{name}"`'
        case {"enum": names}:
            return ", ".join(f'`"{name}"`' for name in names)
        case {"prefixItems": items}:
            return f"pair of {values(items[0])}"
        case {"items": item}:
            return f"any of {values(item)}" if "enum" in item else f"tuple of {values(item)}"
    limits = [f"{sign} {schema[key]:g}" for key, sign in LIMITS.items() if key in schema]
    return f"{KINDS.get(schema['type'], schema['type'])} {', '.join(limits)}".strip()
