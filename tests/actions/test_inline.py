import pytest

from langchain_qstar.actions import ActionForms, InlineForms, Thought, Trace, forms_of
from langchain_qstar.protocols import Step, Task
from langchain_qstar.tasks import NANO

QUESTION = "A box holds 6 pens. Tom has 4 boxes and 1 pen. How many pens does Tom have?"
FORMS = InlineForms(NANO)
STEP = Step("So the boxes hold 4*6=24 pens.\n", token_ids=(1, 2, 3))
ASKED = Step("Q: How many pens do the boxes hold?\n", "subquestion", (4, 5))
ANSWERED = Step("A: The boxes hold 4*6=24 pens.\n", "subquestion", (6, 7))
REPHRASED = Step("Rephrase: 1) A box holds 6 pens. Question: How many pens?\n", "rephrase", (8,))
END = Step("A: Tom has 24+1=25 pens.\nThe answer is 25.\n", "subquestion")

ROOT = Trace(QUESTION)
THOUGHT = Trace(QUESTION, thoughts=(Thought("propose_step", STEP),))
SUBQUESTION = Trace(QUESTION, REPHRASED, (Thought("subquestion", ANSWERED, ASKED),))


def test_nano_knows_all_five_actions():
    assert isinstance(FORMS, ActionForms)
    assert FORMS.actions == ("propose_step", "finish", "subquestion", "re_answer", "rephrase")


def test_a_task_without_prefills_knows_steps_and_the_remaining_steps():
    task = Task(
        name="mine",
        messages=lambda question: (("user", question),),
        answer=str.strip,
        is_terminal=bool,
    )
    assert forms_of(task).actions == ("propose_step", "finish")


def test_a_task_that_cannot_open_an_answer_knows_no_subquestions():
    task = Task(
        name="mine",
        messages=lambda question: (("user", question),),
        answer=str.strip,
        is_terminal=bool,
        prefills={"subquestion": "Q:", "rephrase": "R:"},
    )
    assert forms_of(task).actions == ("propose_step", "finish", "rephrase")


@pytest.mark.parametrize(
    ("action", "stop", "max_tokens", "prefill"),
    [
        ("propose_step", ("\n",), 64, ""),
        ("finish", (), 384, ""),
        ("subquestion", ("\n",), 64, "Q:"),
        ("rephrase", ("\n",), 384, "Rephrase:"),
    ],
)
def test_each_action_continues_the_text_so_far(action, stop, max_tokens, prefill):
    opening = FORMS.opening(action, THOUGHT)

    assert opening.state.messages == (("user", QUESTION),)
    assert opening.state.steps == (STEP,)
    assert (opening.stop, opening.max_tokens, opening.prefill) == (stop, max_tokens, prefill)


def test_a_subquestion_and_a_rephrasing_stay_in_the_text_with_their_token_ids():
    assert FORMS.opening("finish", SUBQUESTION).state.steps == (REPHRASED, ASKED, ANSWERED)


def test_a_one_step_thought_comes_after_plain_lines():  # statement 45
    trace = Trace(QUESTION, REPHRASED, (*SUBQUESTION.thoughts, Thought("propose_step", STEP)))

    assert FORMS.opening("propose_step", trace).state.steps == (
        REPHRASED,
        Step("The boxes hold 4*6=24 pens.\n", "subquestion"),
        STEP,
    )


def test_a_re_answer_does_not_see_the_answer_that_it_replaces():
    opening = FORMS.opening("re_answer", SUBQUESTION)

    assert opening.state.steps == (REPHRASED, ASKED)
    assert (opening.prefill, opening.stop, opening.max_tokens) == ("A:", ("\n",), 64)


def test_an_answer_is_one_line_and_the_last_one_goes_on_to_the_end():
    inner = FORMS.answering(THOUGHT, ASKED, last=False)
    last = FORMS.answering(THOUGHT, ASKED, last=True)

    assert inner.state.steps == last.state.steps == (STEP, ASKED)
    assert (inner.prefill, inner.stop, inner.max_tokens) == ("A:", ("\n",), 64)
    assert (last.prefill, last.stop, last.max_tokens) == ("A:", (), 384)


def test_what_follows_a_line_without_its_end_begins_a_new_line():
    cut = Trace(
        QUESTION, thoughts=(Thought("propose_step", Step("So far 4*6=24", token_ids=(1,))),)
    )

    assert FORMS.opening("subquestion", cut).state.text == "So far 4*6=24\n"
    assert FORMS.opening("subquestion", cut).state.steps[0].token_ids == (1,)


@pytest.mark.parametrize(
    ("action", "text", "is_read"),
    [
        ("propose_step", "So 4*6=24.\n", True),
        ("propose_step", "Q: How many?\n", False),
        ("propose_step", "A: 24\n", False),
        ("propose_step", "Rephrase: 1) A box.\n", False),
        ("propose_step", "\n", False),
        ("finish", "Q: How many?\nA: 4*6=24\nThe answer is 24.\n", True),
        ("finish", " \n", False),
        ("subquestion", "Q: How many?\n", True),
        ("subquestion", "Q: \n", False),
        ("subquestion", "Q: A: 24\n", False),
        ("re_answer", "A: 24\nThe answer is 24.\n", True),
        ("re_answer", "A:\n", False),
        ("re_answer", "A: Q: How many?\n", False),
        ("rephrase", "Rephrase: 1) A box. Question: How many?\n", True),
        ("rephrase", "Rephrase:", False),
        ("rephrase", "Rephrase: Q: How many?\n", False),
    ],
)
def test_a_line_of_another_action_is_no_step_of_this_one(action, text, is_read):
    assert FORMS.reads(action, text) is is_read


def test_the_last_subquestion_asks_the_problem():
    assert FORMS.is_last(QUESTION, "Q: Now we can answer: How many?\n")
    assert FORMS.is_last(QUESTION, "Q: How many pens does Tom have?\n")
    assert not FORMS.is_last(QUESTION, ASKED.text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (ANSWERED.text, "24"),
        ("A: In total 17+21+5=38+5=43 tickets.\n", "43"),
        ("A: There are 24 of them.\n", "24"),
        ("A: I cannot say.\n", None),
        ("A:", None),
        (END.text, "25"),
    ],
)
def test_a_sub_answer_is_voted_on_by_its_value(text, answer):
    statement = FORMS.statement(Thought("subquestion", Step(text), ASKED))
    assert NANO.answer(statement) == answer


def test_a_whole_solution_is_voted_on_by_the_answer_it_states():
    whole = Thought("finish", Step("4*6=24.\nThe answer is 24.\n"))
    assert FORMS.statement(whole) == "4*6=24.\nThe answer is 24.\n"


def test_segments_are_plain_lines_that_end_in_the_answer():
    trace = Trace(
        QUESTION,
        REPHRASED,
        (
            Thought("subquestion", ANSWERED, ASKED),
            Thought("propose_step", Step("Tom has one more pen.")),
            Thought("finish", Step("Q: How many?\n" + END.text)),
        ),
    )
    assert FORMS.segments(trace) == (
        "The boxes hold 4*6=24 pens.\n",
        "Tom has one more pen.\n",
        "Tom has 24+1=25 pens.\n",
        "The answer is 25.\n",
    )


def test_a_verifier_continues_the_prefix_under_the_original_question():
    opening = FORMS.completing(QUESTION, "The boxes hold ")

    assert opening.state.messages == (("user", QUESTION),)
    assert opening.state.text == "The boxes hold"
    assert (opening.prefill, opening.stop, opening.max_tokens) == ("", (), 384)
    assert FORMS.completing(QUESTION, "").state.steps == ()
