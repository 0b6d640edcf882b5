"""The prompts of the literature, made of records."""


def record(number, *lines):
    solution = "\n".join(lines)
    return {"question": f" Question {number}? ", "solution": solution, "answer": str(number)}


def test_examples_are_without_annotations_and_end_with_their_answer():
    from real_models.plain_prompts import few_shot

    train = [
        record(8, "One line only."),
        record(9, "This line has no period", "This one has."),
        record(48, "He has 2*3 = <<2*3=6>>6 bags.", "That is 6*8 = <<6*8=48>>48 pens."),
        record(10, *["A line."] * 5),
    ]
    assert few_shot(train, "How many? ") == (
        "Q: Question 48?\n"
        "A: He has 2*3 = 6 bags. That is 6*8 = 48 pens. The answer is 48.\n\n"
        "Q: How many?\nA:"
    )


def test_there_are_the_first_eight_examples_that_fit():
    from real_models.plain_prompts import few_shot

    train = [record(number, "One.", "Two.") for number in range(10)]
    text = few_shot(train, "How many?")
    assert "Question 7?" in text
    assert "Question 8?" not in text


def test_a_chat_is_asked_for_steps_and_a_box():
    from real_models.plain_prompts import zero_shot

    ((role, text),) = zero_shot("How many? ")
    assert role == "user"
    assert text == (
        "How many?\nPlease reason step by step, and put your final answer in \\boxed{}."
    )
