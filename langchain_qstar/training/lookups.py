"""Documents that teach to find the number of a thing: some things of a kind, a number each.

A model of nano's size does not learn this from solutions alone: after 100 million
tokens it took either of two numbers. From easy ones of these it learnt it suddenly,
within three million tokens, and then read problems better; three million tokens of
all forms at once had taught it nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from langchain_qstar.problems.generator import capitalised
from langchain_qstar.problems.lexicon import (
    ANIMALS,
    DAYS,
    FOOD,
    HE,
    ROLES,
    SHE,
    THINGS,
    invented_word,
    plural,
    thing,
    with_article,
)

_PEOPLE = [*HE, *SHE, *ROLES]
_GOODS = [*FOOD, *THINGS, *ANIMALS]
EASY = 0.3
"""Share of texts with at most five things, told and asked in one way."""


@dataclass(frozen=True)
class _Kind:
    """Things that have numbers, what tells a number, and the keys that ask for it."""

    things: list[str]
    told: tuple[str, ...]
    keys: tuple[str, ...]
    proper: bool = True
    """Whether they are written with a capital letter."""
    thing_first: bool = True
    """Whether the first of `told` has the thing before the number, which is learnt first."""


_KINDS = (
    _Kind(
        _PEOPLE,
        (
            "{one} has {n} {unit}.",
            "{one} bought {n} {unit}.",
            "There are {n} {unit} with {one}.",
            "{n} {unit} belong to {one}.",
        ),
        ("{unit} {one}", "How many {unit} does {one} have"),
    ),
    _Kind(
        _GOODS,
        (
            "{a_one} costs {n} dollars.",
            "One {one} costs ${n}.",
            "{many} cost {n} dollars each.",
            "The price of {a_one} is {n} dollars.",
        ),
        ("{one} cost", "price {one}", "How much does {a_one} cost"),
        proper=False,
    ),
    _Kind(
        _GOODS,
        (
            "{who} buys {n} {many}.",
            "{who} wants to buy {n} {many}.",
            "{who} gets {n} {many}.",
            "{n} {many} go to {who}.",
        ),
        ("{many} {who}", "How many {many} does {who} buy"),
        proper=False,
        thing_first=False,
    ),
    _Kind(
        _PEOPLE,
        ("{one} is {n} years old.", "{one} is {n}.", "{n} years is the age of {one}."),
        ("old {one}", "How old is {one}"),
    ),
    _Kind(
        _PEOPLE,
        ("{one} works for {n} hours.", "{one} works {n} hours.", "It takes {n} hours for {one}."),
        ("hours {one}", "How many hours does {one} work"),
    ),
    _Kind(
        _PEOPLE,
        (
            "{one} makes {n} {unit} an hour.",
            "Every hour {one} makes {n} {unit}.",
            "{one} can make {n} {unit} in one hour.",
        ),
        ("hour {unit} {one} make", "How many {unit} does {one} make every hour"),
    ),
    _Kind(
        list(DAYS),
        (
            "On {one} {who} picks {n} {unit}.",
            "{who} picks {n} {unit} on {one}.",
            "{n} {unit} are picked on {one}.",
        ),
        ("{unit} {who} pick on {one}", "How many {unit} does {who} pick on {one}"),
    ),
)


def look_up(rng: random.Random) -> tuple[str, str]:
    """Two to eight things and their numbers; the text, and a `key: number.` line for each."""
    easy = rng.random() < EASY
    kind = rng.choice([each for each in _KINDS if each.thing_first or not easy])
    told_as, keys, most = (kind.told[:1], kind.keys[:1], 5) if easy else (kind.told, kind.keys, 8)
    names = rng.sample(kind.things, rng.randint(2, min(most, len(kind.things))))
    if rng.random() < 0.15:
        word = invented_word(rng)
        names[rng.randrange(len(names))] = word.capitalize() if kind.proper else word
    unit, who = plural(thing(rng)), rng.choice(HE + SHE)
    high = rng.choice((9, 12, 20, 60, 99, 250))
    told, lines = [], []
    for name in names:
        words = {
            "one": name,
            "a_one": with_article(name),
            "many": plural(name),
            "unit": unit,
            "who": who,
        }
        number = rng.randint(2, high)
        told.append(capitalised(rng.choice(told_as).format(**words, n=number)))
        lines.append(f"{rng.choice(keys).format(**words)}: {number}.\n")
    rng.shuffle(lines)
    return " ".join(told), "".join(lines)
