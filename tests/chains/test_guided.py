"""A search that nothing guides says so, whichever method it is."""

from __future__ import annotations

import json

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar import (
    BestOfNChain,
    QStarChain,
    RStarChain,
    ScriptedPolicy,
    ScriptedScorer,
    SelfConsistencyChain,
    Solution,
    Task,
    UnguidedWarning,
    create_qstar_graph,
)

TASK = Task(
    name="sums",
    messages=lambda question: (("user", question),),
    is_terminal=lambda text: "so " in text,
    answer=lambda text: text.rpartition("so ")[2].strip() or None if "so " in text else None,
)
QUESTION = "Mia has 2 and gets 3, twice. How many has she?"
THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
SCRIPT = {
    "": ["2*3=6\n", "3+3=6\n", "2+3=5\n"],
    "2*3=6\n": ["2+6=8\n", "so 6\n"],
    "3+3=6\n": ["2+6=8\n", "6+2=8\n"],
    "2+3=5\n": ["so 5\n", "5+3=8\n"],
    "2*3=6\n2+6=8\n": ["so 8\n"],
    "3+3=6\n2+6=8\n": ["so 8\n"],
    "3+3=6\n6+2=8\n": ["so 8\n"],
    "2+3=5\n5+3=8\n": ["so 8\n"],
}
SAME = ScriptedScorer({}, default=0.5)
GUIDED = ScriptedScorer(lambda text: 1 / (2 + len(text) + text.count("5")))
NONE_GIVEN = (
    "log-probabilities: scripted gives none; steps are ranked by the agreement of samples instead"
)
ROLLOUTS = {"num_rollouts": 4, "verify": "never", "num_votes": 2, "num_last_votes": 2}


def qstar(policy, q_model="default", **options):
    return QStarChain(policy, q_model, task=TASK, settings={"num_samples": 3}, **options)


def rstar(policy, q_model="default"):
    settings = {**ROLLOUTS, "actions": ("propose_step",), "prior": "q_model", "reward": "q_model"}
    return RStarChain(policy, policy, task=TASK, settings=settings, q_model=q_model, seed=3)


def best_of_n(policy, q_model="default"):
    return BestOfNChain(policy, q_model, n=6, task=TASK)


def weighted(policy, q_model="default"):
    return BestOfNChain(policy, q_model, n=6, weighted=True, task=TASK)


MACHINES = pytest.mark.parametrize("method", [qstar, rstar, best_of_n, weighted])


def scripted(script=SCRIPT, logprob=None):
    return ScriptedPolicy(script, logprob=logprob)


@MACHINES
async def test_without_log_probabilities_agreement_ranks_and_every_method_says_so(method):
    with pytest.warns(UnguidedWarning, match="scripted gives none"):
        solver = method(scripted())
    for solution in (
        solver.invoke(QUESTION),
        await solver.ainvoke(QUESTION),
        list(solver.stream(QUESTION))[-1],
    ):
        assert solution.usage.shortfalls[:1] == (NONE_GIVEN,)
        assert solution.q_model == "agreement"
        assert Solution.model_validate_json(solution.model_dump_json()) == solution


@MACHINES
def test_values_that_are_all_alike_are_told_by_every_method(method):
    (line,) = method(scripted(), SAME).invoke(QUESTION).usage.shortfalls[:1]
    assert line.startswith(("values: alike in ", "scores: alike for all 6 solutions"))


@MACHINES
def test_a_search_that_is_guided_says_nothing(method):
    assert method(scripted(), GUIDED).invoke(QUESTION).usage.shortfalls == ()


def test_what_is_not_known_of_a_policy_is_found_out_at_the_first_expansion():
    class Silent(ScriptedPolicy):
        gives_logprobs = None  # type: ignore[assignment]

    solver = qstar(Silent(SCRIPT))
    with pytest.warns(UnguidedWarning):
        solution = solver.invoke(QUESTION)
    assert solution.usage.shortfalls == (NONE_GIVEN,)
    values = {each.text: each.q for each in solution.tree if each.parent in ("0", "0.0")}
    first = {"2*3=6\n": 2 / 3, "3+3=6\n": 2 / 3, "2+3=5\n": 1 / 3}
    # The mean over the path: two of three come to 8, and one finds nothing new.
    assert values == pytest.approx(
        first | {"2+6=8\n": (2 / 3 + 2 / 3) / 2, "so 6\n": (2 / 3 + 1 / 3) / 2}
    )


