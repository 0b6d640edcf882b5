"""The wheel is built from the sdist and used from another directory, where no checkout can help."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Tests that ask nothing of the checkout, so they can run beside an installed wheel.
SMOKE = ("conftest.py", "test_package.py", "test_cli.py", "test_rendering.py")


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, ROOT, cwd=target)
    return target


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (built,) = dist.glob("*.whl")
    return Path(built)


@pytest.fixture(scope="module")
def files(wheel) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def fresh_python(wheel, tmp_path_factory) -> Path:
    """An environment that holds the wheel, and sees our dependencies but not our checkout."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=True, symlinks=True)
    python: Path = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=home)
    # A path file adds the directory and, unlike a site directory, does not follow the path
    # files in it: the editable install of the checkout stays out.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site.strip(), "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    return python


def test_the_wheel_holds_everything_the_package_reads(files):
    read = [*(ROOT / "langchain_qstar").rglob("*"), *(ROOT / "prompts").rglob("*")]
    source = {p.relative_to(ROOT) for p in read if p.is_file() and "__pycache__" not in p.parts}
    inside = {p if p.parts[0] == "langchain_qstar" else "langchain_qstar" / p for p in source}
    assert {path.as_posix() for path in inside} <= files
    assert "langchain_qstar/prompts/opening.txt" in files
    assert "langchain_qstar/prompts/rstar/yes_no/steps.txt" in files


def test_the_wheel_installs_nothing_beside_the_package(files):
    tops = {name.split("/")[0] for name in files}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"langchain_qstar"}


def test_the_wheel_stays_small(wheel):
    assert wheel.stat().st_size < 12_000_000


def test_the_sdist_holds_the_tests_and_what_they_read(dist):
    (built,) = dist.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/conftest.py", "README.md", "LICENSE", "Makefile", "constraints.txt"} <= names
    assert {"langgraph.json", "docs/README.md", "docs/settings.md"} <= names


def test_the_wheel_passes_its_tests_from_another_directory(fresh_python, tmp_path):
    for name in SMOKE:
        (tmp_path / name).write_bytes((ROOT / "tests" / name).read_bytes())
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nmarkers =\n  nano\n  gpu\n  slow\n", encoding="utf-8"
    )
    where = "import langchain_qstar; print(langchain_qstar.__file__)"
    assert str(ROOT) not in run(fresh_python, "-c", where, cwd=tmp_path)
    assert "passed" in run(fresh_python, "-m", "pytest", "-q", "--disable-socket", cwd=tmp_path)


def test_the_wheel_installs_the_command(fresh_python, tmp_path):
    assert "qstar" in run(fresh_python.with_name("qstar"), "--version", cwd=tmp_path)
