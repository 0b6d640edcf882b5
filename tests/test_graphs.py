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
from langchain_qstar.models.scripted import ScriptedPolicy

HOUSE = Path(__file__).parent.parent
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


def test_the_environment_chooses_the_models(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, object] = {}

    class Recording:
        graph = "the graph"

        def __init__(self, **options: object) -> None:
            asked.update(options)

    monkeypatch.setattr("langchain_qstar.chains.QStarChain", Recording)
    monkeypatch.setenv("QSTAR_POLICY", "hf:org/name")
    monkeypatch.setenv("QSTAR_Q_MODEL", "log-probability")
    module = load("qstar")
    assert module.graph() == "the graph"
    assert module.graph() is module.graph()
    assert asked == {"policy": "hf:org/name", "q_model": "log-probability", "task": None}
