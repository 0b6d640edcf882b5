"""After `fork` a chain works, or says at once what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
SCRIPT = Path(__file__).with_name("forked.py")


def told_by(*arguments: str) -> dict[str, str]:
    found = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return dict(line.split(": ", 1) for line in found.stdout.splitlines())


@pytest.mark.parametrize("kind", ["transformers", "llamacpp"])
def test_a_model_that_ran_before_the_fork_is_refused_and_by_its_name_loaded_anew(kind, request):
    local = kind == "transformers"
    model = "nano" if local else f"gguf:{request.getfixturevalue('nano_gguf')}"
    told = told_by("local", model)
    assert "ran before this process was forked" in told["ran"]
    assert told["ran"].startswith("ModelError: ")
    assert "\n" not in told["ran"]
    assert told["made anew"] == repr(told["parent"])
    assert told["parent again"] == "True"
