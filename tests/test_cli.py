from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from langchain_qstar import Solution, cli
from langchain_qstar.models import resolve
from langchain_qstar.models.scripted import ScriptedPolicy

QUESTION = "Tom has 4 bags of 6 apples. How many apples?"
WRITES = {"": ["4*6=24\n", "4+6=10\n"], "4*6=24\n": ["The answer is 24.\n"]}


@pytest.fixture
def model(monkeypatch):
    """Lets the next command use a scripted model in place of any it names."""

    def use(script: Any, **options: Any) -> ScriptedPolicy:
        policy = ScriptedPolicy(script, by_seed=True, logprob=-0.5, **options)
        monkeypatch.setattr(resolve, "resolve_policy", lambda spec: policy)
        return policy

    return use


def solve(*arguments: str) -> int:
    return cli.main(["solve", *arguments, "--task", "nano"])


def standard_input(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def one_line(text: str) -> str:
    assert text.count("\n") == 1, text
    assert text.startswith("qstar")
    return text


def test_the_tree_goes_to_standard_output_and_progress_to_standard_error(model, capsys):
    model(WRITES)
    assert solve(QUESTION) == cli.ANSWERED
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1].startswith("answer  24")
    assert "#0 expand" not in shown.out
    assert shown.err.startswith("#0 expand")


def test_a_verifier_of_qstar_completes_what_was_collected(model, capsys, monkeypatch):
    model(WRITES | {"4+6=10\n": ["The answer is 10.\n"]})
    knows = ScriptedPolicy(
        lambda text: ["" if "answer" in text else "The answer is 24.\n"], name="knows"
    )
    monkeypatch.setattr("langchain_qstar.chains.qstar.resolve_policy", lambda spec: knows)
    assert solve(QUESTION, "--verifier", "knows", "--json") == cli.ANSWERED
    solution = Solution.model_validate_json(capsys.readouterr().out)
    assert (solution.answer, solution.verifier) == ("24", "knows")
    assert (solution.agreed, solution.verified) == (True, None)


def test_json_is_one_solution_and_nothing_else(model, capsys):
    model(WRITES)
    assert solve(QUESTION, "--json", "--seed", "7") == cli.ANSWERED
    solution = Solution.model_validate_json(capsys.readouterr().out)
    assert (solution.answer, solution.seed, solution.question) == ("24", 7, QUESTION)


@pytest.mark.parametrize("method", list(cli.METHODS))
def test_every_method_answers(model, capsys, method):
    model({"": ["4*6=24\nThe answer is 24.\n"], "4*6=24\n": ["The answer is 24.\n"]})
    assert solve(QUESTION, "--method", method, "--json") == cli.ANSWERED
    assert json.loads(capsys.readouterr().out)["answer"] == "24"


def test_options_reach_the_settings(model, capsys):
    model(WRITES)
    given = {
        "--samples": ("num_samples", 3),
        "--trajectories": ("num_trajectories", 2),
        "--lam": ("lam", 0.5),
        "--temperature": ("temperature", 0.25),
        "--max-pops": ("max_pops", 9),
        "--max-nodes": ("max_nodes", 99),
        "--max-completions": ("max_completions", 98),
        "--max-tokens": ("max_tokens", 97),
        "--max-seconds": ("max_seconds", 96.0),
    }
    flags = [part for flag, (_, value) in given.items() for part in (flag, str(value))]
    assert solve(QUESTION, "--json", "--seed", "1", *flags) == cli.ANSWERED
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert {name: settings[name] for name, _ in given.values()} == dict(given.values())


def test_samples_are_solutions_for_the_methods_that_sample_solutions(model, capsys):
    model({"": ["The answer is 24.\n"]})
    solve(QUESTION, "--method", "self-consistency", "-k", "5", "--json")
    assert json.loads(capsys.readouterr().out)["usage"]["completions"] == 5


def test_an_option_that_means_nothing_to_the_method_is_an_error(capsys):
    assert solve(QUESTION, "--method", "greedy", "--max-nodes", "9") == cli.USAGE
    assert "--max-nodes means nothing to --method greedy" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "method", ["greedy", "self-consistency", "checked-self-consistency", "best-of-n"]
)
def test_a_baseline_takes_the_budgets_of_a_search_by_the_same_names(model, capsys, method):
    model(WRITES)
    given = {"max_completions": 98, "max_tokens": 97, "max_seconds": 96.0}
    flags = [
        part for name, most in given.items() for part in (f"--{name.replace('_', '-')}", str(most))
    ]
    assert solve(QUESTION, "--method", method, "--json", *flags) == cli.ANSWERED
    solution = json.loads(capsys.readouterr().out)
    assert {name: solution["settings"][name] for name in given} == given
    assert solution["method"] == method


