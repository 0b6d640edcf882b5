"""What LangGraph and the search cost by themselves, with a model that takes no time.

    python benchmarks/graph.py --quick
    python benchmarks/graph.py --full --record

Figures, printed last:

ms_per_superstep         one superstep without a checkpointer, over a whole search of 5,000 nodes
ms_per_expansion         three of them: select, propose_step, score_with_q
ms_per_superstep_sqlite  the same with SqliteSaver (WAL, synchronous=NORMAL), each one stored
flatness                 an expansion at 5,000 nodes over one at 50
mb_2500_nodes            size of that database after 2,500 nodes of 1 kB (K = 6, edge mode,
                         one pop a superstep), in units of 10^6 bytes
cpu_ms_per_superstep     CPU time of this process a superstep, over a search of 5,000 nodes
cpu_ms_per_superstep_sqlite  the same with the SqliteSaver above
kilobytes_traced_a_node  what LangSmith is posted about a search, uncompressed, received by a
                         server on this machine, over its nodes
megabytes_traced_2000    the same of a search of 2,000 nodes (goal: below 10); --full only
searches_together        64 searches (16 with --quick) on one engine, the bundled model's, at once
                         (`batch`), in questions a second, over one after another
questions_a_second_64    at once, with --full; and one after another: questions_a_second_alone
megabytes_together       what the process grew by for the 64, beyond its size after the same
                         searches one after another. They must end, give the same answers in
                         the order of their questions, and the same trees
import_seconds_added     `import langchain_qstar` after `import langgraph.graph`
chain_seconds_added      `from langchain_qstar import QStarChain` after it
help_seconds             `qstar --help`
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any, Final

from langchain_core.tracers.langchain import LangChainTracer, wait_for_all_tracers
from langgraph.checkpoint.sqlite import SqliteSaver
from langsmith import Client

from langchain_qstar.chains import QStarChain
from langchain_qstar.evaluation.recording import print_figures, provenance, write_record
from langchain_qstar.protocols import Completion, SampleRequest, ScoreRequest, Scores, Task
from langchain_qstar.qstar import NO_LIMIT, create_qstar_graph
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Solution

RESULTS: Final = Path(__file__).parent / "results" / "graph.json"
PACKAGES: Final = ("langchain-core", "langgraph", "langgraph-checkpoint-sqlite")
SUPERSTEPS: Final = 3
"""Of one expansion."""

BATCHES: Final = {
    "use_multipart_endpoint": False,
    "scale_up_nthreads_limit": 1,
    "scale_up_qsize_trigger": 10**6,
    "scale_down_nempty_trigger": 4,
    "size_limit": 100,
    "size_limit_bytes": 10**7,
}
"""Whole runs as JSON, as any sink reads them."""

LARGE: Final = 2000
"""Nodes of the search whose traces have a goal."""

PATIENCE: Final = 1800
"""Seconds after which searches at once count as a deadlock."""

PADDING: Final = 650
"""Characters that make the stored record of a node 1 kB."""

TASK: Final = Task(
    name="endless",
    messages=lambda question: (("user", question),),
    answer=lambda _: None,
    is_terminal=lambda _: False,
)


class EmptyModel:
    """A policy and scorer that answer at once, and note when they were asked.

    Texts and values are functions of the sample's seed, so every run grows the
    same tree, in which some states are continued and most are not.
    """

    name = "empty"
    window = None

    def __init__(self, size: int) -> None:
        self._padding = "." * size
        self.asked: list[float] = []

    def count_tokens(self, text: str) -> int:
        """One token a character."""
        return len(text)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """K different lines for each request."""
        self.asked.append(time.perf_counter())
        return [[self._line(seed) for seed in request.seeds] for request in requests]

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`."""
        return self.sample(requests)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """A value in [0, 1] for each step, smaller the deeper it is.

        So the tree grows wide and its paths stay short: what is measured is the
        cost of a large tree, not of long paths.
        """
        return [
            Scores(
                tuple(int(step.text[:6]) / 1e6 / (1 + len(each.state.steps)) for step in each.steps)
            )
            for each in requests
        ]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`."""
        return self.score(requests)

    def _line(self, seed: int) -> Completion:
        text = f"{seed % 10**6:06d} {seed:x}{self._padding}\n"
        return Completion(text, token_ids=(1, 2, 3), logprobs=(-0.1,) * 3, generated=3)


def search(nodes: int, size: int = 0, saver: Any = None) -> list[float]:
    """Seconds of each expansion of one search that grows a tree of `nodes` nodes."""
    model = EmptyModel(size)
    settings = QStarSettings(max_pops=None, max_nodes=nodes, max_depth=30, fallback=False)
    graph = create_qstar_graph(model, model, task=TASK, settings=settings)
    compiled = graph.compile(checkpointer=saver)
    config: Any = {"recursion_limit": NO_LIMIT, "configurable": {"thread_id": "one"}}
    how: Any = {"durability": "sync"} if saver else {}
    compiled.invoke({"question": "none"}, config, **how)
    return [after - before for before, after in zip(model.asked, model.asked[1:], strict=False)]


def in_memory(repeats: int) -> dict[str, float]:
    """Cost of a superstep without a checkpointer, in a growing tree."""
    search(350)  # the first is slower: imports, caches
    large = [search(5000) for _ in range(repeats)]
    small = [each for _ in range(5 * repeats) for each in search(350)[8:]]
    expansion = median(each for run in large for each in run)
    at_5000 = median(each for run in large for each in run[-50:])
    return {
        "ms_per_superstep": 1000 * expansion / SUPERSTEPS,
        "ms_per_expansion": 1000 * expansion,
        "flatness": at_5000 / median(small),
    }


def in_sqlite(repeats: int) -> dict[str, float]:
    """Cost of a stored superstep, and what is stored."""
    expansions: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats):
            file = Path(folder) / f"{number}.sqlite"
            with closing(sqlite3.connect(file, check_same_thread=False)) as connection:
                saver = SqliteSaver(connection)
                saver.setup()
                connection.execute("PRAGMA synchronous=NORMAL")
                expansions += search(2500, PADDING, saver)
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            megabytes = file.stat().st_size / 1e6
    return {
        "ms_per_superstep_sqlite": 1000 * median(expansions) / SUPERSTEPS,
        "mb_2500_nodes": megabytes,
    }


def cpu(nodes: int, saver: Any = None, size: int = 0) -> float:
    """CPU milliseconds of a superstep of one search."""
    start = time.process_time()
    expansions = len(search(nodes, size, saver)) + 1
    return 1000 * (time.process_time() - start) / (SUPERSTEPS * expansions)


def in_cpu_time(repeats: int) -> dict[str, float]:
    """CPU time of a superstep: the least of several runs, for other work can only add to it."""
    stored = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats):
            file = Path(folder) / f"{number}.sqlite"
            with closing(sqlite3.connect(file, check_same_thread=False)) as connection:
                saver = SqliteSaver(connection)
                saver.setup()
                connection.execute("PRAGMA synchronous=NORMAL")
                stored.append(cpu(5000, saver, PADDING))
    return {
        "cpu_ms_per_superstep": min(cpu(5000) for _ in range(repeats)),
        "cpu_ms_per_superstep_sqlite": min(stored),
    }


def traced(nodes: int) -> dict[str, float]:
    """What one search posts to LangSmith."""
    with sink() as (url, received):
        client = Client(api_url=url, api_key="none", info={"batch_ingest_config": BATCHES})
        tracer = LangChainTracer(client=client, project_name="measured")
        model = EmptyModel(PADDING // 10)
        settings = QStarSettings(max_pops=None, max_nodes=nodes, max_depth=30, fallback=False)
        chain = QStarChain(model, model, task=TASK, settings=settings)
        chain.invoke("none", {"callbacks": [tracer]})
        wait_for_all_tracers()
        client.flush()
        figures = {"kilobytes_traced_a_node": sum(received) / 1e3 / nodes}
        if nodes == LARGE:
            figures["megabytes_traced_2000"] = sum(received) / 1e6
        return figures


@contextmanager
def sink() -> Iterator[tuple[str, list[int]]]:
    """A server that takes whatever is posted, and the sizes of it in bytes."""
    received: list[int] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.append(len(body))
            self._said()

        do_PATCH = do_POST  # noqa: N815  # names that the library calls

        def do_GET(self) -> None:
            self._said()

        def _said(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()


def together(questions: int) -> dict[str, float]:
    """Searches on one engine at once, over the same one after another.

    Raises:
        SystemExit: They do not end, or differ from those that run alone.
    """
    chain = QStarChain(settings={"num_samples": 3, "max_pops": 6})
    asked = [
        f"Ann has {n} boxes with 4 pens each. How many pens does she have?"
        for n in range(2, questions + 2)
    ]
    chain.invoke(asked[0])
    start = time.perf_counter()
    alone = [chain.invoke(each) for each in asked]
    between, grown = time.perf_counter(), peak_megabytes()
    at_once = ended(lambda: chain.batch(asked, {"max_concurrency": questions}))
    end = time.perf_counter()
    if [found(each) for each in alone] != [found(each) for each in at_once]:
        raise SystemExit("searches at once gave other answers, or another order, than alone")
    figures = {
        "searches_together": (between - start) / (end - between),
        "questions_a_second_alone": questions / (between - start),
        "megabytes_together": peak_megabytes() - grown,
    }
    return figures | {f"questions_a_second_{questions}": questions / (end - between)}


def found(solution: Solution) -> tuple[str, str | None, list[str]]:
    """What must be the same alone and in company."""
    return solution.question, solution.answer, [node.text for node in solution.tree]


def ended(work: Callable[[], list[Solution]]) -> list[Solution]:
    """What `work` returns; a deadlock is an error instead of a benchmark that hangs."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work).result(PATIENCE)
    except TimeoutError:
        print(f"the searches did not end within {PATIENCE} s", file=sys.stderr, flush=True)
        os._exit(1)  # threads that wait for each other cannot be joined
    finally:
        pool.shutdown(wait=False)


def peak_megabytes() -> float:
    """The most memory that this process has had resident, in units of 10^6 bytes."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def seconds_added(code: str) -> float:
    """Seconds that `code` takes in a fresh interpreter that has imported LangGraph."""
    timed = (
        "import langgraph.graph, time; start = time.perf_counter();"
        f"{code}; print(time.perf_counter() - start)"
    )
    argv = [sys.executable, "-c", timed]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def seconds(code: str) -> float:
    """Seconds of a fresh interpreter that runs `code`, its start included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - start


def start_up(repeats: int) -> dict[str, float]:
    """What starting costs: the fastest of several, for other work can only add to it."""
    usage = "from langchain_qstar.cli import main; main(['--help'])"
    chain = "from langchain_qstar import QStarChain"
    seconds_added(chain)  # byte code
    seconds(usage)
    return {
        "import_seconds_added": min(
            seconds_added("import langchain_qstar") for _ in range(repeats)
        ),
        "chain_seconds_added": min(seconds_added(chain) for _ in range(repeats)),
        "help_seconds": min(seconds(usage) for _ in range(repeats)),
    }


def main() -> None:
    """Measure, record if asked, and print."""
    parser = argparse.ArgumentParser(description="cost of LangGraph and the search themselves")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="within 45 s (the default)")
    size.add_argument("--full", action="store_true", help="more repetitions")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    chosen = parser.parse_args()
    if chosen.record and not chosen.full:
        parser.error("--record needs --full")
    repeats = 7 if chosen.full else 2
    figures = in_memory(repeats) | in_sqlite(repeats) | in_cpu_time(1 + chosen.full)
    figures |= together(64 if chosen.full else 16)
    figures |= traced(LARGE if chosen.full else 200) | start_up(repeats + 2)
    if chosen.record:
        document = provenance(Path(__file__), PACKAGES)
        write_record(RESULTS, {**document, "repeats": repeats, "figures": figures})
    print_figures(figures)


if __name__ == "__main__":
    main()
