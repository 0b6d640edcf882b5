from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def make(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # A `make` that runs this test hands its own flags down; they are not part of the test.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


@pytest.fixture
def ready(checkout):
    """A checkout that was set up before; pip in it would fail, and qstar echoes."""
    executable(checkout / ".venv/bin/python", "echo pip was called >&2; exit 1")
    executable(checkout / ".venv/bin/qstar", 'printf "<%s>" "$@"')
    (checkout / ".venv/.demo-ready").touch()
    return checkout


def test_an_old_python_is_told_in_a_sentence_before_anything_is_made(checkout):
    old = executable(
        checkout / "old", '[ "$1" = --version ] && echo Python 3.8.1 && exit 0\nexit 1'
    )
    done = make("demo", f"PYTHON={old}", cwd=checkout)
    assert done.returncode == 2
    assert "needs Python 3.11 or newer" in done.stderr
    assert "is Python 3.8.1" in done.stderr
    assert not (checkout / ".venv").exists()


def test_the_demo_on_a_machine_already_set_up_installs_nothing(ready):
    done = make("demo", cwd=ready)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<solve><Tom has 4 bags.")


def test_a_question_may_hold_quotes_and_dollars(ready):
    done = make("demo", """QUESTION=It's "$$5" each; `how` much?""", cwd=ready)
    assert done.stdout == """<solve><It's "$5" each; `how` much?>"""


def test_the_demo_says_what_it_installs_and_how_large_before_it_does(ready):
    os.utime(ready / ".venv/.demo-ready", (0, 0))
    done = make("demo", cwd=ready)
    assert done.returncode != 0
    assert re.search(r"about [\d.]+ [MG]B to download", done.stdout)
    assert re.search(r"[\d.]+ [MG]B on disk", done.stdout)
    assert "pip was called" in done.stderr


def test_a_failed_installation_is_tried_again(ready):
    os.utime(ready / ".venv/.demo-ready", (0, 0))
    make("demo", cwd=ready)
    assert "pip was called" in make("demo", cwd=ready).stderr


def test_ci_runs_make_test_and_nothing_else():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.splitlines()[-1] == "exec make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize(
    "target", ["help", "test", "lint", "format", "bench", "docs", "train-nano"]
)
def test_every_target_can_be_planned(target):
    assert make("--dry-run", target, cwd=ROOT).returncode == 0
