"""What is deployed: the factories that langgraph.json names, and their drawings."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from langchain_qstar.chains import QStarChain, deployed
from langchain_qstar.errors import InputError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy

HOUSE = Path(__file__).parent.parent
QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
GRAPHS = json.loads((HOUSE / "langgraph.json").read_text())["graphs"]


def load(name: str) -> ModuleType:
    """As the server does: from its path, under a name of its own."""
    path = HOUSE / GRAPHS[name].split(":")[0]
    spec = importlib.util.spec_from_file_location(f"__graphs__{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_drawing_is_the_machine():
    chain = QStarChain(ScriptedPolicy({}), None)
    drawing = chain.graph.get_graph().draw_mermaid().strip()
    assert f"```mermaid\n{drawing}\n```" in (HOUSE / "graphs" / "README.md").read_text()


@pytest.mark.parametrize("name", GRAPHS)
def test_a_deployed_graph_is_a_short_factory_that_is_named_and_described(name: str):
    path, factory = GRAPHS[name].split(":")
    assert callable(getattr(load(name), factory))
    assert len((HOUSE / path).read_text().splitlines()) <= 35
    assert f"## {name}" in (HOUSE / "graphs" / "README.md").read_text()


def test_importing_a_deployed_graph_loads_no_model_and_no_graph_library():
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]);"
        "print([m for m in ('torch', 'transformers', 'langgraph') if m in sys.modules])"
    )
    argv = [sys.executable, "-c", code, str(HOUSE / GRAPHS["qstar"].split(":")[0])]
    loaded = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("name", GRAPHS)
async def test_the_environment_chooses_the_models(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QSTAR_POLICY", "hf:org/")
    with pytest.raises(InputError, match="org/"):
        await load(name).graph({})


async def test_while_a_model_is_loaded_the_event_loop_goes_on(monkeypatch: pytest.MonkeyPatch):
    loading, ticked = threading.Event(), threading.Event()

    def slow(*_: Any) -> str:
        loading.set()
        assert ticked.wait(30)
        return "the graph"

    monkeypatch.setattr(deployed, "deployed_qstar", slow)
    made = asyncio.create_task(load("qstar").graph({}))
    assert await asyncio.to_thread(loading.wait, 30)
    ticked.set()
    assert await made == "the graph"


async def test_asked_for_by_several_runs_at_once_a_model_is_loaded_once(
    monkeypatch: pytest.MonkeyPatch,
):
    made = []

    def chain(*_: Any, **__: Any) -> QStarChain:
        made.append(1)
        time.sleep(0.05)
        return QStarChain(ScriptedPolicy({}), None)

    monkeypatch.setattr(deployed, "QStarChain", chain)
    monkeypatch.setenv("QSTAR_TASK", "asked at once")
    factory = load("qstar").graph
    runs = [factory({"configurable": {"max_pops": n}}) for n in range(1, 5)]
    assert len(set(await asyncio.gather(*runs))) == 4
    assert len(made) == 1


@pytest.mark.nano
@pytest.mark.parametrize("name", GRAPHS)
async def test_the_context_of_an_assistant_is_the_settings_of_its_search(name: str):
    make = load(name).graph
    context = {"temperature": 0.3, "max_nodes": 9, "thread_id": "t", "graph_id": name}
    chosen, default = await make({"configurable": context}), await make({"configurable": {}})
    assert chosen is await make({"configurable": {**context, "thread_id": "u"}})
    assert default is await make({"configurable": None}) is not chosen
    result = await chosen.ainvoke({"question": QUESTION}, {"recursion_limit": 500})
    settings = result["solution"]["settings"]
    assert (settings["temperature"], settings["max_nodes"]) == (0.3, 9)
    assert "stream_tokens" not in settings


@pytest.mark.nano
@pytest.mark.parametrize("name", GRAPHS)
async def test_a_server_can_show_every_setting(name: str):
    shown = (await load(name).graph({})).get_context_jsonschema()["properties"]
    assert {"max_tokens", "temperature", "stream_tokens"} <= set(shown)


@pytest.mark.nano
async def test_a_setting_that_cannot_be_is_one_clear_line():
    with pytest.raises(SettingsError, match=r"temperature=-1"):
        await load("qstar").graph({"configurable": {"temperature": -1}})
