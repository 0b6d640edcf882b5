from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest

from langchain_qstar import ScriptedPolicy, ScriptedScorer
from langchain_qstar.answers import gold_number
from langchain_qstar.errors import LabelError, ModelError, SettingsError
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.tasks import NANO, fit_task, get_task
from langchain_qstar.training.collection import acollect_labels, collect_labels
from langchain_qstar.training.label_file import read_labels
from langchain_qstar.training.progress import Progress
from langchain_qstar.training.questions import GradedQuestion, nano_questions
from langchain_qstar.training.rollouts import LabelSettings

ASKED = [GradedQuestion("What is 2 and 3?", "5")]
SCRIPT = {
    "": ["2+3=5\n", "2+3=6\n", "3+2=5\n"],
    "2+3=5\n": ["so 5\n"],
    "2+3=6\n": ["so 6\n"],
    "3+2=5\n": ["so 5\n", "so 4\n"],
}


def counts(labels, number=0):
    return {
        "".join(labels.questions[number].steps[each].text for each in question_path): (
            step.right,
            step.rollouts,
        )
        for index, step in enumerate(labels.questions[number].steps)
        for question_path in [labels.questions[number].path(index)]
    }


@pytest.fixture
def collect(sums, scripted, tmp_path):
    def run(questions=ASKED, policy=scripted, **options):
        settings = LabelSettings(**{"samples": 3, **options.pop("settings", {})})
        out = options.pop("out", tmp_path / "labels.jsonl")
        return collect_labels(questions, policy, sums, out, settings, **options)

    return run


def by_seed(script):
    """A policy that tells its samples apart by their number."""
    return ScriptedPolicy(script, logprob=-0.5)


def test_equal_prefixes_are_one_step_with_the_counts_of_all_their_rollouts(collect):
    policy = by_seed({"": ["a\n"], "a\n": ["so 5\n", "so 6\n"]})
    labels = collect(policy=policy, settings={"samples": 4})
    assert counts(labels) == {"a\n": (2, 4), "a\nso 5\n": (2, 2), "a\nso 6\n": (0, 2)}


def test_a_file_says_with_which_prompts_it_was_made_and_goes_on_with_these_only(tmp_path):
    policy = by_seed(lambda text: ["2 + 3 = 5\nThe answer is 5.\n"])
    task, out = get_task("gsm8k"), tmp_path / "labels.jsonl"
    shown = fit_task(task, policy, shots=1)
    settings = LabelSettings(samples=1)
    assert collect_labels(ASKED, policy, shown, out, settings).header["prompts"] == "few-shot (1)"
    with pytest.raises(LabelError, match="made with another prompts"):
        collect_labels(ASKED, policy, task, out, settings)


def test_the_gold_answer_is_neither_in_the_file_nor_in_what_a_model_is_asked(
    sums, tmp_path, scripted
):
    out = tmp_path / "labels.jsonl"
    gold = [GradedQuestion("What is 2 and 3?", "GOLD")]
    collect_labels(gold, scripted, sums, out, LabelSettings(samples=3))
    assert "GOLD" not in out.read_text()
    assert "GOLD" not in repr(scripted.calls)


def test_what_was_spent_is_counted(collect):
    seen: list[Progress] = []
    labels = collect(progress=seen.append)
    assert labels.questions[0].completions == 3
    assert labels.questions[0].tokens > 0
    assert (seen[-1].done, seen[-1].total, seen[-1].completions) == (1, 1, 3)
    assert seen[-1].tokens == labels.questions[0].tokens


def test_a_question_is_on_disk_as_soon_as_it_is_done(collect, tmp_path):
    written = []

    def look(progress):
        lines = (tmp_path / "labels.jsonl").read_text().count("\n")
        written.append((progress.done, lines - 1))

    collect([GradedQuestion(f"{n}?", "5") for n in range(4)], progress=look)
    assert written == [(n, n) for n in range(1, 5)]


def test_a_finished_file_is_not_drawn_again(collect, scripted):
    collect()
    calls = len(scripted.calls)
    collect()
    assert len(scripted.calls) == calls


