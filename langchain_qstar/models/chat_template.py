"""A chat template as users give it: a name for none, a file, a model's folder, or Jinja text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import MissingExtraError, ModelSpecError

PLAIN: Final = "plain"
"""A chat template's name for joining messages as text, as a model without chat training needs."""


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
        if (path / "chat_template.jinja").is_file():
            path /= "chat_template.jinja"
        elif (path / "tokenizer_config.json").is_file():
            return _from_config(path / "tokenizer_config.json")
        return path.read_text(encoding="utf-8")
    except (OSError, RuntimeError, ValueError):  # not there, or what can be no path
        raise ModelSpecError(
            f"chat_template={text[:80]!r}: give Jinja text, a file of it, a model's folder, "
            f'or "{PLAIN}"'
        ) from None


def _from_config(path: Path) -> str:
    try:
        template = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError) as error:
        raise ModelSpecError(f"cannot read {path}: {error}") from error
    if not isinstance(template, str):
        raise ModelSpecError(f"{path} holds no chat template")
    return template
