"""The prompts word for word, with bare files; the real files are read in `test_rstar_prompts`."""

from __future__ import annotations

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from langchain_qstar.actions import ActionForms, Thought, Trace, forms_of
from langchain_qstar.errors import PromptError
from langchain_qstar.models.chat import ChatModelPolicy
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.protocols import BLANK_LINES, SampleRequest, Step
from langchain_qstar.tasks import GSM8K, MATH, STRATEGYQA
from langchain_qstar.tasks.prompted_forms import PromptedForms

QUESTION = "A box holds 6 pens. Tom has 4 boxes and 1 pen. How many pens does Tom have?"
BARE = {
    "steps": "steps\nProblem: {{question}}\nSteps:",
    "solution": "solution\nProblem: {{question}}\nSolution:",
    "subquestions": "subquestions\nProblem: {{question}}",
    "rephrasing": "rephrasing\nProblem: {{question}}",
}


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "bare").mkdir()
    for name, text in BARE.items():
        (folder / "bare" / f"{name}.txt").write_text(text)
    return PromptedForms("bare", step_tokens=50, solution_tokens=200, prompts=folder)


def asked(question: str, answer: str) -> Thought:
    return Thought("subquestion", Step(answer, "subquestion"), Step(question, "subquestion"))


def thought(text: str) -> Thought:
    return Thought("propose_step", Step(text))


BOXES = asked(
    "Question 1: How many pens do the boxes hold?\n",
    "Answer 1: 4 boxes hold 4 * 6 = 24 pens. The answer is 24.\n",
)
MORE = thought("Step 2: Tom has one more pen.\n")
REPHRASED = Step(
    "Conditions: 1) A box holds 6 pens. 2) Tom has 4 boxes. 3) He has 1 pen. "
    "Question: How many pens has Tom?\n",
    "rephrase",
)
ROOT = Trace(QUESTION)
MIXED = Trace(QUESTION, thoughts=(BOXES, MORE))


def shown(opening) -> str:
    """All that a model reads before it writes."""
    ((role, content),) = opening.state.messages
    assert role == "user"
    return f"{content}\n{opening.state.text}{opening.prefill}"


def test_the_built_in_families_know_all_five_actions():
    for task in (GSM8K, MATH, STRATEGYQA):
        assert isinstance(task.forms, ActionForms)
        assert task.forms.actions == (
            "propose_step",
            "finish",
            "subquestion",
            "re_answer",
            "rephrase",
        )


@pytest.mark.parametrize(
    ("action", "prompt", "stop", "max_tokens"),
    [
        ("propose_step", f"steps\nProblem: {QUESTION}\nSteps:\nStep 1:", "\n", 50),
        ("finish", f"solution\nProblem: {QUESTION}\nSolution:\n", BLANK_LINES, 200),
        ("subquestion", f"subquestions\nProblem: {QUESTION}\nQuestion 1:", "\n", 50),
        ("rephrase", f"rephrasing\nProblem: {QUESTION}\nConditions: 1)", "\n", 200),
    ],
)
def test_at_the_root_each_action_begins_its_own_form(forms, action, prompt, stop, max_tokens):
    opening = forms.opening(action, ROOT)

    assert shown(opening) == prompt
    assert (opening.stop, opening.max_tokens) == ((stop,), max_tokens)
    assert opening.state.question == QUESTION


def test_steps_after_subquestions_go_on_without_a_gap_and_keep_everything(forms):  # statement 45
    deeper = Trace(QUESTION, thoughts=(*MIXED.thoughts, thought("Step 3: 24 + 1 = 25.\n")))

    assert shown(forms.opening("propose_step", MIXED)) == (
        f"steps\nProblem: {QUESTION}\nSteps:\n"
        "Step 1: 4 boxes hold 4 * 6 = 24 pens.\n"
        "Step 2: Tom has one more pen.\n"
        "Step 3:"
    )
    assert shown(forms.opening("propose_step", deeper)).endswith(
        "Step 2: Tom has one more pen.\nStep 3: 24 + 1 = 25.\nStep 4:"
    )


def test_a_sub_answer_that_is_only_a_result_is_a_step_with_its_question(forms):
    trace = Trace(
        QUESTION, thoughts=(asked("Question 1: What is 4 * 6?\n", "The answer is 24.\n"),)
    )

    assert "Step 1: What is 4 * 6? 24.\n" in shown(forms.opening("propose_step", trace))