@pytest.mark.parametrize("method", ["greedy", "self-consistency"])
def test_a_baseline_whose_budget_ends_before_an_answer_is_code_3(model, capsys, method):
    model(WRITES)
    assert solve(QUESTION, "--method", method, "--json", "--max-tokens", "1") == cli.BUDGET_ENDED
    assert json.loads(capsys.readouterr().out)["stopped"] == "tokens"


def test_checked_self_consistency_without_a_check_is_one_line(model, capsys):
    model(WRITES)
    method = ("--method", "checked-self-consistency", "--checks", "none")
    assert solve(QUESTION, *method) == cli.USAGE
    assert "pass checks=" in one_line(capsys.readouterr().err)


def test_the_question_may_come_from_standard_input(model, monkeypatch, capsys):
    model(WRITES)
    standard_input(monkeypatch, "  Сколько 4*6?\n".encode())
    assert solve("-", "--json") == cli.ANSWERED
    assert "Сколько 4*6?" in json.loads(capsys.readouterr().out)["question"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"\x7fELF\x02\x01\x00\x00", "plain text"),
        (b"What is \xff\xfe?", "not UTF-8 text (byte 8)"),
        (b"a" * (cli.MAX_QUESTION_BYTES + 1), "longer than"),
    ],
)
def test_unusable_input_is_one_line_and_code_2(model, monkeypatch, capsys, data, says):
    model(WRITES)
    standard_input(monkeypatch, data)
    assert solve("-") == cli.USAGE
    shown = capsys.readouterr()
    assert says in one_line(shown.err)
    assert not shown.out


def test_a_question_longer_than_the_window_is_one_line_and_code_2(model, capsys):
    model(WRITES, window=100)
    assert solve("why " * 200) == cli.USAGE
    assert "shorten it" in one_line(capsys.readouterr().err)


def test_an_argument_that_is_not_text_is_one_line_and_code_2(capsys):
    assert solve(os.fsdecode(b"What is \xff?")) == cli.USAGE
    assert "not UTF-8" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["solve"],
        ["nothing"],
        ["solve", QUESTION, "--method", "magic"],
        ["solve", QUESTION, "--samples", "many"],
        ["solve", QUESTION, "--temperature", "nan"],
        ["solve", QUESTION, "--lam", "inf"],
        ["solve", QUESTION, "--unknown"],
    ],
)
def test_bad_usage_is_one_line_and_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == cli.USAGE
    assert "--help" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "flags",
    [
        ["--samples", "0"],
        ["--temperature", "-1"],
        ["--max-tokens", "0"],
        ["--max-seconds", "-3"],
        ["--q-model", "no-such-scorer"],
        ["--task", "no-such-task"],
    ],
)
def test_an_impossible_setting_is_one_line_and_code_2(model, capsys, flags):
    model(WRITES)
    assert cli.main(["solve", QUESTION, *flags]) == cli.USAGE
    one_line(capsys.readouterr().err)


@pytest.mark.parametrize("flags", [["-k", "0"], ["--temperature", "-1"]])
@pytest.mark.parametrize("method", ["self-consistency", "best-of-n"])
def test_an_impossible_number_of_samples_is_one_line_and_code_2(model, capsys, method, flags):
    model(WRITES)
    assert solve(QUESTION, "--method", method, *flags) == cli.USAGE
    one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("flags", "prompts", "turns"),
    [
        ([], "zero-shot", 1),
        (["--shots", "2"], "few-shot (2)", 5),
        (["--prompts", "completion", "--shots", "3"], "completion (3)", 1),
        (["--prompts", "few-shot", "--method", "greedy"], "few-shot (8)", 17),
        (["--prompts", "few-shot", "--method", "self-consistency", "-k", "1"], "few-shot (8)", 17),
        (["--method", "rstar", "--rollouts", "1", "--shots", "1"], "few-shot (1)", 3),
    ],
)
def test_prompts_and_shots_say_how_the_policy_is_asked(model, capsys, flags, prompts, turns):
    policy = model(lambda text: ["The answer is 24.\n"])
    assert cli.main(["solve", QUESTION, "--task", "gsm8k", "--json", *flags]) == cli.ANSWERED
    assert json.loads(capsys.readouterr().out)["prompts"] == prompts
    assert {len(each.state.messages) for batch in policy.calls for each in batch} == {turns}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--shots", "99"], "shots=99: the task gsm8k has 8 examples"),
        (["--shots", "-1"], "shots=-1: give the number of examples"),
        (["--prompts", "few-shot", "--shots", "0"], "few-shot without an example"),
        (["--prompts", "no-such-folder"], "choose auto, zero-shot, few-shot, completion"),
        (["--prompts", "."], "instruction.txt"),
    ],
)
def test_prompts_that_cannot_be_used_are_one_line_and_code_2(
    model, capsys, monkeypatch, tmp_path, flags, says
):
    monkeypatch.chdir(tmp_path)
    model(WRITES)
    assert cli.main(["solve", QUESTION, "--task", "gsm8k", *flags]) == cli.USAGE
    assert says in one_line(capsys.readouterr().err)


