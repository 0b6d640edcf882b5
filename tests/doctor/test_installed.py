from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from langchain_qstar.doctor import installed
from langchain_qstar.doctor.installed import Extra, LlamaCpp, base, extras, llama_cpp


@pytest.fixture
def declared(monkeypatch):
    """A package with these requirements, on a machine with these versions."""

    def make(needs, versions, names=("gpu", "all")):
        def version(package):
            try:
                return versions[package]
            except KeyError:
                raise PackageNotFoundError(package) from None

        monkeypatch.setattr(installed, "requires", lambda package: needs)
        monkeypatch.setattr(installed, "version", version)
        told = SimpleNamespace(get_all=lambda key: list(names))
        monkeypatch.setattr(installed, "metadata", lambda package: told)

    return make


def test_what_is_there_has_its_version_and_what_is_not_is_missing(declared):
    declared(
        ["core<2,>=1", 'torch>=2.6; extra == "gpu"', 'jinja2; extra == "gpu"', 'x; extra == "all"'],
        {"core": "1.7.2", "jinja2": "3.1"},
    )
    assert base() == Extra("", {"core": "1.7.2"}, ())
    assert extras() == (Extra("gpu", {"jinja2": "3.1"}, ("torch>=2.6",)),)


def test_what_is_too_old_is_missing_and_a_local_build_is_not(declared):
    declared(
        ['torch>=2.6; extra == "gpu"', 'jinja2>=3; extra == "gpu"'],
        {"torch": "2.13.0+cpu", "jinja2": "2.9"},
    )
    assert extras() == (Extra("gpu", {"torch": "2.13.0+cpu"}, ("jinja2>=3",)),)


def test_what_another_system_needs_is_not_missing(declared):
    declared(['winlib; sys_platform == "never"', 'w; extra == "gpu" and sys_platform == "n"'], {})
    assert base() == Extra("", {}, ())
    assert extras() == (Extra("gpu", {}, ()),)


def test_our_own_extras_are_described_by_the_package():
    assert {extra.name for extra in extras()} >= {"transformers", "cli", "sqlite", "train"}
    assert base().missing == ()


def test_llama_cpp_says_whether_it_can_offload(monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda name: name)
    monkeypatch.setattr(installed, "_version", lambda package: "0.3.36")
    info = b"CUDA : ARCHS = 900 | USE_GRAPHS = 1 | CPU : SSE3 = 1 | AVX = 1 | "
    library = SimpleNamespace(
        llama_supports_gpu_offload=lambda: 1, llama_print_system_info=lambda: info
    )
    monkeypatch.setitem(sys.modules, "llama_cpp", library)
    found = llama_cpp()
    assert found == LlamaCpp("0.3.36", offload=True, backends=("CUDA", "CPU"))
    assert found.has_cuda


def test_a_llama_cpp_that_does_not_load_says_why(monkeypatch):
    def broken():
        raise OSError("libcuda.so.1: cannot open\nmore")

    monkeypatch.setattr(installed, "find_spec", lambda name: name)
    monkeypatch.setattr(installed, "_version", lambda package: "0.3.36")
    library = SimpleNamespace(
        llama_supports_gpu_offload=broken, llama_print_system_info=lambda: b""
    )
    monkeypatch.setitem(sys.modules, "llama_cpp", library)
    assert llama_cpp() == LlamaCpp("0.3.36", None, "libcuda.so.1: cannot open")


def test_no_llama_cpp_is_none(monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    assert llama_cpp() is None


@pytest.mark.peer
def test_the_llama_cpp_that_is_installed_was_built_for_a_processor():
    pytest.importorskip("llama_cpp")
    found = llama_cpp()
    assert found is not None
    assert "CPU" in found.backends
