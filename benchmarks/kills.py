"""kill -9 at random moments: what a stored search loses, alone and as a part of something.

    python benchmarks/kills.py --quick
    python benchmarks/kills.py --full --record

A search runs in a process of its own and is killed at a random moment; another process
then finishes it from the sqlite file. That is done in four shapes: the chain, the chain in
a node of another graph, in a tool of an agent, and in an agent's middleware. Figures, for
each shape, printed last:

kills              searches that were killed
begun              of those, how many had expanded something and had something left
trees_differ       resumed searches whose tree or answer is not that of one never killed
repeated           expansions that were made twice
repeated_finished  of those, expansions that were not the very one in flight at the kill
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypedDict

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.tools import tool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph

from langchain_qstar.chains import QStarChain
from langchain_qstar.chains.checkpoints import open_checkpoints
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Completion, SampleRequest, Task

RESULTS: Final = Path(__file__).parent / "results" / "kills.json"
SHAPES: Final = ("chain", "subgraph", "tool", "middleware")
BATCH_SECONDS: Final = 0.004
"""What a batch takes; with none, most kills would fall into the storing."""

CONFIG: Final[RunnableConfig] = {"configurable": {"thread_id": "t"}, "recursion_limit": 10_000}
TASK: Final = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1],
    is_terminal=lambda text: "7" in text,
)


def steps(text: str) -> list[str]:
    """Three steps a state; those six levels down end a solution."""
    end = "7" * (text.count("\n") == 5)
    return [f"{text[-2:-1]}{letter}{end}\n" for letter in "abc"]


class Logged(ScriptedPolicy):
    """A scripted model that notes each state in a file once it has continued it."""

    def __init__(self, log: Path) -> None:
        super().__init__(steps)
        self._log = log

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As the script says, in the time of a small model."""
        time.sleep(BATCH_SECONDS)
        completions = super().sample(requests)
        with self._log.open("a") as lines:
            lines.writelines("/".join(each.state.text.split()) + "\n" for each in requests)
        return completions


class Caller(BaseChatModel):
    """The model of an agent: it calls the tool, then says what the tool said."""

    @property
    def _llm_type(self) -> str:
        return "caller"

    def bind_tools(self, tools: Any, **_: Any) -> Any:  # noqa: ARG002  # LangChain's name
        """Every tool is known already."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        call = {"name": "solve", "args": {"question": "q"}, "id": "1"}
        said = messages[-1].type == "tool"
        message = AIMessage(messages[-1].text) if said else AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=message)])


class Outer(TypedDict, total=False):
    """The state of a graph around the search."""

    question: str
    found: str


def chain(log: Path, saver: Any = None) -> QStarChain:
    """A search of some seventy expansions."""
    return QStarChain(
        Logged(log),
        ScriptedScorer(lambda text: sum(map(ord, text)) % 7 / 7),
        task=TASK,
        settings={"num_samples": 3, "num_trajectories": 20, "max_pops": 90},
        checkpointer=saver,
    )


def found(solution: Any) -> str:
    """What must be the same, killed or not."""
    return str(solution.model_dump_json(include={"tree", "answer", "votes", "steps"}))


def around(shape: str, log: Path, saver: Any) -> Any:
    """A graph with the search in it. Only the graph has a checkpointer."""
    inner = chain(log)
    if shape == "subgraph":
        builder = StateGraph(Outer)
        builder.add_node("solve", lambda state: {"found": found(inner.invoke(state["question"]))})
        builder.add_edge(START, "solve")
        return builder.compile(checkpointer=saver)
    if shape == "tool":

        @tool
        def solve(question: str) -> str:
            """Solve a question."""
            return found(inner.invoke(question))

        return create_agent(Caller(), [solve], checkpointer=saver)

    class Searching(AgentMiddleware):
        """Answers in the place of the agent's model."""

        def wrap_model_call(self, request: Any, handler: Any) -> Any:  # noqa: ARG002  # not called
            return AIMessage(found(inner.invoke(request.messages[-1].text)))

    return create_agent(Caller(), [], middleware=[Searching()], checkpointer=saver)


def search(shape: str, folder: Path) -> str:
    """Begin the search of the folder, or go on with it."""
    log = folder / "log"
    with open_checkpoints(folder / "threads.sqlite") as saver:
        if shape == "chain":
            return found(chain(log, saver).invoke("q", CONFIG))
        graph = around(shape, log, saver)
        begun = graph.get_state(CONFIG).metadata is not None
        start: Any = {"question": "q", "messages": [("user", "q")]}
        result = graph.invoke(None if begun else start, CONFIG, durability="sync")
        return str(result["found"] if shape == "subgraph" else result["messages"][-1].content)


def in_process(shape: str, folder: Path, killed_after: float | None = None) -> str:
    """What a process finds that is killed after so many seconds; nothing if it was."""
    result = folder / "result"
    if (child := os.fork()) == 0:
        try:
            part = folder / "part"
            part.write_text(search(shape, folder))
            part.rename(result)  # whole or not at all
        finally:
            os._exit(0)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return result.read_text() if result.exists() else ""


def measured(shape: str, kills: int, rng: random.Random) -> dict[str, int]:
    """The figures of one shape."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        whole = in_process(shape, Path(folder))
        seconds = time.perf_counter() - start
        expansions = len(lines(Path(folder)))
    counts = {"kills": kills, "begun": 0, "trees_differ": 0, "repeated": 0, "repeated_finished": 0}
    for _ in range(kills):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            done = in_process(shape, folder, killed_after=rng.uniform(0, seconds))
            before = lines(folder)
            counts["begun"] += 0 < len(before) < expansions
            resumed = done or in_process(shape, folder)
            counts["trees_differ"] += resumed != whole
            after = lines(folder)[len(before) :]
            twice = {*before} & {*after}
            counts["repeated"] += len(twice)
            counts["repeated_finished"] += len(twice - {*before[-1:]})
    return counts


def lines(folder: Path) -> list[str]:
    """The states that were continued, in order."""
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="two kills a shape")
    size.add_argument("--full", action="store_true", help="fifty kills a shape")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    figures = {shape: measured(shape, 50 if args.full else 2, rng) for shape in SHAPES}
    record = {
        "command": "python benchmarks/kills.py " + " ".join(sys.argv[1:]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.platform(),
        "versions": {name: version(name) for name in ("langgraph", "langgraph-checkpoint-sqlite")},
        "seed": args.seed,
        "figures": figures,
    }
    if args.record:
        RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
