"""A chat as one text, for raw completions: what a server's own template would make of it.

Only what templates of common models use is there; nothing here needs a tokenizer.
The server adds the token that begins a text, if its model has one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from langchain_qstar.models.chat_template import PLAIN, ChatRenderer, template_text
from langchain_qstar.models.engine.control_tokens import ControlTokens

_SPELLED: Final = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|<[a-z]+_of_[a-z]+>|\[/?INST\]"
)
_ALWAYS: Final = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>")
"""Control tokens, as templates and common models spell them."""


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
        self._template = None if text == PLAIN else ChatRenderer(text)
        self._controls = ControlTokens([*_ALWAYS, *_SPELLED.findall(text)])
        self.spaced = False
        """Whether a text spelled a control token, and got a space there."""

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
        messages = [(role, self.foreign(content)) for role, content in messages]
        if self._template is None:
            return "\n\n".join(content for _, content in messages) + "\n"
        opened = ""
        if messages[-1][0] == "assistant":
            *messages, (_, opened) = messages
        chat = [{"role": role, "content": content} for role, content in messages]
        return self._template.render(chat) + opened

    def foreign(self, text: str) -> str:
        """`text` as it may stand in a prompt: the server would read a control token in it."""
        if text not in self._controls:
            return text
        self.spaced = True
        return self._controls.spaced(text)