def test_hints_are_subquestions_with_their_latest_answer_and_thoughts(forms):  # statement 46
    again = Thought(
        "subquestion", Step("4 * 6 = 24.\nThe answer is 24.", "re_answer"), BOXES.subquestion
    )
    trace = Trace(QUESTION, thoughts=(again, MORE))

    assert shown(forms.opening("finish", trace)) == (
        f"solution\nProblem: {QUESTION}\n"
        "Hint 1: How many pens do the boxes hold? 4 * 6 = 24. The answer is 24.\n"
        "Hint 2: Tom has one more pen.\n"
        "Solution:\n"
    )


def test_subquestions_show_those_before_and_thoughts_as_hints(forms):
    assert shown(forms.opening("subquestion", MIXED)) == (
        f"subquestions\nProblem: {QUESTION}\n"
        "Hint 1: Tom has one more pen.\n"
        "Question 1: How many pens do the boxes hold?\n"
        "Answer 1: 4 boxes hold 4 * 6 = 24 pens. The answer is 24.\n"
        "Question 2:"
    )


def test_an_answer_is_asked_for_after_its_question(forms):
    question = Step("Question 2: Now we can answer the problem: How many?\n", "subquestion")
    opening = forms.answering(Trace(QUESTION, thoughts=(BOXES,)), question, last=True)

    assert shown(opening).endswith(
        "The answer is 24.\nQuestion 2: Now we can answer the problem: How many?\nAnswer 2:"
    )
    assert (opening.stop, opening.max_tokens) == (("\n",), 200)
    assert forms.answering(ROOT, question, last=False).max_tokens == 50


def test_a_re_answer_sees_the_conditions_and_the_subquestion_only(forms):  # statement 47
    second = asked("Question 2: How many pens are loose?\n", "Answer 2: One. The answer is 1.\n")
    trace = Trace(QUESTION, thoughts=(BOXES, second))

    assert shown(forms.opening("re_answer", trace)) == (
        "solution\nProblem: A box holds 6 pens. Tom has 4 boxes and 1 pen. "
        "How many pens are loose?\nSolution:\n"
    )


def test_a_re_answer_to_a_problem_of_one_sentence_sees_it_whole(forms):
    whole = "What is $x$ if $2x + 1 = 7$?"
    trace = Trace(whole, thoughts=(asked("Question 1: What is $2x$?", "6"),))

    assert shown(forms.opening("re_answer", trace)) == (
        f"solution\nProblem: {whole}\nAnswer only this question about it: What is $2x$?\n"
        "Solution:\n"
    )


def test_a_rephrasing_takes_the_place_of_the_problem(forms):
    trace = Trace(QUESTION, REPHRASED, (BOXES,))
    conditions = "1) A box holds 6 pens. 2) Tom has 4 boxes. 3) He has 1 pen."

    assert f"Problem: {conditions} Question: How many pens has Tom?\nQ" in shown(
        forms.opening("subquestion", trace)
    )
    assert shown(forms.opening("re_answer", trace)) == (
        f"solution\nProblem: {conditions} Question: How many pens do the boxes hold?\nSolution:\n"
    )
    assert forms.is_last(REPHRASED.text, "Question 2: How many pens has Tom?\n")


def test_a_verifier_continues_a_prefix_of_the_original_problem(forms):  # statement 53
    opening = forms.completing(QUESTION, "4 boxes hold ")

    assert shown(opening) == f"solution\nProblem: {QUESTION}\nSolution:\n4 boxes hold"
    assert opening.prefill == ""
    assert forms.completing(QUESTION, "").state.steps == ()


def test_segments_read_as_a_solution_that_ends_in_the_answer(forms):
    end = asked("Question 2: Now we can answer.\n", "Answer 2: 24 + 1 = 25. The answer is 25.\n")

    assert forms.segments(Trace(QUESTION, REPHRASED, (*MIXED.thoughts, end))) == (
        "4 boxes hold 4 * 6 = 24 pens.\n",
        "Tom has one more pen.\n",
        "24 + 1 = 25.\n",
        "The answer is 25.\n",
    )
    whole = Thought("finish", Step("4 * 6 = 24\n\n24 + 1 = 25\nThe answer is 25.\n\n\n"))
    assert forms.segments(Trace(QUESTION, thoughts=(whole,))) == (
        "4 * 6 = 24\n",
        "24 + 1 = 25\n",
        "The answer is 25.\n",
    )
    assert forms.segments(ROOT) == ()