def test_a_chat_template_goes_to_the_policy(monkeypatch, capsys):
    given: list[Any] = []

    def resolved(spec: Any, *, chat_template: Any = None) -> Any:
        given.append(chat_template)
        return spec if isinstance(spec, ScriptedPolicy) else ScriptedPolicy(WRITES)

    monkeypatch.setattr(resolve, "resolve_policy", resolved)
    solve(QUESTION, "--policy", "gguf:x.gguf", "--chat-template", "plain", "--json")
    assert given[0] == "plain"


@pytest.mark.parametrize("template", ["nowhere.jinja", "{% for %}"])
@pytest.mark.parametrize("policy", ["nano", "openai:a@http://127.0.0.1:9/v1"])
def test_a_chat_template_that_is_none_is_one_line_and_code_2(capsys, policy, template):
    flags = ["--policy", policy, "--chat-template", template]
    assert solve(QUESTION, *flags) == cli.USAGE
    assert "template" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("policy", ["no-such-folder", "hf:", "gguf:x.gguf", "."])
def test_a_model_that_is_not_there_is_one_line_and_code_2(capsys, monkeypatch, tmp_path, policy):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["solve", QUESTION, "--policy", policy]) == cli.USAGE
    assert "policy" in one_line(capsys.readouterr().err)


def test_a_missing_extra_names_the_command_that_installs_it(model, capsys, monkeypatch):
    policy = model(WRITES)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert solve(QUESTION) == cli.USAGE
    assert "pip install 'langchain-qstar[cli]'" in one_line(capsys.readouterr().err)
    assert not policy.calls, "the search ran although its result cannot be shown"


def test_json_needs_no_extra(model, capsys, monkeypatch):
    model(WRITES)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert solve(QUESTION, "--json") == cli.ANSWERED


def test_a_budget_that_ends_without_an_answer_is_code_3(model, capsys):
    model(lambda text: ["and so on\n"])
    assert solve(QUESTION, "--max-pops", "2", "--json") == cli.BUDGET_ENDED
    assert json.loads(capsys.readouterr().out)["answer"] is None


def test_a_search_that_finds_no_answer_is_code_4(model, capsys):
    model({})
    assert solve(QUESTION) == cli.NO_ANSWER
    assert "answer  none" in capsys.readouterr().out


UNCHECKED = {"": ["Four bags.\n"], "Four bags.\n": ["The answer is 24.\n"]}


SCORED = ("--q-model", "log-probability")


@pytest.mark.parametrize(
    "method",
    [
        ("qstar", *SCORED),
        ("greedy",),
        ("self-consistency",),
        ("best-of-n", *SCORED),
    ],
    ids=lambda flags: flags[0],
)
def test_abstaining_without_a_verified_answer_is_code_4(model, capsys, method):
    model(UNCHECKED)
    assert solve(QUESTION, "--method", *method, "--json") == cli.ANSWERED
    assert Solution.model_validate_json(capsys.readouterr().out).answer == "24"
    assert solve(QUESTION, "--method", *method, "--json", "--abstain") == cli.NO_ANSWER
    assert Solution.model_validate_json(capsys.readouterr().out).answer is None


def test_abstaining_is_code_4_though_a_budget_ended(model):
    model(UNCHECKED)
    flags = ("--q-model", "log-probability", "--max-pops", "2")
    assert solve(QUESTION, "--json", *flags) == cli.ANSWERED
    assert solve(QUESTION, "--json", *flags, "--abstain") == cli.NO_ANSWER


