"""What is deployed: the factories that langgraph.json names, and their drawings."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from langchain_qstar.chains import QStarChain
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
def test_the_environment_chooses_the_models(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QSTAR_POLICY", "hf:org/")
    with pytest.raises(InputError, match="org/"):
        load(name).graph({})


@pytest.mark.nano
@pytest.mark.parametrize("name", GRAPHS)
def test_the_context_of_an_assistant_is_the_settings_of_its_search(name: str):
    make = load(name).graph
    context = {"temperature": 0.3, "max_nodes": 9, "thread_id": "t", "graph_id": name}
    chosen, default = make({"configurable": context}), make({"configurable": {}})
    assert chosen is make({"configurable": {**context, "thread_id": "u"}})
    assert default is make({"configurable": None}) is not chosen
    result = chosen.invoke({"question": QUESTION}, {"recursion_limit": 500})
    settings = result["solution"]["settings"]
    assert (settings["temperature"], settings["max_nodes"]) == (0.3, 9)
    assert "stream_tokens" not in settings


@pytest.mark.nano
@pytest.mark.parametrize("name", GRAPHS)
def test_a_server_can_show_every_setting(name: str):
    shown = load(name).graph({}).get_context_jsonschema()["properties"]
    assert {"max_tokens", "temperature", "stream_tokens"} <= set(shown)


@pytest.mark.nano
def test_a_setting_that_cannot_be_is_one_clear_line():
    with pytest.raises(SettingsError, match=r"temperature=-1"):
        load("qstar").graph({"configurable": {"temperature": -1}})
