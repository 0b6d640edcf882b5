from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.numerals import digits_for_words

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def spelled(number: int) -> str:
    """An English numeral, as people write it."""
    for scale, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if number >= scale:
            rest = number % scale
            return f"{spelled(number // scale)} {name}" + (f" {spelled(rest)}" if rest else "")
    if number >= 1000:
        rest = number % 1000
        return f"{spelled(number // 1000)} thousand" + (f" {spelled(rest)}" if rest else "")
    if number >= 100:
        rest = number % 100
        return f"{SMALL[number // 100]} hundred" + (f" and {spelled(rest)}" if rest else "")
    if number >= 20:
        return TENS[number // 10 - 2] + (f"-{SMALL[number % 10]}" if number % 10 else "")
    return SMALL[number]


@given(st.integers(0, 10**15 - 1))
def test_every_numeral_up_to_trillions_becomes_its_digits(number):
    assert digits_for_words(spelled(number)) == str(number)
    assert digits_for_words(spelled(number).title()) == str(number)


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("twenty one apples", "21 apples"),
        ("one hundred five", "105"),
        ("twelve hundred", "1200"),
        ("a hundred thousand", "100000"),
        ("a thousand and one", "1001"),
        ("minus seven", "-7"),
        ("negative 7", "-7"),
        ("two point five", "2.5"),
        ("half a cup", "1/2 a cup"),
        ("one third", "1/3"),
        ("a quarter", "1/4"),
        ("two-thirds", "2/3"),
        ("two and a half", "2 1/2"),
        ("2 and a half", "2 1/2"),
        ("a dozen", "12"),
        ("half a dozen", "6"),
        ("three and five", "3 and 5"),
        ("twenty thirty", "20 30"),
    ],
)
def test_words_for_numbers_become_digits(words, digits):
    assert digits_for_words(words) == digits


@pytest.mark.parametrize(
    "text",
    [
        "the other one",
        "one of the boxes",
        "in the first half.",
        "he has a quarter",
        "half of the 30",
        "two dozen",
        "anyone",
        "thousand",
        "a second",
        "",
    ],
)
def test_what_means_something_else_stays_a_word(text):
    assert digits_for_words(text) == text


@given(st.text(alphabet="oneahundrdtwy-f lp", max_size=60))
def test_no_text_makes_it_fail(text):
    digits_for_words(text)
