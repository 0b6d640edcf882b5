"""What every test stands on: no network, no tracing, no dependence on the clock or the machine."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Before any library reads them. A model that is not on disk must fail, not be fetched.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LANGSMITH_TRACING"] = "false"
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def _nano_weights() -> Path:
    package = find_spec("langchain_qstar")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "nano" / "model.safetensors"


def _accelerator() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("nano") and not _nano_weights().exists():
        pytest.skip("nano is not trained yet: make train-nano")
    if item.get_closest_marker("gpu") and not _accelerator():
        pytest.skip("no accelerator on this machine")


@pytest.fixture
def node():
    """Makes a node of a tree; its id says where it is."""
    from langchain_qstar.solution import TreeNode

    def make(identity: str, text: str, **fields: Any) -> TreeNode:
        return TreeNode(
            id=identity,
            parent=identity.rpartition(".")[0] or None,
            text=text,
            action="propose_step",
            depth=identity.count("."),
            **fields,
        )

    return make


@pytest.fixture
def solution(node):
    """Makes the solution of a small search, with any field replaced."""
    from langchain_qstar.solution import Solution, SolutionStep, Usage, Vote

    def make(**fields: Any) -> Solution:
        given = {
            "question": "How many?",
            "answer": "7",
            "method": "qstar",
            "steps": (SolutionStep(text="3+4=7\n"), SolutionStep(text="The answer is 7.\n")),
            "tree": (
                node("0", "", popped=0),
                node("0.0", "3+5=8\n", q=0.25, f=0.25),
                node("0.1", "3+4=7\n", q=0.75, f=0.75, popped=1),
                node("0.2", "4-3=1\n", q=0.5, f=0.5),
                node("0.1.0", "The answer is 7.\n", popped=2, terminal=True, answer="7"),
            ),
            "votes": (Vote(answer="7", count=1, weight=1.0),),
            "usage": Usage(calls=2, completions=6, prompt_tokens=50, completion_tokens=40),
            "seconds": 1.25,
        }
        return Solution.model_validate(given | fields)

    return make