def test_the_same_question_twice_is_labelled_once(collect):
    assert len(collect([*ASKED, *ASKED]).questions) == 1


def test_a_torn_line_is_dropped_and_its_question_done_again(collect, tmp_path):
    questions = [*ASKED, GradedQuestion("What is 3 and 2?", "5")]
    collect(questions)
    out = tmp_path / "labels.jsonl"
    whole = out.read_bytes()
    out.write_bytes(whole[:-20])
    collect(questions)
    assert out.read_bytes() == whole


def test_completions_replace_the_counts_of_trajectories_but_for_last_steps(collect, scripted):
    labels = collect(settings={"by": "completions", "completions": 2})
    # 3+2=5 goes on to 5 and to 4; last steps keep their own outcome.
    assert counts(labels)["3+2=5\n"] == (1, 2)
    assert counts(labels)["2+3=5\n"] == (2, 2)
    assert counts(labels)["2+3=5\nso 5\n"] == (1, 1)
    assert labels.questions[0].completions == 3 + 3 * 2


def test_a_stronger_completer_alone_decides_the_label(collect):
    strong = ScriptedPolicy(lambda text: ["so 5\n"] if text in {"2+3=6\n", "3+2=5\n"} else ["so 0"])
    labels = collect(settings={"by": "completions", "completions": 1}, completer=strong)
    assert counts(labels)["2+3=6\n"] == (1, 1)
    assert counts(labels)["2+3=5\n"] == (0, 1)


def test_trajectories_of_searches_are_labelled_too(collect):
    scorer = ScriptedScorer({"2+3=5": 0.9, "3+2=5": 0.6, "2+3=6": 0.1}, default=0.5)
    labels = collect(settings={"trajectories": "qstar"}, q_model=scorer)
    # Six candidates of one continuation below it are one step, which counts six times.
    assert counts(labels)["2+3=5\nso 5\n"] == (6, 6)
    assert counts(labels)["2+3=6\n"][0] == 0
    ids = [step.token_ids for step in labels.questions[0].steps]
    assert all(each is not None for each in ids)


def test_rollouts_of_monte_carlo_tree_search_are_labelled_too(collect, sums):
    labels = collect(settings={"trajectories": "mcts", "samples": 12})
    (labelled,) = labels.questions
    found = counts(labels)
    first = [each for text, each in found.items() if text.count("\n") == 1]
    assert sum(rollouts for _, rollouts in first) == 12
    for text, (right, rollouts) in found.items():
        if sums.is_terminal(text):
            assert right == (rollouts if sums.answer(text) == "5" else 0)
    assert {right for right, _ in found.values()} > {0}
    assert labelled.completions > 0


class Slow(ScriptedPolicy):
    """Lets others go first, and notes how many questions wait for it at once."""

    full_rows = 12

    def __init__(self, script=SCRIPT, waits=lambda question: 1):
        super().__init__(script, logprob=-0.5)
        self.waiting, self.most, self.waits = 0, 0, waits

    async def asample(self, requests):
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            for _ in range(self.waits(requests[0].state.question)):
                await asyncio.sleep(0)
        finally:
            self.waiting -= 1
        return self.sample(requests)


def questions_of(count):
    return [GradedQuestion(f"What is {number} and 3?", "5") for number in range(count)]


def test_as_many_questions_are_in_flight_as_keep_the_engine_full(collect):
    policy = Slow()
    labels = collect(questions_of(40), policy, settings={"samples": 3})
    assert policy.most == 6  # 12 rows and half as many again, of 3 samples a question
    assert len(labels.questions) == 40


def test_a_question_that_takes_long_holds_back_no_other(collect):
    policy = Slow(waits=lambda question: 50 if " 0 " in question else 1)
    labels = collect(questions_of(9), policy)
    assert labels.questions[-1].question == "What is 0 and 3?"
    assert [each.question for each in labels.questions[:-1]] == [
        f"What is {number} and 3?" for number in range(1, 9)
    ]


