from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.models.remote.replicas import Replicas

URLS = ("http://a", "http://b", "http://c")
QUESTIONS = [f"question {number}" for number in range(300)]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_question_has_one_server_and_the_servers_share_the_questions():
    places = [Replicas(URLS).best(question) for question in QUESTIONS]
    assert places == [Replicas(URLS[::-1]).best(question) for question in QUESTIONS]
    assert min(Counter(places)[url] for url in URLS) > 70


@given(st.text(), st.sampled_from(URLS))
def test_only_the_questions_of_a_server_that_failed_move(question, dead):
    replicas = Replicas(URLS)
    before = replicas.best(question)
    replicas.failed(dead)
    assert replicas.best(question) == before or before == dead
    assert replicas.best(question) != dead


def test_a_server_that_failed_is_asked_again_after_its_rest():
    clock = Clock()
    replicas = Replicas(URLS, rest=30, clock=clock)
    first = replicas.best("who?")
    replicas.failed(first)
    assert first not in replicas.well()
    clock.now = 29.9
    assert replicas.best("who?") != first
    clock.now = 30.0
    assert replicas.best("who?") == first
    assert replicas.well() == URLS


def test_an_answer_ends_the_rest():
    replicas = Replicas(URLS, rest=30, clock=Clock())
    replicas.failed("http://a")
    replicas.answered("http://a")
    assert replicas.well() == URLS


def test_when_all_failed_the_one_whose_rest_ends_first_is_asked():
    clock = Clock()
    replicas = Replicas(URLS, rest=30, clock=clock)
    for url in ("http://b", "http://a", "http://c"):
        replicas.failed(url)
        clock.now += 1
    assert replicas.best("who?") == "http://b"
    assert replicas.well() == ()
