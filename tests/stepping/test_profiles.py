from __future__ import annotations

import pytest

from langchain_qstar.actions import Trace
from langchain_qstar.errors import SettingsError
from langchain_qstar.stepping.profiles import with_steps
from langchain_qstar.stepping.solutions import solution_end
from langchain_qstar.stepping.splitting import pieces
from langchain_qstar.tasks.gsm8k import GSM8K

TEXT = "We multiply:\n3 * 4 = 12\nThe answer is 12.\nMore\n"


def test_without_a_form_the_task_is_as_it_was():
    assert with_steps(GSM8K, None) is GSM8K
    assert pieces(TEXT, GSM8K)[0] == "We multiply:\n3 * 4 = 12\n"


def test_a_line_is_what_the_paper_has():
    lines = with_steps(GSM8K, "line")
    assert (lines.step_end, lines.stop) == (None, ("\n",))
    assert pieces(TEXT, lines)[0] == "We multiply:\n"


def test_a_calculation_holds_a_number_and_a_thought_need_not():
    text = "We look for the pens.\n3 * 4 = 12\n"
    assert len(pieces(text, with_steps(GSM8K, "calculation"))) == 1
    assert len(pieces(text, with_steps(GSM8K, "thought"))) == 2


def test_a_number_is_that_of_tokens():
    short = with_steps(GSM8K, 24)
    assert short.step_tokens == 24
    assert short.step_end is not None
    assert short.step_end("a\n\nb\n") == 0


@pytest.mark.parametrize("form", ["thought", "line", 24])
def test_a_solution_ends_with_its_answer_whatever_its_steps_are(form):
    ends = solution_end(with_steps(GSM8K, form))
    assert TEXT[: ends(TEXT)] == "We multiply:\n3 * 4 = 12\nThe answer is 12.\n"


@pytest.mark.parametrize("form", ["thought", "line", 24])
def test_the_forms_of_rstar_have_the_same_steps(form):
    task = with_steps(GSM8K, form)
    assert task.forms is not None
    opening = task.forms.opening("propose_step", Trace("How many?"))
    assert (opening.ends, opening.max_tokens) == (task.step_end, task.step_tokens)
    assert bool(opening.stop) == (form == "line")


@pytest.mark.parametrize("form", ["sentence", "", 0, -3, True, 2.5, [24], ("line",)])
def test_another_form_is_one_clear_line(form):
    with pytest.raises(SettingsError, match=r"^steps=.*choose thought, calculation, line, or") as e:
        with_steps(GSM8K, form)
    assert "\n" not in str(e.value)
