"""A chat template as users give it: a name for none, a file, a model's folder, or Jinja text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
        from jinja2 import TemplateError

        from langchain_qstar.models.bounded_templates import environment
    except ImportError:
        raise MissingExtraError("jinja2", "remote") from None
    try:
        return environment().from_string(text)
    except (TemplateError, RecursionError) as error:
        said = getattr(error, "message", None) or str(error)
        raise ModelSpecError(f"the chat template is no Jinja: {said}") from error


class ChatRenderer:
    """Renders messages by a template, within the limits of `bounded_templates`."""

    def __init__(self, text: str, tokens: Mapping[str, Any] | None = None) -> None:
        """Compile a template.

        Args:
            text: Jinja text.
            tokens: Names of special tokens that it may write: `bos_token`, `eos_token` ...

        Raises:
            ModelSpecError: It does not compile.
            MissingExtraError: Jinja is not installed.
        """
        self._template = compiled(text)
        self._tokens = {"bos_token": "", "eos_token": "", **(tokens or {})}
        self.has_switch: bool = "enable_thinking" in text
        """Whether it can be told not to open a thought."""

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        thinking: bool = False,
        open_ended: bool = True,
    ) -> str:
        """The text of a chat, up to where the assistant goes on.

        Args:
            messages: As the template reads them. A last one of the assistant is gone on with.
            tools: Tools by their JSON schemas.
            thinking: Whether the model may think first, where the template has a switch.
            open_ended: Whether the assistant is to write next.

        Raises:
            ModelSpecError: The template refuses the messages, or costs too much.
        """
        from langchain_qstar.models.bounded_templates import rendered

        continued = open_ended and messages[-1].get("role") == "assistant"
        # What is None many templates would write out.
        chat = [{k: v for k, v in each.items() if v is not None} for each in messages]
        if continued:
            chat[-1]["content"] = f"{chat[-1].get('content', '')}{_CONTINUE}"
        values = {
            **self._tokens,
            "messages": chat,
            "tools": [dict(each) for each in tools] or None,
            "documents": None,
            "add_generation_prompt": open_ended and not continued,
            **({"enable_thinking": thinking} if self.has_switch else {}),
        }
        try:
            text = rendered(self._template, values)
            return _continued(text) if continued else text
        except Exception as error:
            # Templates raise what they like, over several lines.
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise ModelSpecError(f"the chat template refuses the messages: {reason}") from error


_CONTINUE: Final = "CONTINUE-HERE "
"""Stands at the end of a message to be continued, until the chat is rendered."""


def _continued(text: str) -> str:
    """A rendered chat up to where its last message is to be continued."""
    at = text.rindex(_CONTINUE.strip())
    kept = text[at:].startswith(_CONTINUE)
    # A template that trims messages has trimmed the space before the mark too.
    return text[:at] if kept else text[:at].rstrip()


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
