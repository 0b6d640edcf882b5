"""What a tracer sees of the models that a search asks."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.language_models import FakeListChatModel
from langchain_core.tracers import BaseTracer

from langchain_qstar.chains import QStarChain
from langchain_qstar.errors import ModelError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Task

TASK = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1],
    is_terminal=lambda text: "b" in text,
)
SCRIPT = {"": ["one a\n", "two a\n"], "two a\n": ["last b\n"], "one a\n": ["never\n"]}
VALUES = {"one a": 0.1, "two a": 0.9, "last b": 0.8, "never": 0.0}


def chain(policy: Any = None, q_model: Any = None) -> QStarChain:
    return QStarChain(
        policy or ScriptedPolicy(SCRIPT, name="writer"),
        q_model or ScriptedScorer(VALUES),
        task=TASK,
        settings={"num_samples": 2, "num_trajectories": 1},
    )


class Recording(BaseTracer):
    """Keeps the model runs."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Any] = []
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)

    def _on_llm_end(self, run: Any) -> None:
        self.models.append(run)

    _on_llm_error = _on_llm_end


async def of(form: str, chain: QStarChain, tracer: Any) -> Any:
    if form == "ainvoke":
        return await chain.ainvoke("Which?", {"callbacks": [tracer]})
    return chain.invoke("Which?", {"callbacks": [tracer]})


@pytest.mark.parametrize("form", ["invoke", "ainvoke"])
async def test_each_batch_is_one_run_below_its_phase_with_model_and_tokens(form: str):
    tracer = Recording()
    solution = await of(form, chain(), tracer)
    assert solution.answer == "b"
    writes = [run for run in tracer.models if run.name == "writer"]
    scores = [run for run in tracer.models if run.name != "writer"]
    assert [run.metadata["langgraph_node"] for run in writes] == ["propose_step"] * 2
    assert {run.metadata["langgraph_node"] for run in scores} == {"score_with_q"}
    assert {run.metadata["ls_model_name"] for run in writes} == {"writer"}
    texts = [each["text"] for each in writes[0].outputs["generations"][0]]
    assert texts == ["one a\n", "two a\n"]
    (root,) = tracer.roots
    (graph,) = root.child_runs
    phases = {run.id: run.name for run in graph.child_runs}
    assert [phases[run.parent_run_id] for run in writes] == ["propose_step"] * 2


async def test_the_tokens_of_all_runs_are_those_of_the_solution():
    with get_usage_metadata_callback() as counted:
        usage = chain().invoke("Which?").usage
    assert counted.usage_metadata["writer"]["output_tokens"] == usage.completion_tokens
    assert sum(each["input_tokens"] for each in counted.usage_metadata.values()) == (
        usage.prompt_tokens
    )


async def test_a_model_that_fails_ends_its_run_with_the_error():
    class Failing(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            raise ModelError("out of memory")

    tracer = Recording()
    with pytest.raises(ModelError):
        chain(Failing(SCRIPT, name="writer")).invoke("Which?", {"callbacks": [tracer]})
    (run,) = tracer.models
    assert "out of memory" in run.error


async def test_a_chat_model_tells_of_itself_and_is_not_told_of_twice():
    tracer = Recording()
    model = FakeListChatModel(responses=["last b"])
    chain(model).invoke("Which?", {"callbacks": [tracer]})
    assert {run.name for run in tracer.models} == {"FakeListChatModel", "ScriptedScorer"}


def test_samples_are_not_the_messages_of_a_graphs_stream():
    graph = chain().graph
    assert not list(graph.stream({"question": "Which?"}, stream_mode="messages"))


def test_a_trace_shows_steps_without_their_tokens():
    tracer = Recording()
    chain().invoke("Which?", {"callbacks": [tracer]})
    (graph,) = tracer.roots[0].child_runs
    (first, *_) = [run for run in graph.child_runs if run.name == "propose_step"]
    assert [each["text"] for each in first.outputs["nodes"].values()] == ["one a\n", "two a\n"]
    assert not any({"token_ids", "logprobs"} & set(e) for e in first.outputs["nodes"].values())