def test_calculations_that_hold_are_told_and_verify_nothing(model, capsys):
    model(WRITES)
    assert solve(QUESTION, "--abstain", "failed") == cli.ANSWERED
    shown = capsys.readouterr()
    assert "(not verified; its calculations hold)" in shown.out
    assert "4*6=24  ✓" in shown.out
    assert "failed step" not in shown.err
    assert solve(QUESTION, "--abstain") == cli.NO_ANSWER
    assert "nothing here can verify an answer" in capsys.readouterr().out


WRONG = {"": ["4*6=25\n"], "4*6=25\n": ["The answer is 25.\n"]}


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_failed_check_is_told_on_standard_error(model, capsys, flags):
    model(WRONG)
    assert solve(QUESTION, "--method", "greedy", *flags) == cli.ANSWERED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "qstar: check arithmetic failed step 1 of 2, '4*6=25': 4*6=25: 4*6 is 24"


def test_abstaining_from_a_failed_check_gives_no_answer(model, capsys):
    model(WRONG)
    assert solve(QUESTION, "--method", "greedy", "--abstain", "failed") == cli.NO_ANSWER
    assert "refuted check arithmetic failed step 1 of 2" in capsys.readouterr().out


def test_a_question_after_abstain_is_asked_for_before_it(capsys):
    with pytest.raises(SystemExit) as ended:
        solve("--abstain", QUESTION)
    assert ended.value.code == cli.USAGE
    assert "write the question before it" in one_line(capsys.readouterr().err)


def test_checks_are_chosen_by_name(model, capsys):
    model({"": ["4*6=25\n"], "4*6=25\n": ["The answer is 25.\n"]})
    assert solve(QUESTION, "--checks", "none", "--json") == cli.ANSWERED
    assert Solution.model_validate_json(capsys.readouterr().out).verified is None
    assert solve(QUESTION, "--method", "greedy", "--checks", "arithmetic") == cli.ANSWERED
    assert "(refuted by arithmetic)" in capsys.readouterr().out
    assert solve(QUESTION, "--checks", "spelling") == cli.USAGE
    assert "unknown check 'spelling'" in one_line(capsys.readouterr().err)


def test_a_model_that_fails_is_one_line_and_code_1(model, capsys):
    def script(text):
        raise RuntimeError("out of\nmemory \x1b[2J")

    model(script)
    assert solve(QUESTION) == cli.FAULT
    line = one_line(capsys.readouterr().err.replace("#0 expand f=0.00  the question\n", ""))
    assert "out of memory" in line
    assert "\x1b" not in line


def test_debug_shows_the_traceback_of_an_error(model, capsys):
    model(WRITES)
    assert solve(" ", "--debug") == cli.USAGE
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupted_search_is_one_line_and_code_130(model, capsys):
    def script(text):
        raise KeyboardInterrupt

    model(script)
    assert solve(QUESTION, "--method", "greedy") == cli.INTERRUPTED
    assert one_line(capsys.readouterr().err) == "qstar: interrupted\n"


def test_the_same_command_goes_on_where_a_killed_one_was_stored(model, capsys, tmp_path):
    pytest.importorskip("langgraph.checkpoint.sqlite")
    store = str(tmp_path / "search.sqlite")

    def dies(text):
        if text:
            raise RuntimeError("killed")
        return WRITES[text]

    model(dies)
    assert solve(QUESTION, "--checkpoint", store, "--json") == cli.FAULT
    rest = model(WRITES)
    assert solve(QUESTION, "--checkpoint", store, "--json") == cli.ANSWERED
    assert json.loads(capsys.readouterr().out)["answer"] == "24"
    assert all(request.state.text for call in rest.calls for request in call)


def test_a_checkpoint_file_that_is_something_else_is_one_line_and_code_2(model, capsys, tmp_path):
    pytest.importorskip("langgraph.checkpoint.sqlite")
    model(WRITES)
    file = tmp_path / "notes.txt"
    file.write_text("these are my notes, and not a database at all\n" * 50, encoding="utf-8")
    assert solve(QUESTION, "--checkpoint", str(file)) == cli.USAGE
    assert "not a database" in one_line(capsys.readouterr().err)


