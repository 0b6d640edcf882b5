"""Documents that teach to find the number of a thing."""

from __future__ import annotations

import random
import re

from langchain_qstar.training.lookups import look_up


def test_every_thing_is_asked_for_once_and_its_number_stands_beside_it() -> None:
    for seed in range(300):
        text, lines = look_up(random.Random(seed))
        told = [each for each in re.split(r"(?<=\.) ", text) if each]
        asked = lines.splitlines()
        assert 2 <= len(told) == len(asked) <= 8
        numbers = sorted(re.findall(r"\d+", text), key=int)
        answers = [line.removesuffix(".").rsplit(": ", 1)[1] for line in asked]
        assert sorted(answers, key=int) == numbers
        for line, answer in zip(asked, answers, strict=True):
            key = set(re.findall(r"[a-z]{3,}", line.lower()))
            beside = [each for each in told if re.search(rf"\b{answer}\b", each)]
            assert any(
                any(word in sentence.lower() or word[:-1] in sentence.lower() for word in key)
                for sentence in beside
            )


def test_things_come_in_another_order_than_they_are_asked_for() -> None:
    differs = 0
    for seed in range(60):
        text, lines = look_up(random.Random(seed))
        differs += re.findall(r"\d+", text) != re.findall(r"\d+", lines)
    assert differs > 40


def test_articles_are_right() -> None:
    for seed in range(400):
        text, _ = look_up(random.Random(seed))
        assert not re.search(r"\b[Aa] [aeiou]", text)