async def test_what_is_cancelled_has_written_what_ended_and_asks_for_no_more(sums, tmp_path):
    out, policy = tmp_path / "labels.jsonl", Slow(waits=lambda q: 10**9 if "7" in q else 1)
    seven = asyncio.Event()
    work = asyncio.ensure_future(
        acollect_labels(
            questions_of(8),
            policy,
            sums,
            out,
            LabelSettings(samples=3),
            progress=lambda told: seven.set() if told.done == 7 else None,
        )
    )
    await seven.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert policy.waiting == 0
    assert len(read_labels(out).questions) == 7


async def test_a_caller_in_an_event_loop_may_wait_for_it_too(collect):
    assert len(collect(questions_of(3)).questions) == 3


def test_when_a_model_fails_what_ended_is_in_the_file_and_nobody_waits_for_it(collect, tmp_path):
    def waits(question):
        if " 5 " in question:
            raise ModelError("out of memory")
        return 1 if " 0 " in question else 9

    policy = Slow(waits=waits)
    with pytest.raises(ModelError, match="out of memory"):
        collect(questions_of(20), policy, settings={"samples": 6})
    assert policy.waiting == 0
    assert read_labels(tmp_path / "labels.jsonl").questions


def test_the_labels_are_the_same_however_often_it_is_interrupted(collect, tmp_path):
    whole = collect(questions_of(7), Slow(), out=tmp_path / "whole")
    for count in (2, 5, 7):
        parts = collect(questions_of(count), Slow(), out=tmp_path / "parts")
    assert {each.to_json() for each in parts.questions} == {
        each.to_json() for each in whole.questions
    }


def test_tokens_are_a_total_of_the_file_that_no_question_is_begun_beyond(collect):
    one = collect(questions_of(1)).questions[0].tokens
    seen: list[Progress] = []
    labels = collect(questions_of(20), max_tokens=5 * one, progress=seen.append)
    assert len(labels.questions) == 5
    assert (seen[-1].done, seen[-1].total) == (5, 20)
    assert len(collect(questions_of(20), max_tokens=5 * one).questions) == 5
    assert len(collect(questions_of(20), Slow(), max_tokens=9 * one).questions) == 9
    with pytest.raises(SettingsError, match="max_tokens is 0"):
        collect(questions_of(20), max_tokens=0)


def test_it_tells_how_many_samples_are_right_and_how_many_questions_teach(collect):
    seen: list[Progress] = []
    questions = [*questions_of(2), GradedQuestion("None?", "12"), GradedQuestion("None!", "12")]
    collect(questions, progress=seen.append)
    assert [(each.right, each.rollouts, each.mixed) for each in seen] == [
        (2, 3, 1),
        (4, 6, 2),
        (4, 9, 2),
        (4, 12, 2),
    ]
    assert seen[-1].right_share == pytest.approx(1 / 3)
    assert seen[-1].mixed_share == 0.5
    assert seen[-1].warning is None
    collect([*questions, GradedQuestion("More?", "12")], progress=seen.append)
    assert (seen[-1].right, seen[-1].rollouts) == (4, 15)  # what was there before counts too


@pytest.mark.parametrize(
    ("gold", "says"),
    [("12", "no rollout was right, of any of 3"), ("5", "every rollout of 3 questions was right")],
)
def test_labels_that_all_say_the_same_are_warned_of(collect, gold, says):
    seen: list[Progress] = []
    policy = by_seed({"": ["so 5\n"]})
    collect([replace(each, answer=gold) for each in questions_of(3)], policy, progress=seen.append)
    assert says in (seen[-1].warning or "")


def test_omega_estimates_only_the_states_its_binary_search_asks_about(collect):
    lines = ["a\n", "b\n", "WRONG\n", "c\n", "so 6\n"]
    wrong = dict(zip(["", *(("".join(lines[: n + 1])) for n in range(4))], lines, strict=True))

    def script(text):
        options = [wrong[text]] if text in wrong else []
        # Before the wrong line one sample in two still ends right.
        return [*options, "so 5\n"] if "WRONG" not in text else options

    labels = collect(
        policy=ScriptedPolicy(script), settings={"by": "omega", "samples": 2, "searches": 1}
    )
    labelled = {text: each for text, each in counts(labels).items() if each[1]}
    # Five lines: the search keeps two (can be right), then three (cannot).
    assert labelled["a\nb\n"] == (1, 2)
    assert labelled["a\nb\nWRONG\n"] == (0, 2)
    assert "a\n" not in labelled
    assert "a\nb\nWRONG\nc\n" not in labelled


