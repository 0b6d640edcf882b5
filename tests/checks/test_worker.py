from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from langchain_qstar.checks.worker import NoResult, Worker
from langchain_qstar.errors import CheckError

ROOT = Path(__file__).parents[2]
FOREIGN = "tests.checks.foreign"


@pytest.fixture(scope="module")
def worker():
    made = Worker(FOREIGN)
    yield made
    made.close()


def ended(process: int) -> bool:
    """Whether a process ends soon; a killed one takes a moment to be gone."""
    for _ in range(1000):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_a_function_is_called_in_another_process(worker):
    assert worker.ask("upper", "a\u00e9") == "A\u00c9"
    assert worker.ask("process", "") not in (os.getpid(), worker.ask("parent", ""))


def test_the_same_process_answers_the_next_request(worker):
    assert worker.ask("process", "") == worker.ask("process", "")


def test_it_sees_no_variables_of_this_environment(worker, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    assert set(worker.ask("environment", "")) <= {"LC_CTYPE"}


@pytest.mark.parametrize(
    ("function", "text", "why"),
    [
        ("wait", "60", "stopped after 1.2 s"),
        ("power", "9", "stopped after 0.2 s"),
        ("fill", "", "out of memory"),
        ("deepen", "", "nested too deeply"),
        ("lengthen", "", "too long"),
        ("fail", "no", "not read"),
        ("leave", "", "ended"),
    ],
)
def test_a_request_that_comes_to_nothing_says_why_and_the_next_is_answered(
    worker, function, text, why
):
    with pytest.raises(NoResult, match=why):
        worker.ask(function, text, seconds=0.2)
    assert worker.ask("upper", "a") == "A"


def test_it_cannot_write_files(worker, tmp_path):
    with pytest.raises(NoResult):
        worker.ask("write", str(tmp_path / "file"))
    assert not (tmp_path / "file").exists() or not (tmp_path / "file").read_text()


def test_a_process_that_is_stopped_is_gone(worker):
    process = worker.ask("process", "")
    with pytest.raises(NoResult):
        worker.ask("wait", "60", seconds=0.1)
    assert ended(process)


def test_a_text_that_is_too_long_is_not_sent(worker):
    with pytest.raises(NoResult, match="too long"):
        worker.ask("upper", "x" * (1 << 21))


def test_threads_and_tasks_share_it(worker):
    texts = [f"t{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: worker.ask("upper", text), texts)) == [
            text.upper() for text in texts
        ]

    async def ask() -> list[str]:
        calls = (asyncio.to_thread(worker.ask, "upper", text) for text in texts)
        return list(await asyncio.gather(*calls))

    assert asyncio.run(ask()) == [text.upper() for text in texts]


def test_it_starts_again_after_both_processes_were_killed(worker):
    os.kill(worker.ask("parent", ""), signal.SIGKILL)
    assert worker.ask("upper", "a") == "A"


def test_closing_ends_both_processes_and_a_request_starts_them_again():
    worker = Worker(FOREIGN)
    processes = [worker.ask("process", ""), worker.ask("parent", "")]
    worker.close()
    assert all(ended(each) for each in processes)
    assert worker.ask("upper", "a") == "A"
    worker.close()


def test_a_module_that_cannot_be_loaded_is_an_error():
    with pytest.raises(CheckError, match=r"no\.such\.module did not start"):
        Worker("no.such.module").ask("upper", "a")


def test_processes_end_with_the_program_that_started_them_however_it_ends():
    program = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from langchain_qstar.checks.worker import Worker\n"
        f"worker = Worker({FOREIGN!r})\n"
        "print(worker.ask('process', ''), worker.ask('parent', ''), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    processes = [int(each) for each in run.stdout.split()]
    assert len(processes) == 2
    assert all(ended(each) for each in processes)


def test_a_forked_program_gets_a_process_of_its_own(worker):
    ours = worker.ask("process", "")
    program = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from langchain_qstar.checks.worker import Worker\n"
        f"worker = Worker({FOREIGN!r})\n"
        "first = worker.ask('process', '')\n"
        "if os.fork() == 0:\n"
        "    second = worker.ask('process', '')\n"
        "    worker.close()\n"
        "    os._exit(0 if second != first else 1)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]), worker.ask('process', '') == first)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.stdout.split() == ["0", "True"], run.stderr
    assert worker.ask("process", "") == ours
