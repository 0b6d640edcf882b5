from __future__ import annotations

from pathlib import Path

import pytest

from langchain_qstar import prompting
from langchain_qstar.errors import PromptError
from langchain_qstar.prompting import load_prompt


@pytest.fixture
def prompt(tmp_path):
    def make(text, *holes):
        (tmp_path / "ask.txt").write_text(text, encoding="utf-8")
        return load_prompt("ask", holes, tmp_path)

    return make


def test_every_hole_is_filled(prompt):
    filled = prompt("{{a}} and {{b}} and {{a}}\n", "a", "b").fill(a="1", b="2")
    assert filled == "1 and 2 and 1"


def test_values_are_never_scanned_again(prompt):
    assert prompt("{{a}} {{b}}", "a", "b").fill(a="{{b}}", b=r"\1 {x} <&>") == r"{{b}} \1 {x} <&>"


def test_single_braces_and_latex_are_text(prompt):
    assert prompt(r"\boxed{} {x} {{a}}", "a").fill(a="1") == r"\boxed{} {x} 1"


def test_an_unknown_hole_names_file_and_hole_when_the_file_is_loaded(prompt):
    with pytest.raises(PromptError, match=r"ask\.txt: nothing fills the hole \{\{b\}\}"):
        prompt("{{a}} {{b}}", "a")


def test_a_missing_hole_names_file_and_hole_when_the_file_is_loaded(prompt):
    with pytest.raises(PromptError, match=r"ask\.txt: there is no hole \{\{b\}\}"):
        prompt("{{a}}", "a", "b")


def test_filling_needs_exactly_the_holes(prompt):
    ask = prompt("{{a}}", "a")
    with pytest.raises(PromptError, match="a"):
        ask.fill()
    with pytest.raises(PromptError, match="b"):
        ask.fill(a="1", b="2")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PromptError, match=r"cannot read .*nothing\.txt"):
        load_prompt("nothing", (), tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "ask.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(PromptError, match="cannot read"):
        load_prompt("ask", (), tmp_path)


def test_prompts_inside_the_package_come_before_those_beside_it(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "prompts").mkdir(parents=True)
    (tmp_path / "prompts").mkdir()
    (package / "prompts" / "ask.txt").write_text("inside")
    (tmp_path / "prompts" / "ask.txt").write_text("beside")
    monkeypatch.setattr(prompting, "__file__", str(package / "prompting.py"))
    assert load_prompt("ask", ()).text == "inside"
    Path(package / "prompts" / "ask.txt").unlink()
    (package / "prompts").rmdir()
    assert load_prompt("ask", ()).text == "beside"


@pytest.mark.parametrize(
    ("name", "holes"),
    [
        ("gsm8k/instruction", {"question"}),
        ("gsm8k/few_shot", {"question"}),
        ("next_step", {"problem", "steps"}),
        ("remaining_steps", {"problem", "steps"}),
        ("opening", {"request", "prefill"}),
        ("rstar/mathematics/steps", {"question"}),
    ],
)
def test_our_own_prompts_load(name, holes):
    assert load_prompt(name, holes).holes == holes
