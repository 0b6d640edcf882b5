"""The prompt files of the tasks: nothing to copy, nothing of a benchmark, nothing wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.prompting import has_prompt, load_prompt
from langchain_qstar.protocols import State
from langchain_qstar.tasks import TASKS
from langchain_qstar.tasks.asking import Asking, PromptFiles
from langchain_qstar.tasks.shown_examples import read_shown

DATA = Path(__file__).parents[3] / "shared" / "data"
RUN = 8
"""Words in a row that make a text a copy."""

PROMPTED = [name for name in TASKS if name != "nano"]
EXPECTED = {
    "gsm8k": "6 189 39 66 20 22 12 180",
    "svamp": "37 28 90 15 12",
    "multiarith": "37 34 8 106 38",
    "gsm_hard": "1288624 -3909696 314088 729461.8",
    "math": r"15 60 \frac{7}{3} \frac{1}{8}",
    "strategyqa": "no yes no yes no",
    "choice": "B D A C",
}
NUMBERS = re.compile(
    r"\d|\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|half|third|twice|first|second)\b",
    re.IGNORECASE,
)
ORDINALS = frozenset({"first"})
"""They say in which order to write, and nobody answers with them."""

prompted = pytest.mark.parametrize("name", PROMPTED)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def runs(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[at : at + RUN]) for at in range(len(found) - RUN + 1)}


def own_questions() -> set[str]:
    tasks = {pair.question for name in PROMPTED for pair in PromptFiles(name).examples.pairs}
    families = "word_problems", "mathematics", "yes_no", "choice"
    shown = {
        asked.removeprefix("Problem: ").removesuffix("\nSolution:")
        for family in families
        for asked, _ in read_shown(f"rstar/{family}/solution").examples
    }
    return tasks | shown


@prompted
@pytest.mark.parametrize("file", ["instruction", "few_shot"])
def test_an_instruction_has_no_number_that_a_model_could_copy(name, file):
    if not has_prompt(f"{name}/{file}"):
        pytest.skip("the instruction is the same beside examples")
    text = load_prompt(f"{name}/{file}", {"question"}).text
    found = {each.lower() for each in NUMBERS.findall(text)}
    assert found <= ORDINALS


@pytest.mark.parametrize(
    ("name", "holes"),
    [
        ("next_step", {"problem", "steps"}),
        ("next_line", {"problem", "lines", "prefill"}),
        ("remaining_steps", {"problem", "steps"}),
        ("continuation", {"problem", "text"}),
        ("opening", {"request", "prefill"}),
    ],
)
def test_neither_has_what_asks_for_a_step(name, holes):
    assert not re.search(r"\d", load_prompt(name, holes).text)


@prompted
def test_the_question_comes_first_and_whatever_it_says_is_only_text(name):
    ((role, content),) = TASKS[name].messages("How {{question}}?")
    assert role == "user"
    assert content.startswith("How {{question}}?\n\n")


@prompted
def test_a_model_is_told_the_form_of_the_answer_that_its_task_reads(name):
    ((_, content),) = TASKS[name].messages("Q")
    said = {"strategyqa": "The answer is yes.", "choice": "The answer is (X)."}
    assert said.get(name, r"\boxed{}") in content


@prompted
def test_the_answer_of_every_example_is_read_at_its_end(name):
    task, pairs = TASKS[name], PromptFiles(name).examples.pairs
    assert " ".join(str(task.answer(each.solution)) for each in pairs) == EXPECTED[name]
    for each in pairs:
        *steps, last = each.solution.split("\n")
        assert task.is_terminal(last)
        assert not task.is_terminal("\n".join(steps))


@prompted
def test_every_calculation_of_an_example_is_right(name):
    task, calculated = TASKS[name], 0
    for each in PromptFiles(name).examples.pairs:
        for line in each.solution.split("\n"):
            verdict = arithmetic(State(each.question), line)[0]
            assert verdict is not False
            calculated += bool(verdict)
            assert all(check(State(each.question), line) is not False for check in task.checks)
    assert calculated >= 1


@prompted
def test_an_example_is_shown_whole_in_a_completion(name):
    asking = TASKS[name].messages
    assert isinstance(asking, Asking)
    pairs = asking.files.examples.pairs
    ((_, text),) = Asking(asking.files, "completion", len(pairs))("Why?")
    label = "Question" if name in {"strategyqa", "choice"} else "Problem"
    assert text.startswith(f"{label}: {pairs[0].question}\n")
    assert text.endswith(f"\n\n\n{label}: Why?\n{asking.files.examples.labels[1]}:")
    assert text.count("\n\n\n") == len(pairs)


@pytest.mark.skipif(not DATA.is_dir(), reason="the benchmarks' records are not here")
def test_no_example_is_of_a_benchmark():
    mine = {question: runs(question) for question in own_questions()}
    assert len(mine) > 25
    for path in sorted(DATA.glob("*.jsonl")):
        if path.name.startswith("grading"):
            continue
        for line in filter(None, path.read_text(encoding="utf-8").split("\n")):
            record = json.loads(line)
            theirs = runs(record["question"]) | runs(str(record.get("solution", "")))
            same = words(record["question"])
            for question, own in mine.items():
                assert not own & theirs, (record["id"], question)
                assert words(question) != same, record["id"]