def test_omega_searches_wrong_rollouts_of_states_that_can_be_right(collect, tmp_path):
    script = {
        "": ["right 1\n", "wrong 1\n"],
        "right 1\n": ["right 2\n"],
        "right 1\nright 2\n": ["so 5\n"],
        "wrong 1\n": ["good 2\n", "wrong 2\n"],
        "wrong 1\nwrong 2\n": ["so 6\n"],
        "wrong 1\ngood 2\n": ["good 3\n"],
        "wrong 1\ngood 2\ngood 3\n": ["so 5\n"],
    }
    labels = collect(
        policy=ScriptedPolicy(script), settings={"by": "omega", "samples": 2, "searches": 9}
    )
    asked = {text for text, each in counts(labels).items() if each[1] and "so" not in text}
    assert asked == {"wrong 1\n", "wrong 1\nwrong 2\n"}
    hopeless = ScriptedPolicy({"": ["a\n"], "a\n": ["b\n"], "a\nb\n": ["so 6\n"]})
    labels = collect(
        [GradedQuestion("Other?", "5")],
        policy=hopeless,
        settings={"by": "omega", "samples": 2, "searches": 9},
        out=tmp_path / "hopeless.jsonl",
    )
    assert labels.questions[0].completions == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"by": "guessing"},
        {"trajectories": "walking"},
        {"samples": 0},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"by": "omega", "trajectories": "qstar"},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(SettingsError):
        LabelSettings(**settings)


def test_a_question_that_cannot_be_asked_is_refused_before_anything_is_drawn(collect, scripted):
    questions = [*ASKED, GradedQuestion("\x00", "1")]
    with pytest.raises(LabelError, match=r"question 2: .*--skip-bad"):
        collect(questions)
    assert not scripted.calls
    assert len(collect(questions, skip_bad=True).questions) == 1


def test_a_gold_answer_is_read_as_its_data_set_writes_it(sums, scripted, tmp_path):
    task = replace(sums, gold=gold_number)
    found = [
        counts(collect_labels([GradedQuestion("What is 2 and 3?", gold)], scripted, task, out))
        for gold in ("5", "2+3=<<2+3=5>>5\n#### 5", r"\boxed{5}", "five")
        for out in [tmp_path / f"{len(gold)}.jsonl"]
    ]
    assert all(each == found[0] for each in found)
    assert found[0]["2+3=5\n"][0] > 0


def test_a_gold_answer_that_cannot_be_read_is_refused_before_anything_is_drawn(
    sums, scripted, tmp_path
):
    task = replace(sums, gold=gold_number)
    questions = [
        *ASKED,
        GradedQuestion("What is 4 and 3?", "see page 7", "a.jsonl, line 2"),
    ]
    with pytest.raises(LabelError, match=r"a.jsonl, line 2: .*cannot read.*page 7.*--skip-bad"):
        collect_labels(questions, scripted, task, tmp_path / "a.jsonl")
    assert not scripted.calls
    labels = collect_labels(questions, scripted, task, tmp_path / "a.jsonl", skip_bad=True)
    assert len(labels.questions) == 1


def test_a_solution_that_ended_without_its_marker_is_graded_by_its_guess(sums, tmp_path):
    task = replace(sums, answer=lambda _: None, guess=lambda text: text.split()[-1])
    policy = by_seed({"": ["it is 5\n", "it is 6\n"], "it is 5\n": [""], "it is 6\n": [""]})
    labels = collect_labels(ASKED, policy, task, tmp_path / "a.jsonl", LabelSettings(samples=2))
    assert counts(labels) == {"it is 5\n": (1, 1), "it is 6\n": (0, 1)}
    assert all(step.terminal for step in labels.questions[0].steps)


