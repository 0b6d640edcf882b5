"""Searches on servers that lack what a search goes by, or that repeat themselves."""

from __future__ import annotations

import warnings

import pytest

from langchain_qstar.chains import BestOfNChain, QStarChain
from langchain_qstar.errors import ModelSpecError, UnguidedWarning
from langchain_qstar.protocols import Task, gives_logprobs

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
EVERYTHING = frozenset({"n", "seed", "stop", "logprobs"})
TASK = Task(
    name="sums",
    messages=lambda question: (("user", question),),
    is_terminal=lambda text: "so " in text,
    answer=lambda text: text.rpartition("so ")[2].strip() or None if "so " in text else None,
)
SETTINGS = {"num_samples": 3, "max_pops": 3, "num_trajectories": 2}
NONE_GIVEN = "log-probabilities: openai:m gives none; steps are ranked by the agreement"


def says(seed):
    """Two samples of three find the same number."""
    return f"2+{seed % 3 // 2}=5\n" if seed % 3 < 2 else "2+4=6\n"


def solve(policy, chain=QStarChain, **options):
    settings = {"settings": SETTINGS} if chain is QStarChain else {"n": 3}
    return chain(policy, task=TASK, **settings, **options).invoke("2 + 3?")


def lines(solution, start):
    return [each for each in solution.usage.shortfalls if each.startswith(start)]


@pytest.mark.parametrize("chain", [QStarChain, BestOfNChain])
def test_a_server_without_log_probabilities_is_told_before_the_search_and_after(
    serve, connect, chain
):
    policy = connect(serve(knows=EVERYTHING - {"logprobs"}, says=says))
    assert gives_logprobs(policy) is False
    asked = len(policy.shortfalls)
    with pytest.warns(UnguidedWarning, match="openai:m gives none"):
        solution = solve(policy, chain)
    assert lines(solution, "logprobs: not offered by the server")
    assert lines(solution, NONE_GIVEN)
    assert (solution.q_model, asked) == ("agreement", 1)


def test_a_server_that_leaves_log_probabilities_out_later_is_found_out(serve, connect):
    server = serve(says=says)
    policy = connect(server)
    assert gives_logprobs(policy) is None
    server.imitation.knows = EVERYTHING - {"logprobs"}
    with pytest.warns(UnguidedWarning, match="openai:m gives none"):
        solution = solve(policy)
    assert lines(solution, NONE_GIVEN)
    assert [each.q for each in solution.tree[1:3]] != [0.0, 0.0]


def test_who_asks_for_log_probabilities_by_name_is_refused(serve, connect):
    policy = connect(serve(knows=EVERYTHING - {"logprobs"}))
    with pytest.raises(ModelSpecError, match='gives no log-probabilities; use "agreement"'):
        QStarChain(policy, "path-log-probability", task=TASK)


@pytest.mark.parametrize(
    ("lacks", "said"),
    [("seed", "seed: refused by the server"), ("n", "n: not known to the server")],
)
def test_a_server_without_seeds_or_n_is_told(serve, connect, lacks, said):
    behaviour = {"refuses": frozenset({lacks})} if lacks == "seed" else {}
    policy = connect(serve(knows=EVERYTHING - {lacks}, says=says, **behaviour))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = solve(policy)
    assert lines(solution, said)


@pytest.mark.parametrize("chain", [QStarChain, BestOfNChain])
def test_a_server_that_repeats_itself_is_told(serve, connect, chain):
    turns = {"": "2+3=5\n", "2+3=5\n": "so 5\n"}
    server = serve()

    def choice(path, body, seed, number):
        last = body["messages"][-1]
        begun = last["content"] if last["role"] == "assistant" else ""
        server.imitation.says = lambda _: turns.get(begun, "so 5\n")
        return plain(path, body, seed, number)

    plain = server.imitation.choice
    policy = connect(server)
    server.imitation.choice = choice
    solution = solve(policy, chain)
    (line,) = lines(solution, "samples: ")
    assert "the same text" in line
    assert "nothing to choose from" in line