def test_a_search_by_nothing_is_not_guided():
    solution = qstar(scripted(), None).invoke(QUESTION)
    assert solution.usage.shortfalls[0].startswith("values: alike in ")


def test_a_graph_by_itself_says_it_too_and_so_does_a_thread_that_is_finished():
    with pytest.warns(UnguidedWarning):
        solver = qstar(scripted(), checkpointer=InMemorySaver())
    first = solver.invoke(QUESTION, THREAD)
    assert solver.invoke(QUESTION, THREAD).usage == first.usage
    assert NONE_GIVEN in first.usage.shortfalls
    graph = create_qstar_graph(solver.policy, solver.q_model, task=TASK).compile()
    found = graph.invoke({"question": QUESTION}, {"recursion_limit": 1000})
    assert NONE_GIVEN in found["solution"]["usage"]["shortfalls"]


def test_programs_are_shown_it():
    solution = qstar(scripted(), SAME).invoke(QUESTION)
    told = json.loads(solution.model_dump_json())["usage"]["shortfalls"]
    assert "the search was not guided there" in told[0]


LOOP = {"": ["2+3=5\n"], "2+3=5\n": ["so 5\n"]}


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (lambda policy: qstar(policy, SAME), "samples: of each of 2 expansions all were the same"),
        (lambda policy: rstar(policy, SAME), "samples: all 4 rollouts ended in the same text"),
        (lambda policy: best_of_n(policy, SAME), "samples: all 6 are the same text"),
        (
            lambda policy: SelfConsistencyChain(policy, n=6, task=TASK),
            "samples: all 6 are the same text",
        ),
    ],
)
def test_a_model_that_repeats_itself_leaves_nothing_to_search(method, said):
    lines = method(scripted(LOOP)).invoke(QUESTION).usage.shortfalls
    assert any(line.startswith(said) for line in lines)


def test_rewards_that_tell_nothing_apart_are_told():
    policy = scripted({"": ["1\n", "2\n", "3\n"], "1\n": [""], "2\n": [""], "3\n": [""]})
    settings = {**ROLLOUTS, "actions": ("propose_step",)}
    solution = RStarChain(policy, policy, task=TASK, settings=settings).invoke(QUESTION)
    assert solution.usage.shortfalls[0].startswith("rewards: alike for all ")


def test_an_end_without_text_is_worth_the_path_that_it_ends():
    task = Task(
        name="thoughts",
        messages=TASK.messages,
        is_terminal=lambda text: False,
        answer=lambda text: "8" if "=8" in text else None,
        step_end=lambda text: text.find("\n") + 1,
    )
    script = {"": ["2*4=8\n"], "2*4=8\n": ["", "8+1=9\n"]}
    scorer = ScriptedScorer({"2*4=8": 0.9, "8+1=9": 0.4})
    rewards = ScriptedScorer({"2*4=8": 0.25, "8+1=9": 0.75})
    settings = {"num_samples": 2, "num_trajectories": 1}
    solution = QStarChain(
        scripted(script), scorer, utility=rewards, task=task, settings=settings, checks=[]
    ).invoke(QUESTION)
    end = next(each for each in solution.tree[1:] if not each.text)
    assert (end.q, end.reward, end.g) == (0.9, None, 0.25)
    assert end.f == pytest.approx(0.9 + 0.25)
    assert solution.answer == "8"
    assert "" not in {step.text for call in scorer.calls for each in call for step in each.steps}


def test_a_depth_bias_reaches_a_solution_where_values_lead_astray():
    tempting = ScriptedScorer(lambda text: 0.6 - 0.1 * text.count("\n"))
    chain = QStarChain(scripted(), tempting, task=TASK, settings={"num_samples": 3, "max_pops": 4})
    assert len(chain.invoke(QUESTION).votes) == 0
    settings = {"num_samples": 3, "max_pops": 4, "depth_bias": 0.2}
    biased = QStarChain(scripted(), tempting, task=TASK, settings=settings).invoke(QUESTION)
    assert len(biased.votes) == 1
    assert max(each.f or 0 for each in biased.tree) == pytest.approx(0.5)  # f is the paper's
