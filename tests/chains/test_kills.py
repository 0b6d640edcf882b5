"""A search that is killed at a random moment is finished by another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent.parent / "benchmarks" / "kills.py"


def test_killed_anywhere_the_tree_is_the_same_and_no_finished_expansion_is_repeated():
    pytest.importorskip("langchain.agents")
    pytest.importorskip("langgraph.checkpoint.sqlite")
    argv = [sys.executable, str(PROGRAM), "--quick", "--seed", "5"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert set(figures) == {"chain", "subgraph", "tool", "middleware"}
    for shape in figures.values():
        assert shape["trees_differ"] == shape["repeated_finished"] == 0
        assert shape["repeated"] <= shape["kills"]
    assert sum(shape["begun"] for shape in figures.values()) > 2
