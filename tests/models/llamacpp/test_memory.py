from __future__ import annotations

import pytest

from langchain_qstar.models.llamacpp.memory import free_memory

MEMINFO = "MemTotal:       24000000 kB\nMemAvailable:    2000 kB\nBuffers:  7 kB\n"


@pytest.fixture
def system(tmp_path):
    """Writes what a system says of its memory, and tells what is free by that."""

    def make(meminfo=MEMINFO, **group):
        (tmp_path / "meminfo").write_text(meminfo)
        for name, text in group.items():
            (tmp_path / f"memory.{name}").write_text(text)
        return free_memory(tmp_path / "meminfo", tmp_path)

    return make


def test_what_the_system_has_available_is_free(system):
    assert system() == 2000 * 1024


def test_a_container_may_have_less(system):
    stat = "anon 5\ninactive_file 300\n"
    assert system(max="1000000\n", current="400000", stat=stat) == 600_300


def test_a_container_without_a_limit_has_what_the_system_has(system):
    assert system(max="max\n", current="400000", stat="") == 2000 * 1024


def test_a_system_that_does_not_say_is_not_asked_again(system, tmp_path):
    assert system("nothing of use\n") is None
    assert free_memory(tmp_path / "absent", tmp_path / "absent") is None
