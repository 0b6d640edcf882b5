"""A loaded model in another process: not its weights are sent, but how it was loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Self

from langchain_qstar.errors import ModelError


class Remade:
    """A policy that is pickled as the call that made it, and copied as itself.

    Threads, connections and keys go nowhere: what is made anew has its own.
    """

    _recipe: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None = None

    def remember(self, make: Callable[..., Any], *args: Any, **options: Any) -> Self:
        """Say what makes another one like this; `make` is a function of a module."""
        self._recipe = make, args, options
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is pickled.

        Raises:
            ModelError: It was made by hand, of objects that are loaded.
        """
        if self._recipe is None:
            raise ModelError(
                f"{getattr(self, 'name', 'the model')} was made of loaded objects and cannot be "
                'sent to another process; name it ("hf:ORG/NAME", "gguf:FILE", a folder, '
                '"openai:NAME@URL") and it is loaded there'
            )
        make, args, options = self._recipe
        return _make, (make, args, options)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def _make(make: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return make(*args, **options)


def key_of_environment() -> str | None:
    """The key of servers, which is not sent along."""
    return os.environ.get("OPENAI_API_KEY")
