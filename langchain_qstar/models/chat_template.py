"""A chat template as users give it: a name for none, a file, a model's folder, or Jinja text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import MissingExtraError, ModelSpecError

PLAIN: Final = "plain"
"""A chat template's name for joining messages as text, as a model without chat training needs."""

_CONFIG: Final = "tokenizer_config.json"


def template_text(source: str | Path) -> str:
    """The Jinja text that `source` means, or `PLAIN`.

    Args:
        source: Jinja text, a file of it, a model's folder, or `PLAIN`.

    Raises:
        ModelSpecError: There is no template there, or it does not compile.
        MissingExtraError: Jinja is not installed.
    """
    if source == PLAIN:
        return PLAIN
    text = _text(source)
    compiled(text)
    return text


def compiled(text: str) -> Any:
    """The template of Jinja text, in the environment that templates are written for.

    Raises:
        ModelSpecError: It does not compile.
        MissingExtraError: Jinja is not installed.
    """
    try:
        from jinja2 import TemplateSyntaxError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise MissingExtraError("jinja2", "remote") from None
    # As transformers sets it up.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(
        value, ensure_ascii=False, **options
    )
    try:
        return environment.from_string(text)
    except TemplateSyntaxError as error:
        raise ModelSpecError(f"the chat template is no Jinja: {error.message}") from error


def _text(source: str | Path) -> str:
    text = str(source)
    if "{{" in text or "{%" in text:
        return text
    try:
        path = Path(source).expanduser()
        file = next((each for each in _files(path) if each.is_file()), path)
        found = file.read_text(encoding="utf-8")
    except (OSError, RuntimeError, ValueError):  # not there, or what can be no path
        raise ModelSpecError(
            f"chat_template={text[:80]!r}: give Jinja text, a file of it, a model's folder, "
            f'or "{PLAIN}"'
        ) from None
    return _from_config(file, found) if file.name == _CONFIG else found


def _files(folder: Path) -> tuple[Path, Path]:
    """Where a model's folder may have its template, the likelier first."""
    return folder / "chat_template.jinja", folder / _CONFIG


def _from_config(path: Path, text: str) -> str:
    try:
        template = json.loads(text).get("chat_template")
    except (ValueError, AttributeError) as error:
        raise ModelSpecError(f"cannot read {path}: {error}") from error
    if not isinstance(template, str):
        raise ModelSpecError(f"{path} holds no chat template")
    return template