def test_a_database_keeps_searches_apart_by_their_threads(model, capsys, postgres_address):
    def dies(text):
        if text:
            raise RuntimeError("killed")
        return WRITES[text]

    stored = ("--checkpoint", postgres_address, "--json", "--thread")
    model(dies)
    assert solve(QUESTION, *stored, "a") == cli.FAULT
    model(WRITES)
    assert solve("How many, then?", *stored, "b") == cli.ANSWERED
    assert solve("How many, then?", *stored, "a") == cli.USAGE
    assert "thread 'a' holds an unfinished search" in capsys.readouterr().err
    rest = model(WRITES)
    assert solve(QUESTION, *stored, "a") == cli.ANSWERED
    assert json.loads(capsys.readouterr().out)["answer"] == "24"
    assert all(request.state.text for call in rest.calls for request in call)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("postgresql://bob:s3cret@127.0.0.1:1/d", "port 1 failed"),
        ("mysql://bob:s3cret@h", "a file"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_line_without_the_password(
    model, capsys, address, says
):
    pytest.importorskip("psycopg")
    model(WRITES)
    assert solve(QUESTION, "--checkpoint", address) == cli.USAGE
    told = one_line(capsys.readouterr().err)
    assert says in told
    assert "s3cret" not in told


def test_credentials_in_a_mistyped_command_are_not_repeated(capsys):
    with pytest.raises(SystemExit):
        solve(QUESTION, "--chekpoint=postgresql://bob:s3cret@h/d")
    told = one_line(capsys.readouterr().err)
    assert "--chekpoint=postgresql://***@h/d" in told


def test_a_thread_without_a_store_is_bad_usage(model, capsys):
    model(WRITES)
    assert solve(QUESTION, "--thread", "a") == cli.USAGE
    assert "--thread" in one_line(capsys.readouterr().err)


def test_output_that_the_terminal_cannot_show_does_not_break_the_drawing(model, monkeypatch):
    model(WRITES)
    page = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", page)
    assert solve("Сколько?") == cli.ANSWERED
    page.flush()
    assert b"answer  24" in page.buffer.getvalue()


def test_json_is_utf8_whatever_the_terminal_speaks(model, monkeypatch):
    model(WRITES)
    page = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", page)
    assert solve("Сколько?", "--json") == cli.ANSWERED
    assert json.loads(page.buffer.getvalue())["question"] == "Сколько?"


def test_a_reader_that_leaves_early_sees_no_traceback():
    script = (
        "import sys, os; from langchain_qstar import cli;"
        "cli._solve = lambda args: [print('x' * 9999) for _ in range(99)] and 0;"
        "sys.exit(cli.main(['solve', '?']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == cli.INTERRUPTED


def test_control_c_in_a_terminal_ends_the_command():
    # A shell's background job ignores the signal, and so would what it starts.
    script = (
        "import signal, sys, time; from langchain_qstar import cli;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "cli._solve = lambda args: (print('running', flush=True), time.sleep(60));"
        "sys.exit(cli.main(['solve', '?']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"qstar: interrupted\n"
        assert process.wait() == cli.INTERRUPTED


def test_the_version_goes_to_standard_output(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("qstar 0.")


def test_help_lists_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["solve", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert not [o for o in cli.OPTIONS if f"--{o.replace('_', '-')}" not in text]
    assert not [method for method in cli.METHODS if method not in text]


@pytest.mark.nano
def test_the_bundled_model_answers_from_the_command_line(capsys):
    question = "Tom has 3 apples. Ann gives Tom 4 more apples. How many apples does Tom have?"
    assert cli.main(["solve", question, "--json"]) == cli.ANSWERED
    assert json.loads(capsys.readouterr().out)["policy"] == "nano"


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        ([], "First:\n4*6=24\n"),
        (["--steps", "thought"], "First:\n4*6=24\n"),
        (["--steps", "line"], "First:\n"),
        (["--steps", "1"], "First:\n"),
    ],
)
def test_what_a_step_is_can_be_chosen(model, capsys, flags, first):
    text = "First:\n4*6=24\nThe answer is 24.\n"
    model(lambda written: [text[len(written) :]])
    assert cli.main(["solve", QUESTION, "--task", "gsm8k", "--json", *flags]) == cli.ANSWERED
    assert Solution.model_validate_json(capsys.readouterr().out).steps[0].text == first


@pytest.mark.parametrize("form", ["sentence", "0", "-3", "2.5", ""])
def test_another_form_of_steps_is_one_line_and_code_2(model, capsys, form):
    model({})
    assert solve(QUESTION, "--steps", form) == cli.USAGE
    assert "choose thought, calculation, line, or" in one_line(capsys.readouterr().err)
