"""A chat as one text, for raw completions: what a server's own template would make of it.

Only what templates of common models use is there; nothing here needs a tokenizer.
The server adds the token that begins a text, if its model has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.chat_template import PLAIN, compiled, template_text


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
        text = template_text(source)
        self._template = None if text == PLAIN else compiled(text)

    @property
    def chats(self) -> bool:
        """Whether it is a template of chats, and not `PLAIN`."""
        return self._template is not None

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


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)
