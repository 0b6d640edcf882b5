from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import langchain_qstar

# What a program that only imports the package must not pay for.
HEAVY = {"torch", "transformers", "langgraph", "langchain_core", "pydantic", "rich", "numpy"}
HEAVY |= {"llama_cpp", "gguf"}


def in_a_fresh_python(code: str, value: str) -> set[str]:
    """The value of an expression, a collection of texts, after `code` in a new process."""
    script = f"import sys, json; {code}; print(json.dumps(sorted({value})))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def modules_after(code: str) -> set[str]:
    return in_a_fresh_python(code, "sys.modules")


def test_importing_the_package_imports_nothing_but_itself():
    added = modules_after("import langchain_qstar") - modules_after(
        "import __future__, importlib, typing"
    )
    assert added == {"langchain_qstar"}


def test_the_command_line_asks_for_no_heavy_library_before_it_works():
    loaded = modules_after("from langchain_qstar import cli; cli.build_parser().format_help()")
    assert not {name.partition(".")[0] for name in loaded} & HEAVY


def test_a_search_with_a_scripted_model_needs_no_torch():
    loaded = modules_after("from langchain_qstar import QStarChain, create_qstar_graph")
    assert not {name.partition(".")[0] for name in loaded} & {"torch", "transformers"}


def test_checking_arithmetic_needs_no_computer_algebra():
    loaded = modules_after(
        "from langchain_qstar.checks.running import StepChecks, resolve_checks;"
        "from langchain_qstar.tasks import get_task;"
        "from langchain_qstar.protocols import State;"
        "resolve_checks(None, get_task('nano')).judge(State('?'), '2+3=5');"
        "assert get_task('gsm8k').equivalent('1/2', '0.5')"
    )
    assert not {name.partition(".")[0] for name in loaded} & {"sympy", "math_verify"}


@pytest.mark.parametrize("name", langchain_qstar.__all__)
def test_every_public_name_loads(name):
    assert getattr(langchain_qstar, name) is not None


@pytest.mark.parametrize("name", sorted(set(langchain_qstar.__all__) - {"__version__"}))
def test_every_public_name_is_described(name):
    assert getattr(langchain_qstar, name).__doc__


def test_every_name_that_loads_lazily_is_public_and_the_other_way_round():
    lazy: Any = import_module("langchain_qstar")._HOME_OF
    assert {*lazy, "__version__"} == set(langchain_qstar.__all__)


def test_an_unknown_name_is_an_attribute_error_as_everywhere():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        langchain_qstar.nothing  # noqa: B018


def test_dir_lists_what_has_not_been_loaded_yet():
    listed = in_a_fresh_python("import langchain_qstar", "dir(langchain_qstar)")
    assert set(langchain_qstar.__all__) <= listed


def test_a_name_is_looked_up_once():
    code = "import langchain_qstar; langchain_qstar.Solution"
    assert "Solution" in in_a_fresh_python(code, "vars(langchain_qstar)")


def test_the_version_is_the_installed_one():
    assert langchain_qstar.__version__ == version("langchain-qstar")


def test_types_are_announced():
    assert (Path(langchain_qstar.__file__).parent / "py.typed").exists()
