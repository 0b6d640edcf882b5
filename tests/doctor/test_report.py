from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from langchain_qstar.doctor import report as doctor
from langchain_qstar.doctor.installed import Extra, LlamaCpp
from langchain_qstar.doctor.machine import Device, Machine
from langchain_qstar.doctor.report import Report, examine, lines
from langchain_qstar.doctor.throughput import Throughput
from langchain_qstar.models.llamacpp.building import CUDA_BUILD

GIB = 2**30
HEALTHY = Report(
    version="1.2",
    machine=Machine("Linux", "3.11", "x86", 2, 8 * GIB, 4 * GIB),
    devices=(),
    nvidia=False,
    base=Extra("", {"langgraph": "1.2.22"}, ()),
    extras=(Extra("cli", {"rich": "15"}, ()), Extra("transformers", {"torch": "2.13"}, ())),
    llama_cpp=LlamaCpp("0.3.36", offload=False, backends=("CPU",)),
    bundled={"nano": True},
    throughput=Throughput("cpu", 96, 900.0, 1000.0, 10.0),
)
CUDA = LlamaCpp("0.3.36", offload=False, backends=("CUDA", "CPU"))
GPU = Device("cuda", "H200", 140 * GIB, 100 * GIB)


def test_a_healthy_machine_needs_no_advice():
    assert HEALTHY.healthy
    assert HEALTHY.advice() == ()


def test_how_llama_cpp_is_built_for_a_gpu_stands_in_the_documents_as_well():
    root = Path(__file__).parents[2]
    documents = [root / "README.md", *root.glob("docs/**/*.md")]
    assert any(CUDA_BUILD in file.read_text(encoding="utf-8") for file in documents)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"base": Extra("", {}, ("langgraph<2",))}, "langgraph<2 is missing"),
        ({"bundled": {"nano": False}}, "a bundled model is missing"),
        ({"extras": (Extra("transformers", {}, ("torch",)),)}, r"qstar\[transformers\]'  \(local"),
        ({"nvidia": True}, "an NVIDIA GPU that torch does not use"),
        ({"devices": (GPU,)}, "build llama.cpp with CUDA: CMAKE_ARGS"),
        ({"nvidia": True, "llama_cpp": CUDA}, "built with CUDA and finds no GPU"),
        ({"llama_cpp": CUDA}, "there is no NVIDIA driver"),
        ({"llama_cpp": LlamaCpp("0.3", None, "no libcuda")}, r"does not load \(no libcuda\)"),
        ({"machine": replace(HEALTHY.machine, free_memory=GIB)}, "smaller cache_bytes"),
        ({"throughput": Throughput("cpu", 96, 600.0, 1000.0, 10.0)}, "60% of the ceiling"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(change, advice):
    told = replace(HEALTHY, **change).advice()
    assert any(re.search(advice, line) for line in told)
    assert not any("\n" in line for line in told)


def test_local_models_come_first_in_what_to_install():
    extras = (Extra("cli", {}, ("rich",)), Extra("transformers", {}, ("torch",)))
    report = replace(HEALTHY, extras=extras)
    assert ["transformers" in line for line in report.advice()] == [True, False]


def test_an_extra_that_is_new_is_told_of_too():
    report = replace(HEALTHY, extras=(*HEALTHY.extras, Extra("quantum", {}, ("qubits",))))
    assert report.healthy
    assert "[quantum]" in report.advice()[0]


@pytest.mark.parametrize(
    "change",
    [
        {"base": Extra("", {}, ("langgraph",))},
        {"bundled": {"nano": False}},
        {"extras": (Extra("transformers", {}, ("torch",)),)},
        {"extras": ()},
    ],
)
def test_what_keeps_the_bundled_model_from_running_is_not_healthy(change):
    assert not replace(HEALTHY, **change).healthy


def test_it_reads_as_a_list_of_facts():
    report = replace(HEALTHY, devices=(GPU,), extras=(Extra("remote", {}, ("httpx>=0.27",)),))
    assert list(lines(report))[:6] == [
        "langchain-qstar 1.2, Python 3.11, Linux",
        "machine      x86, 2 cores, 8.0 GiB memory, 4.0 GiB free",
        "device       H200, 140.0 GiB, 100.0 GiB free",
        "base         langgraph 1.2.22",
        "remote       no httpx>=0.27",
        "llama.cpp    0.3.36, built for CPU, cannot put layers on a GPU",
    ]
    text = "\n".join(lines(report))
    assert "900 tokens/s of the bundled model, 96 rows on cpu: 90% of the bare model's 1000" in text
    assert "next         pip install 'langchain-qstar[remote]'  (models behind servers)" in text


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (CUDA, "built for CUDA, CPU, finds no GPU"),
        (replace(CUDA, offload=True), "built for CUDA, CPU, can put layers on a GPU"),
        (LlamaCpp("0.3", offload=False), "built for an unknown device, cannot put layers"),
    ],
)
def test_what_llama_cpp_was_built_for_is_told(found, says):
    assert any(says in line for line in lines(replace(HEALTHY, llama_cpp=found)))


def test_a_build_with_cuda_is_not_to_be_built_again():
    told = replace(HEALTHY, nvidia=True, devices=(GPU,), llama_cpp=CUDA).advice()
    assert not any(CUDA_BUILD in line for line in told)


def test_a_gpu_that_torch_does_not_use_is_no_missing_one():
    assert any("NVIDIA GPU that torch" in line for line in lines(replace(HEALTHY, nvidia=True)))


def test_what_is_unknown_is_said_to_be():
    report = replace(
        HEALTHY,
        machine=replace(HEALTHY.machine, memory=None),
        llama_cpp=None,
        throughput=None,
    )
    text = "\n".join(lines(report))
    assert "unknown memory" in text
    assert "no accelerator" in text
    assert "llama.cpp    not installed" in text
    assert "throughput   not measured" in text


def test_as_json_it_holds_everything():
    found = json.loads(json.dumps(HEALTHY.as_json()))
    assert found["throughput"]["share"] == 0.9
    assert found["machine"]["memory"] == 8 * GIB
    assert (found["healthy"], found["advice"]) == (True, [])
    assert replace(HEALTHY, throughput=None).as_json()["throughput"] is None


def test_nothing_is_measured_when_nothing_can_run_or_nobody_asks(monkeypatch):
    monkeypatch.setattr(doctor, "measure", lambda seconds: pytest.fail("measured"))
    assert examine(seconds=0).throughput is None
    monkeypatch.setattr(doctor, "extras", tuple)
    assert examine(seconds=5).throughput is None


def test_what_was_measured_is_in_the_report(monkeypatch):
    monkeypatch.setattr(doctor, "measure", measured)
    monkeypatch.setattr(doctor, "extras", lambda: HEALTHY.extras)
    found = examine(seconds=5).throughput
    assert found is not None
    assert found.seconds == 5


def measured(seconds):
    return Throughput("cpu", 96, 900.0, 1000.0, seconds)
