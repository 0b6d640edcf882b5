"""What every test stands on: no network, no tracing, no dependence on the clock or the machine."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

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
