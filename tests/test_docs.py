"""What is written is run: every block of the documents, and every name they give."""

from __future__ import annotations

import doctest
import hashlib
import json
import re
import runpy
import shlex
import subprocess
import tomllib
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import langchain_qstar
from langchain_qstar import cli
from langchain_qstar.settings.reference import page as settings_page

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("graphs/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Languages that are shown and not run; anything else must have a way to be checked here.
SHOWN = {"text", "mermaid"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def named(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


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
            found.append(Block(named(document), line, match[1], match[2]))
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
        case "python" if arguments[0] == "-m":
            assert find_spec(arguments[1])
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
    documented = set(re.findall(r"`(\w+)`", text_of("docs/public-names.md")))
    assert documented == set(langchain_qstar.__all__)


def named_in_the_tree() -> list[Path]:
    """The files and folders of the section, with the indented ones inside the last folder."""
    drawing = (
        text_of("CONTRIBUTING.md")
        .split("## What is where")[1]
        .split("```text\n")[1]
        .split("```")[0]
    )
    paths, folder = [], ROOT
    for indent, name in re.findall(r"^( *)(\S+)", drawing, re.MULTILINE):
        folder = folder if indent else ROOT / name
        paths.append(folder / name if indent else folder)
    return paths


@pytest.mark.nano
def test_the_drawing_of_the_repository_names_only_what_is_there():
    assert not [path for path in named_in_the_tree() if not path.exists()]


def test_every_module_of_the_package_is_in_the_drawing():
    package = ROOT / "langchain_qstar"
    there = {path for path in package.iterdir() if not path.name.startswith(("_", "py.typed"))}
    assert there <= set(named_in_the_tree())


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def links() -> list[tuple[str, str]]:
    """Every link and picture that stays in the repository, with the document that has it."""
    return [
        (named(document), target)
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^()\s]+)\)", prose(document))
        if "://" not in target
    ]


def anchors(document: Path) -> set[str]:
    """What GitHub calls the headings: lower case, words joined by hyphens, no other signs."""
    titles = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("document", "target"), links())
def test_every_link_leads_somewhere(document, target):
    path, _, anchor = target.partition("#")
    home = ROOT / document
    there = (home.parent / path).resolve() if path else home
    assert there.exists()
    assert there.is_relative_to(ROOT)
    assert not anchor or anchor in anchors(there)


def test_every_page_is_listed_in_the_contents():
    listed = {target for document, target in links() if document == "docs/README.md"}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_every_extra_is_explained():
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    listed = re.findall(r"^\| `(\w+)` \|", text_of("docs/install.md"), re.MULTILINE)
    assert sorted(listed) == sorted(project["optional-dependencies"])


def test_every_benchmark_is_listed_with_what_it_measures():
    listed = re.findall(
        r"^\| `(benchmarks/\w+\.py)` \|", text_of("docs/benchmarks.md"), re.MULTILINE
    )
    assert sorted(listed) == sorted(named(path) for path in (ROOT / "benchmarks").glob("*.py"))


def test_the_page_of_settings_is_what_their_descriptions_say():
    assert text_of("docs/settings.md") == settings_page()


def test_what_a_program_writes_is_as_it_writes_it():
    writer = runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))
    texts = writer["documents"]()
    assert [named(path) for path, text in texts.items() if writer["filled"](text) != text] == []
    marks = Counter(re.findall(r"<!-- (\w+):start -->", "".join(texts.values())))
    assert marks == Counter(writer["SECTIONS"].keys())


def records() -> list[tuple[str, dict[str, str]]]:
    """The files that each recorded run read, with their digests."""
    found = []
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        runs = document.get("runs", {"": document}).values()
        found += [(run["command"], run.get("sha256", {})) for run in runs]
    return found


def test_records_tell_the_weights_of_both_bundled_models():
    told = {name for _, read in records() for name in read}
    assert {
        f"langchain_qstar/{each}/model.safetensors" for each in ("nano", "nano_verifier")
    } < told


@pytest.mark.parametrize(("command", "read"), records())
def test_every_figure_of_bundled_models_is_of_the_weights_that_are_bundled(command, read):
    for name, digest in read.items():
        file = ROOT / name
        if file.exists():
            assert hashlib.sha256(file.read_bytes()).hexdigest() == digest, f"again: {command}"
