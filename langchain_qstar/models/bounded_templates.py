"""Jinja for chat templates that strangers wrote: no escape, no endless loop, no flood.

Jinja's sandbox keeps a template away from Python. What a template may cost is bounded here: every
turn of a loop, call and filter counts, as do the characters it works on, and past
`MOST` of them rendering ends with an error. The limits are far above what prompts need, and cost
some microseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, NoReturn

from langchain_qstar.errors import MissingExtraError

try:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateRuntimeError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace
    from jinja2.visitor import NodeTransformer
except ImportError as error:
    raise MissingExtraError(error.name or "jinja2", "remote") from None

MOST: Final = 500_000
"""Turns of loops, calls and filters of one rendering."""

LONGEST: Final = 8 * 2**20
"""Most characters of a text that a template makes, and of all that it writes."""

LARGEST: Final = 10_000
"""Largest number that a call or a filter takes: of places to fill, of spaces to indent."""

_BITS: Final = 4096
"""Most bits of an integer."""

_WIDTH: Final = re.compile(r"\d{5,}")
_NESTED: Final = re.compile(r"\{[^{}]*\{")
"""A place in a format whose width is another argument."""

_LEFT_OUT: Final = frozenset(
    """lipsum center wordwrap xmlattr urlize sum groupby slice batch pprint random filesizeformat
    striptags wordcount forceescape""".split()
)
"""What makes much of little, or is for pages; no chat template is known to use it."""

_spent: ContextVar[list[int]] = ContextVar("spent")


class TooCostlyError(TemplateRuntimeError):
    """A template that wants more than prompts need."""


def environment() -> ImmutableSandboxedEnvironment:
    """What chat templates are written for, as transformers has it, with limits."""
    made = _Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    filters = made.filters.items()
    made.filters = {n: _counted(n, each) for n, each in filters if n not in _LEFT_OUT}
    made.filters |= {"tojson": _counted("tojson", _tojson), _TURNS: _turns, _SIZED: _sized}
    made.globals = {name: each for name, each in made.globals.items() if name not in _LEFT_OUT}
    made.globals |= {
        "raise_exception": _refuse,
        "strftime_now": lambda form: datetime.now().strftime(form),  # noqa: DTZ005  # as there
        "namespace": _Namespace,
    }
    return made


def rendered(template: Any, values: Mapping[str, Any]) -> str:
    """The text of a template of `environment`.

    Raises:
        TooCostlyError: It loops for ever, or writes without end.
        Exception: Whatever else a template raises.
    """
    token = _spent.set([0])
    try:
        parts, length = [], 0
        for part in template.generate(**values):
            length += len(part)
            if length > LONGEST:
                raise TooCostlyError(f"it writes more than {LONGEST >> 20} MiB")
            _spend(1)
            parts.append(part)
        return "".join(parts)
    finally:
        _spent.reset(token)


_TURNS: Final = "turns of a loop"
_SIZED: Final = "size of a text"
"""Names that no template can write."""


class _Marked(NodeTransformer):
    """Counts loops, and looks at the texts that are joined."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802  # Jinja's name
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _TURNS)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, _SIZED)


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Bounded(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%", "//", "/", "-"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        return _Marked().visit(tree)  # type: ignore[no-any-return]

    def call(self, context: Any, obj: Any, *args: Any, **options: Any) -> Any:
        _spend(1)
        of, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        _look_at(name, of, (*args, *options.values()))
        return _sized(super().call(context, obj, *args, **options))

    def wrap_str_format(self, value: Any) -> Any:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        form = str(value.__self__)

        def bounded(*args: Any, **options: Any) -> str:
            texts = [form, *(str(each) for each in (*args, *options.values()))]
            if any(map(_WIDTH.search, texts if _NESTED.search(form) else [form])):
                raise TooCostlyError("it fills more than 9999 places")
            return str(wrapped(*args, **options))

        return bounded

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _spend(1)
        if operator in {"*", "**"}:
            _look_at_product(operator, left, right)
        if operator == "%" and isinstance(left, str) and _WIDTH.search(left):
            raise TooCostlyError("it fills more than 9999 places")
        return _sized(super().call_binop(context, operator, left, right))


class _Namespace(Namespace):
    """A namespace whose names do not begin with an underscore."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise TemplateRuntimeError(f"{name}: no name of a namespace")
        super().__setitem__(name, value)


class _Generation(Extension):
    """The tag with which templates mark what the assistant says; it writes what is in it."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja has it

    def parse(self, parser: Any) -> Any:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _spend(turns: int) -> None:
    spent = _spent.get(None)
    if spent is None:  # constants, folded while a template is compiled
        return
    spent[0] += turns
    if spent[0] > MOST:
        raise TooCostlyError(f"it takes more than {MOST} turns")


def _turns(values: Any) -> Any:
    """What a loop goes over, each turn counted."""
    if isinstance(values, Mapping):
        values = list(values)
    if isinstance(values, Sized):
        _spend(len(values))
        return values
    return _counting(values)


def _counting(values: Iterable[Any]) -> Iterator[Any]:
    for each in values:
        _spend(1)
        yield each


def _sized(value: Any) -> Any:
    if isinstance(value, (str, list, tuple, dict)) and len(value) > LONGEST:
        raise TooCostlyError(f"it makes a text or list of more than {LONGEST >> 20} Mi")
    return value


def _look_at(name: str, of: Any, given: Sequence[Any]) -> None:
    """Refuse what makes much of little: wide fields, large numbers, long texts many times."""
    if any(isinstance(each, int) and abs(each) > LARGEST for each in given):
        raise TooCostlyError(f"it calls something with a number above {LARGEST}")
    if isinstance(of, str) and name == "format" and _WIDTH.search(of):
        raise TooCostlyError("it fills more than 9999 places")
    texts = [each for each in given if isinstance(each, str)]
    made = 0
    if name == "replace" and isinstance(of, str) and len(texts) > 1:
        made = (of.count(texts[0]) if texts[0] else len(of) + 1) * len(texts[1])
    elif name == "indent" and isinstance(of, str) and texts:
        made = (of.count("\n") + 1) * len(texts[0])
    elif name == "join":
        between, parts = (of, given[0]) if isinstance(of, str) and given else ("".join(texts), of)
        if isinstance(parts, Sized) and isinstance(parts, Iterable):
            made = sum(len(each) for each in parts if isinstance(each, str))
            made += len(parts) * len(between)
    if made > LONGEST:
        raise TooCostlyError(f"it makes a text of more than {LONGEST >> 20} Mi")


def _look_at_product(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        times = right if operator == "**" else 1
        if left.bit_length() * max(times, 1) + right.bit_length() > _BITS:
            raise TooCostlyError("it computes with numbers that are too large")
        return
    for text, count in ((left, right), (right, left)):
        if isinstance(text, Sized) and isinstance(count, int) and len(text) * count > LONGEST:
            raise TooCostlyError(f"it makes a text or list of more than {LONGEST >> 20} Mi")


def _counted(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts what it works on."""
    first = 0 if getattr(apply, "jinja_pass_arg", None) is None else 1

    def bounded(*args: Any, **options: Any) -> Any:
        given = list(args)
        value = given[first] if len(given) > first else None
        if isinstance(value, Iterator):
            value = given[first] = list(_counting(value))
        _spend(1 + (len(value) // 64 if isinstance(value, str) else _length(value)))
        _look_at(name, value, (*given[first + 1 :], *options.values()))
        return _sized(apply(*given, **options))

    for mark, kept in getattr(apply, "__dict__", {}).items():
        setattr(bounded, mark, kept)
    return bounded


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sized) else 0


def _tojson(value: Any, **options: Any) -> str:
    return json.dumps(value, **({"ensure_ascii": False} | options))


def _refuse(message: str) -> NoReturn:
    raise TemplateRuntimeError(message)
