"""Steps that came without log-probabilities get those that their policy reads."""

from __future__ import annotations

from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring.rereading import lacking, reread

KNOWN = Step("a\n", logprobs=(-1.0,))
BARE = Step("b\n")
SILENT = Step("")


class Reader:
    """Reads each step as one token, as likely as the path before it is long."""

    def __init__(self):
        self.read = []

    def path_ids(self, state):
        return ()

    def token_logprobs(self, states, steps):
        self.read += [(state.text, step.text) for state, step in zip(states, steps, strict=True)]
        return [(-float(len(state.steps)),) for state in states]


def test_only_steps_that_say_something_and_have_none_are_read_and_each_once():
    after = State("?", steps=(KNOWN, BARE))
    requests = [ScoreRequest(after, (KNOWN, BARE, SILENT)), ScoreRequest(after, (BARE,))]
    reader = Reader()
    first, second = reread(requests, reader)
    assert reader.read == [("a\n", "b\n"), ("a\nb\n", "b\n")]
    assert first.state.steps == (KNOWN, Step("b\n", logprobs=(-1.0,)))
    assert first.steps == (KNOWN, Step("b\n", logprobs=(-2.0,)), SILENT)
    assert second.steps == (Step("b\n", logprobs=(-2.0,)),)
    assert second.state.steps == first.state.steps


def test_requests_that_lack_nothing_cost_nothing():
    request = ScoreRequest(State("?", steps=(KNOWN,)), (KNOWN,))
    reader = Reader()
    assert reread([request], reader) == [request]
    assert reader.read == []
    assert lacking([request]) == []
