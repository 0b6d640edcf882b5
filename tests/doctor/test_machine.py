from __future__ import annotations

import os
import shutil

from langchain_qstar.doctor import machine
from langchain_qstar.doctor.machine import devices, has_nvidia_driver, this_machine


def test_the_machine_has_cores_and_memory():
    found = this_machine()
    assert found.cores >= 1
    assert found.memory is not None
    assert found.free_memory is not None
    assert found.free_memory > 0
    assert found.python.startswith("3.")


def test_a_containers_limit_is_the_memory(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_CGROUP_LIMITS", (tmp_path / "none", limit))
    limit.write_text("1048576\n")
    assert this_machine().memory == 1048576
    limit.write_text("max\n")
    whole = this_machine().memory
    assert whole is not None
    assert whole > 1048576


def test_what_the_system_does_not_tell_is_unknown(monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    found = this_machine()
    assert (found.memory, found.free_memory) == (None, None)
    assert found.cores >= 1


def test_without_torch_there_are_no_devices(monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert devices() == ()


def test_gpus_are_named_with_their_memory(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (3, 4))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    assert devices()[0] == machine.Device("cuda", "GPU 0", memory=4, free_memory=3)


def test_a_driver_is_seen_by_its_tool(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert has_nvidia_driver()
