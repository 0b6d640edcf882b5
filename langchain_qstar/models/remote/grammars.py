"""Grammars at a server: whether it enforces them, and in which words, found out once.

Servers differ in the name they have for a grammar, and most ignore a name that they do not
know. So every name is tried on a grammar that allows one text only, which no model writes
by itself: the server that writes it enforces grammars of that notation. That is asked when
the first grammar of a notation comes, as most searches use none.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final, TypeAlias

from langchain_qstar.errors import GrammarError
from langchain_qstar.models.grammar_text import (
    HINTS,
    Notation,
    notation_of,
    one_line,
    schema_in,
    source_of,
)
from langchain_qstar.models.remote.transport import Transport
from langchain_qstar.models.remote.wire import Reply

Form: TypeAlias = Callable[[str], Mapping[str, Any]]
"""The fields of a request that ask for a grammar."""

Body: TypeAlias = Mapping[str, Any]

PROBE_TOKENS: Final = 48
"""Most tokens of a probe: enough for its text one character a token, with white space."""

_WORD: Final = "zq7"
_PROBES: Final[Mapping[Notation, str]] = {
    "JSON schema": json.dumps(
        {
            "type": "object",
            "properties": {"zq": {"type": "integer", "enum": [7]}},
            "required": ["zq"],
            "additionalProperties": False,
        }
    ),
    "GBNF": f'root ::= "{_WORD}"',
    "Lark": f'start: "{_WORD}"',
}


class ServerGrammars:
    """What the servers of one model make of grammars."""

    def __init__(self, transport: Transport, path: str, prompt: Body) -> None:
        """Ask nothing yet.

        Args:
            transport: How to reach them.
            path: The endpoint that is used.
            prompt: The fields of a plain request, without limits and settings.
        """
        self._transport = transport
        self._path = path
        self._prompt = prompt
        self._forms: dict[Notation, Form | None] = {}
        self._asking: defaultdict[Notation, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def fields(self, grammar: str) -> Mapping[str, Any] | None:
        """What a request must say for `grammar` to be enforced, None where nothing helps.

        Raises:
            GrammarError: It is no grammar.
            ServerError: No server answers.
        """
        _check(grammar)
        notation = notation_of(grammar)
        async with self._asking[notation]:
            if notation not in self._forms:
                self._forms[notation] = await self._taken_form(notation)
        form = self._forms[notation]
        return None if form is None else form(grammar)

    async def notations(self) -> tuple[Notation, ...]:
        """Those that are enforced.

        Raises:
            ServerError: No server answers.
        """
        found = [(name, await self.fields(probe)) for name, probe in _PROBES.items()]
        return tuple(name for name, fields in found if fields is not None)

    async def _taken_form(self, notation: Notation) -> Form | None:
        probe = _PROBES[notation]
        for form in _forms(notation):
            body = {**self._prompt, "max_tokens": PROBE_TOKENS, "temperature": 0.0, **form(probe)}
            reply = await self._transport.attempt(self._path, body, "grammars")
            if reply is not None and _obeys(reply, notation):
                return form
        return None


def _check(grammar: str) -> None:
    """Refuse here what is no grammar: a server may end over it, as llama-cpp-python's does.

    Without llguidance only the outer form can be looked at.

    Raises:
        GrammarError: It is none.
    """
    if notation_of(grammar) == "JSON schema":
        schema_in(grammar)
    elif find_spec("llguidance") is not None:
        from llguidance import LLMatcher

        if wrong := LLMatcher.validate_grammar(source_of(grammar)):
            raise GrammarError(f"the grammar cannot be enforced: {one_line(wrong)}")


def _obeys(reply: Reply, notation: Notation) -> bool:
    texts = [choice.text.strip() for choice in reply.choices]
    if notation != "JSON schema":
        return all(text == _WORD for text in texts)
    try:
        return all(json.loads(text) == {"zq": 7} for text in texts)
    except ValueError:
        return False


def _forms(notation: Notation) -> tuple[Form, ...]:
    """The words that servers have for a grammar, the most common first."""
    if notation == "GBNF":
        return (_by_name("grammar"), _structured("grammar"), _by_name("ebnf"), _guided("grammar"))
    if notation == "Lark":
        # Not llama.cpp's `grammar`: a build without llguidance takes it for GBNF, and the
        # server of llama-cpp-python ends over a grammar that it cannot read.
        return (_structured("grammar"), _by_name("ebnf"), _guided("grammar"))
    forms: tuple[Form, ...] = (_response_format, _structured_schema, _guided_schema)
    forms += (_named_schema, _json_object)
    return forms if find_spec("llama_cpp") is None else (*forms, _schema_as_gbnf)


def _by_name(name: str) -> Form:
    """`grammar` is llama.cpp's, in its own server and that of llama-cpp-python; `ebnf` SGLang's."""
    return lambda grammar: {name: grammar}


def _structured(kind: str) -> Form:
    """As vLLM has it since 0.12."""
    return lambda grammar: {"structured_outputs": {kind: grammar}}


def _guided(kind: str) -> Form:
    """As vLLM had it."""
    return lambda grammar: {f"guided_{kind}": grammar}


def _schema(grammar: str) -> dict[str, Any]:
    """The schema without what is meant for local models."""
    return {key: value for key, value in schema_in(grammar).items() if key != HINTS}


def _response_format(grammar: str) -> Mapping[str, Any]:
    """As OpenAI has it, and most servers."""
    named = {"name": "answer", "schema": _schema(grammar), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _json_object(grammar: str) -> Mapping[str, Any]:
    """As llama-cpp-python has it for chats."""
    return {"response_format": {"type": "json_object", "schema": _schema(grammar)}}


def _structured_schema(grammar: str) -> Mapping[str, Any]:
    return {"structured_outputs": {"json": _schema(grammar)}}


def _guided_schema(grammar: str) -> Mapping[str, Any]:
    return {"guided_json": _schema(grammar)}


def _named_schema(grammar: str) -> Mapping[str, Any]:
    """As llama.cpp has it for raw completions."""
    return {"json_schema": _schema(grammar)}


def _schema_as_gbnf(grammar: str) -> Mapping[str, Any]:
    """For a server that takes GBNF only: the schema, translated by llama-cpp-python.

    Raises:
        GrammarError: The schema says what GBNF cannot.
    """
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        return {"grammar": json_schema_to_gbnf(json.dumps(_schema(grammar)))}
    except Exception as error:  # it raises bare ones
        raise GrammarError(f"the schema cannot be made GBNF: {one_line(str(error))}") from error
