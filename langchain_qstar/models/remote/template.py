"""A chat as one text, for raw completions: what a server's own template would make of it.

Only what templates of common models use is there; nothing here needs a tokenizer.
The server adds the token that begins a text, if its model has one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from langchain_qstar.errors import MissingExtraError, ModelSpecError

PLAIN: Final = "plain"
"""Messages joined by blank lines, for a model without chat training."""


class ChatTemplate:
    """Renders messages up to where the assistant's text begins."""

    def __init__(self, source: str | Path) -> None:
        """Read a template.

        Args:
            source: Jinja text, a file of it, a model's folder, or `PLAIN`.

        Raises:
            ModelSpecError: There is no template in `source`, or it is no Jinja.
            MissingExtraError: Jinja is not installed.
        """
        self._template = None if source == PLAIN else _compiled(_text(source))

    def render(self, messages: Sequence[tuple[str, str]]) -> str:
        """The text before the assistant's next token.

        A last message of the role `assistant` is continued.

        Raises:
            ModelSpecError: The template refuses the messages.
        """
        if self._template is None:
            return "\n\n".join(content for _, content in messages) + "\n"
        opened = ""
        if messages[-1][0] == "assistant":
            *messages, (_, opened) = messages
        try:
            text: str = self._template.render(
                messages=[{"role": role, "content": content} for role, content in messages],
                add_generation_prompt=True,
                bos_token="",
                raise_exception=_refuse,
                enable_thinking=False,
            )
        except Exception as error:
            # Templates raise what they like, over several lines.
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise ModelSpecError(f"the chat template refuses the messages: {reason}") from error
        return text + opened


def _text(source: str | Path) -> str:
    text = str(source)
    if "{{" in text or "{%" in text:
        return text
    path = Path(source).expanduser()
    if (path / "chat_template.jinja").is_file():
        path /= "chat_template.jinja"
    elif (path / "tokenizer_config.json").is_file():
        return _from_config(path / "tokenizer_config.json")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
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


def _compiled(text: str) -> Any:
    try:
        from jinja2 import TemplateSyntaxError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise MissingExtraError("jinja2", "remote") from None
    # As transformers sets it up; templates are written for these options.
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


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)