def test_a_solution_that_ended_without_an_answer_is_asked_for_it_as_in_a_search(sums, tmp_path):
    task = replace(
        sums, answer_prefill="so", answer=lambda text: text.partition("so ")[2].strip() or None
    )

    def script(text):
        if text.endswith("so"):
            return [" 5\n"]
        return ["2+3 it is\n", "2+3=6\nso 6\n"] if not text else [""]

    labels = collect_labels(
        ASKED, by_seed(script), task, tmp_path / "a.jsonl", LabelSettings(samples=2)
    )
    assert counts(labels) == {
        "2+3 it is\n": (1, 1),
        "2+3 it is\nso 5\n": (1, 1),
        "2+3=6\n": (0, 1),
        "2+3=6\nso 6\n": (0, 1),
    }
    assert labels.questions[0].completions == 3


KILLED = """
import sys
from pathlib import Path
from langchain_qstar.models import ScriptedPolicy
from langchain_qstar.protocols import Task
from langchain_qstar.training.collection import collect_labels
from langchain_qstar.training.questions import GradedQuestion
from langchain_qstar.training.rollouts import LabelSettings

task = Task(name="sums", messages=lambda q: (("user", q),), is_terminal=lambda t: "so " in t,
            answer=lambda t: t.rpartition("so ")[2].strip())
policy = ScriptedPolicy({"": ["a\\n", "b\\n"], "a\\n": ["so 5\\n"], "b\\n": ["so 6\\n"]})
questions = [GradedQuestion(f"Question {n}?", "5") for n in range(3000)]
collect_labels(questions, policy, task, Path(sys.argv[1]), LabelSettings(samples=200))
"""


def test_killed_at_any_moment_it_goes_on_to_the_same_file(tmp_path, sums):
    out = tmp_path / "labels.jsonl"
    code = textwrap.dedent(KILLED)
    for size in (1, 40_000):  # as soon as the file is there, and in the middle of it
        process = subprocess.Popen([sys.executable, "-c", code, str(out)])
        while process.poll() is None and (not out.exists() or out.stat().st_size < size):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = read_labels(out).questions
    assert len(before) < 3000
    # Whatever it was doing, the rest can be done; here the first hundred are asked for.
    policy = ScriptedPolicy({"": ["a\n", "b\n"], "a\n": ["so 5\n"], "b\n": ["so 6\n"]})
    asked = [GradedQuestion(f"Question {n}?", "5") for n in range(len(before) + 3)]
    labels = collect_labels(asked, policy, sums, out, LabelSettings(samples=200))
    assert [each.question for each in labels.questions] == [each.question for each in asked]
    assert labels.questions[: len(before)] == before
    assert {each.steps for each in labels.questions} == {before[0].steps}


def _split(questions):
    """What was labelled, and the log-probabilities of its tokens by themselves."""
    steps = [step for each in questions for step in each.steps]
    logprobs = [each for step in steps for each in step.logprobs]
    return [replace(step, logprobs=()) for step in steps], logprobs


@pytest.mark.nano
@pytest.mark.parametrize("trajectories", ["sampling", "mcts"])
def test_real_rollouts_are_labelled_and_a_second_run_is_the_same(tmp_path, trajectories):
    policy = resolve_policy("nano")
    settings = LabelSettings(samples=3, trajectories=trajectories)
    files = []
    for name in ("one", "two"):
        out = tmp_path / name
        if name == "two":  # interrupted after the first question
            collect_labels(nano_questions(1), policy, NANO, out, settings)
        collect_labels(nano_questions(2), policy, NANO, out, settings)
        files.append(read_labels(out))
    once, again = (_split(file.questions) for file in files)
    assert once[0] == again[0]
    # Two batches agree to six digits; where the file rounds the fourth, it may differ by one.
    assert once[1] == pytest.approx(again[1], abs=2e-4)
    step = files[0].questions[0].steps[0]
    assert step.token_ids
    assert len(step.logprobs) == len(step.token_ids)
    assert step.rollouts >= 1
