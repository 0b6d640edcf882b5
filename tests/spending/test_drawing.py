"""Sampling in rounds: what each row gets depends on what the rows say, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from langchain_qstar.protocols import Completion, SampleRequest, State
from langchain_qstar.spending.allowance import Allowance, held_to
from langchain_qstar.spending.drawing import LEAST_TOKENS, adraw, draw

STATE = State("q")


class Typist:
    """Row `n` would write `lengths[n]` letters; its seed is `n`. It reads what it wrote by ids."""

    name, window = "typist", None
    keeps_time = False

    def __init__(self, *lengths: int, goes_on: bool = True) -> None:
        self.lengths = lengths
        self.goes_on = goes_on
        self.asked: list[list[tuple[int, int]]] = []
        """For each call the tokens, and the number of rows, of each request."""

    def count_tokens(self, text: str) -> int:
        return len(text)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        self.asked.append([(each.max_tokens, len(each.seeds)) for each in requests])
        return [[self._row(each, seed) for seed in each.seeds] for each in requests]

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        return self.sample(requests)

    def _row(self, request: SampleRequest, seed: int) -> Completion:
        before = request.state.text
        row = int(before[0]) if before else seed
        text = (str(row) * self.lengths[row])[len(before) :]
        cut = text[: min(request.max_tokens, request.budget or request.max_tokens)]
        finish: Any = "eos" if cut == text else "length"
        return Completion(cut, tuple(map(ord, cut)), finish=finish, generated=len(cut))


def ask(rows: int, most: int = 40) -> SampleRequest:
    return SampleRequest(STATE, tuple(range(rows)), stop=(), max_tokens=most)


def drawn(policy: Any, *requests: SampleRequest, **limits: Any) -> tuple[Allowance, Any]:
    with held_to(allowance := Allowance(**limits)):
        return allowance, draw(policy, requests)


def lengths(groups: Any) -> list[list[tuple[int, str]]]:
    return [[(each.generated, each.finish) for each in group] for group in groups]


def test_with_enough_for_all_it_is_one_round_as_without_a_budget():
    policy = Typist(10, 50, 40)
    allowance, groups = drawn(policy, ask(3), tokens=120)
    assert policy.asked == [[(40, 3)]]
    assert lengths(groups) == [[(10, "eos"), (40, "length"), (40, "eos")]]
    assert (allowance.cut, allowance.tokens_left, allowance.drawn) == (None, 30, 3)
    assert draw(policy, [ask(3)]) == groups


def test_what_a_row_leaves_is_shared_by_those_that_were_cut():
    policy = Typist(4, 37, 50)
    allowance, groups = drawn(policy, ask(3), tokens=96)
    assert policy.asked == [[(32, 3)], [(8, 1), (8, 1)]]
    assert lengths(groups) == [[(4, "eos"), (37, "eos"), (40, "length")]]
    assert groups[0][1].text == "1" * 37
    assert groups[0][1].token_ids == tuple(map(ord, "1" * 37))
    assert allowance.cut is None


def test_rounds_go_on_until_nothing_is_left_and_the_rest_is_cut():
    policy = Typist(100, 100, 100)
    allowance, groups = drawn(policy, ask(3, most=200), tokens=101)
    assert sum(each.generated for each in groups[0]) == 101
    assert {each.finish for each in groups[0]} == {"cancelled"}
    assert (allowance.cut, allowance.tokens_left) == ("tokens", 0)


def test_a_text_that_cannot_be_gone_on_with_is_cut_at_its_share():
    policy = Typist(4, 37, 50, goes_on=False)
    allowance, groups = drawn(policy, ask(3), tokens=96)
    assert lengths(groups) == [[(4, "eos"), (32, "cancelled"), (32, "cancelled")]]
    assert (allowance.cut, allowance.tokens_left) == ("tokens", 28)


def test_rows_are_not_begun_with_less_than_they_need_but_follow_where_others_leave_it():
    policy = Typist(*[20] * 9)
    allowance, groups = drawn(policy, ask(9, most=100), tokens=3 * LEAST_TOKENS)
    assert [sum(rows for _, rows in each) for each in policy.asked] == [3, 1, 1][
        : len(policy.asked)
    ]
    assert [each.generated for each in groups[0]] == [20] * 4 + [16]
    assert groups[0][-1].finish == "cancelled"
    assert (allowance.cut, allowance.drawn_tokens) == ("tokens", 96)


def test_one_token_goes_to_one_row():
    policy = Typist(5, 5)
    allowance, groups = drawn(policy, ask(2), tokens=1)
    assert lengths(groups) == [[(1, "cancelled")]]
    assert allowance.tokens_left == 0
    _, groups = drawn(policy, ask(2), tokens=0)
    assert groups == [[]]


@pytest.mark.parametrize("left", [0, 1, 3, 4, 5])
def test_seeds_are_cut_in_order(left: int):
    policy = Typist(1, 1, 1)
    allowance, groups = drawn(policy, ask(3), ask(2), completions=left)
    assert [len(each) for each in groups] == [min(3, left), max(0, left - 3)]
    assert (allowance.cut, allowance.completions_left) == (
        "completions" if left < 5 else None,
        0,
    )


async def test_awaited_it_is_the_same():
    requests = [ask(2, most=70), ask(3, most=50)]
    _, groups = drawn(Typist(60, 3, 60), *requests, tokens=170)
    with held_to(Allowance(tokens=170)):
        assert await adraw(Typist(60, 3, 60), requests) == groups


def test_an_end_is_found_where_it_begins_before_the_cut():
    class Stops(Typist):
        def _row(self, request: SampleRequest, seed: int) -> Completion:
            before = request.state.text
            whole = "a" * 31 + "##bc" if request.state.question == "q" else "x"
            text = whole[len(before) :][: request.max_tokens]
            finish: Any = "length" if len(before + text) < len(whole) else "eos"
            return Completion(text, tuple(map(ord, text)), finish=finish, generated=len(text))

    long = replace(ask(1), stop=("##",), max_tokens=60)
    short = replace(long, state=State("short"))
    _, groups = drawn(Stops(), long, short, tokens=64)
    assert [each.text for group in groups for each in group] == ["a" * 31 + "##", "x"]
    assert (groups[0][0].finish, groups[0][0].token_ids) == ("stop", None)