@pytest.mark.parametrize(
    ("action", "text", "is_read"),
    [
        ("propose_step", "Step 2: 4 * 6 = 24.\n", True),
        ("propose_step", "Step 2: **Step 2:** 4 * 6 = 24.\n", True),
        ("propose_step", "Step 2: Question 1: How many?\n", False),
        ("propose_step", "Step 2: ---\n", False),
        ("finish", "4 * 6 = 24.\nThe answer is 24.", True),
        ("finish", "\nProblem: A dog has 4 legs.\nThe answer is 4.", False),
        ("subquestion", "Question 1: How many?\n", True),
        ("subquestion", "Question 1:\n", False),
        ("subquestion", "Question 1: Answer 1: 24\n", False),
        ("re_answer", "Answer 1: 24\n", True),
        ("re_answer", "...\n", False),
        ("rephrase", REPHRASED.text, True),
        ("rephrase", "Conditions: 1) A box holds 6 pens. Question:\n", False),
        ("rephrase", "Conditions: 1) A box holds 6 pens.\n", False),
    ],
)
def test_what_is_no_step_of_its_action_is_not_read(forms, action, text, is_read):
    assert forms.reads(action, text) is is_read


@pytest.mark.parametrize(
    ("task", "text", "answer"),
    [
        (GSM8K, "Step 3: 24 + 1 = 25 pens. The answer is 25.\n", "25"),
        (GSM8K, "Step 3: So, the final answer is: 25\n", "25"),
        (GSM8K, "24 + 1 = 25.\nThe answer is 25.\n\nProblem: A dog?\nThe answer is 4.", "25"),
        (MATH, "Answer 2: It is $x^2.$ The answer is $\\boxed{x^2}$.\n", "x^2"),
        (STRATEGYQA, "Answer 1: It has no air. The answer is no.\n", "no"),
    ],
)
def test_a_statement_has_its_answer_on_a_line_that_the_task_reads(task, text, answer):
    statement = task.forms.statement(Thought("propose_step", Step(text)))

    assert task.is_terminal(statement)
    assert task.answer(statement) == answer


def test_a_step_without_an_answer_ends_nothing():
    statement = forms_of(GSM8K).statement(thought("Step 1: I wonder what the answer is.\n"))
    assert not GSM8K.is_terminal(statement)


def test_a_family_without_its_files_is_an_error_that_names_the_file(tmp_path):
    forms = PromptedForms("mine", step_tokens=9, solution_tokens=9, prompts=tmp_path)
    with pytest.raises(PromptError, match=r"mine.steps\.txt"):
        forms.opening("propose_step", ROOT)


def requested(opening) -> SampleRequest:
    return SampleRequest(
        opening.state, (1,), opening.stop, opening.max_tokens, prefill=opening.prefill
    )


@pytest.mark.parametrize("action", forms_of(GSM8K).actions)
def test_a_policy_that_continues_text_writes_after_the_opening(forms, action):
    opening = forms.opening(action, Trace(QUESTION, thoughts=(BOXES,)))
    policy = ScriptedPolicy(
        {opening.state.text + opening.prefill: [" 7 of 8? Question: 9\n\n\nmore"]}
    )

    ((completion,),) = policy.sample([requested(opening)])

    assert completion.text.startswith(f"{opening.prefill} 7 of 8?")
    assert "more" not in completion.text
    assert forms.reads(action, completion.text)


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        ("propose_step", "Step 2: One more makes 25.\nStep 3: no"),
        ("propose_step", "One more makes 25."),
        ("finish", "4 * 6 = 24\nThe answer is 25."),
        ("subquestion", "**Question 2:** How many in all?\n"),
        ("re_answer", "4 * 6 = 24\nThe answer is 24."),
        ("rephrase", "Conditions: 1) One. 2) Two. Question: How many?"),
        ("rephrase", "One. 2) Two. Question: How many?"),
    ],
)
def test_a_chat_model_is_told_how_to_begin_and_read_like_any_other(forms, action, reply):
    model = FakeListChatModel(responses=[reply])
    opening = forms.opening(action, Trace(QUESTION, thoughts=(BOXES,)))

    ((completion,),) = ChatModelPolicy(model).sample([requested(opening)])

    assert forms.reads(action, completion.text)
    whole = action in {"finish", "re_answer"}
    assert completion.text.count("\n") == 1
    assert completion.text.startswith("4" if whole else opening.prefill)
    assert "Step 3" not in completion.text
