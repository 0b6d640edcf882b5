"""A chain of a server in a forked process: connections of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]
SCRIPT = Path(__file__).parents[1] / "processes" / "forked.py"


def test_a_chain_of_a_server_goes_on_in_a_forked_process(serve):
    server = serve(says=lambda seed: "3 * 4 = 12\nThe answer is 12.\n")
    found = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), "remote", server.url],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert found.stdout.splitlines() == ["parent: 12", "ran: '12'", "parent again: 12"]
