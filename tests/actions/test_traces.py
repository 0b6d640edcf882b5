import json

from langchain_qstar.actions import Thought, Trace, trace_of
from langchain_qstar.protocols import Step


def test_steps_keep_their_order_and_their_token_ids(record):
    path = [record("propose_step", "2*3=6\n"), record("finish", "The answer is 6.\n")]

    assert trace_of("2*3?", path) == Trace(
        "2*3?",
        thoughts=(
            Thought("propose_step", Step("2*3=6\n", "propose_step", (6, 7), (-0.5, 0.0))),
            Thought("finish", Step("The answer is 6.\n", "finish", (17, 7), (-0.5, 0.0))),
        ),
    )


def test_a_rephrasing_takes_the_place_of_the_question(record):
    trace = trace_of("2*3?", [record("rephrase", "Twice three?"), record("propose_step", "6")])

    assert trace.rephrased is not None
    assert (trace.question, trace.rephrased.text) == ("2*3?", "Twice three?")
    assert [each.step.text for each in trace.thoughts] == ["6"]


def test_a_re_answer_takes_the_place_of_the_answer_before_it(record):
    first = record("subquestion", "A: 5\n", "Q: 2*3?\n")
    trace = trace_of("2*3+1?", [first, record("re_answer", "A: 6\n"), record("propose_step", "7")])

    asked, after = trace.thoughts
    assert asked.subquestion is not None
    assert (asked.action, asked.subquestion.text) == ("subquestion", "Q: 2*3?\n")
    assert (asked.step.action, asked.step.text) == ("re_answer", "A: 6\n")
    assert after.step.text == "7"


def test_records_read_back_from_json_make_the_same_trace(record):  # statement 48
    path = [
        record("rephrase", "1) a 2) b"),
        record("subquestion", "6", "2*3?"),
        record("re_answer", "six"),
        record("propose_step", "6+1=7"),
    ]
    assert trace_of("?", json.loads(json.dumps(path))) == trace_of("?", path)
