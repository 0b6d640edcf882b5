"""What is written is run: every block of the documents, and every name they give."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import langchain_qstar
from langchain_qstar import cli

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("graphs/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Languages that are shown and not run; anything else must have a way to be checked here.
SHOWN = {"text", "mermaid"}


@dataclass(frozen=True)
class Block:
    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(document.name, line, match[1], match[2]))
    return [block for block in found if block.language in languages] if languages else found


def commands() -> list[tuple[str, str]]:
    lines = [(str(b), line) for b in blocks("bash") for line in b.text.splitlines()]
    return [(where, line) for where, line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_every_block_has_a_language_that_is_checked(block):
    assert block.language in {"python", "bash", *SHOWN}


@pytest.mark.nano
@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_python_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Empty lines in front, so that a traceback names the line of the document.
    source = "\n" * (block.line - 1) + block.text
    exec(compile(source, block.document, "exec"), {"__name__": "__main__"})  # noqa: S102


MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "langchain_qstar").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_every_example_in_a_docstring_is_true(module):
    result = doctest.testmod(import_module(module))
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(("where", "command"), commands())
def test_every_command_is_one_that_exists(where, command):
    program, *arguments = shlex.split(command)
    match program:
        case "make":
            planned = ["make", "--dry-run", "--no-print-directory", *arguments]
            subprocess.run(planned, cwd=ROOT, check=True, capture_output=True)
        case "qstar":
            cli.build_parser().parse_args(arguments)
        case "pip":
            _extras_exist(arguments)
        case "python":
            assert (ROOT / arguments[0]).exists()
        case _:
            pytest.fail(f"{where}: no way to check {command!r}")


def _extras_exist(arguments: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r"\[(.*?)\]", arguments[-1])
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def answering() -> list[str]:
    """Commands that need no server."""
    lines = {line for _, line in commands() if line.startswith("qstar solve")}
    return sorted(line for line in lines if "openai:" not in line and "postgresql:" not in line)


@pytest.mark.nano
@pytest.mark.parametrize("command", answering())
def test_every_qstar_command_answers(command, capsys):
    assert cli.main(shlex.split(command)[1:]) in {cli.ANSWERED, cli.NO_ANSWER}
    assert capsys.readouterr().out


def test_the_public_names_are_the_documented_ones():
    section = README.split("## Public names")[1].split("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", section))
    assert documented == set(langchain_qstar.__all__)


def named_in_the_tree() -> list[Path]:
    """The files and folders of the section, with the indented ones inside the last folder."""
    drawing = README.split("## What is where")[1].split("```text\n")[1].split("```")[0]
    paths, folder = [], ROOT
    for indent, name in re.findall(r"^( *)(\S+)", drawing, re.MULTILINE):
        folder = folder if indent else ROOT / name
        paths.append(folder / name if indent else folder)
    return paths


@pytest.mark.nano
def test_the_tree_in_the_readme_names_only_what_is_there():
    assert not [path for path in named_in_the_tree() if not path.exists()]


def test_every_module_of_the_package_is_in_the_readmes_tree():
    package = ROOT / "langchain_qstar"
    there = {path for path in package.iterdir() if not path.name.startswith(("_", "py.typed"))}
    assert there <= set(named_in_the_tree())


def test_the_results_section_can_be_filled_by_a_program():
    assert README.count("<!-- results:start -->") == 1
    assert README.index("<!-- results:start -->") < README.index("<!-- results:end -->")
