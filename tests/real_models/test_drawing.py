"""Drawing samples goes on after what is there, and asks for answers as the product does."""

import asyncio
from collections import Counter

from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.evaluation.rows import read_rows
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.tasks import GSM8K

QUESTIONS = [{"id": f"q{n}", "question": f"What is {n} + 1?"} for n in range(3)]
WHOLE = "1 + 1 = 2\nThe answer is 2.\n"


class Noted(ScriptedPolicy):
    """A policy that notes of which questions samples were begun."""

    def __init__(self, script):
        super().__init__(script)
        self.noted = []

    async def asample(self, requests):
        self.noted += [each.state.question for each in requests if not each.state.steps]
        return await super().asample(requests)


def drawn(rows, questions, samples, script=lambda before: [] if before else [WHOLE]):
    from real_models.drawing import draw

    policy = Noted(script)
    asyncio.run(draw(policy, GSM8K, questions, samples, parameters=SamplingParameters(), rows=rows))
    return sorted(Counter(policy.noted).items())


def kept_in(rows):
    from real_models.drawing import kept

    return kept(read_rows(rows))


def test_only_what_is_missing_is_drawn(tmp_path):
    rows = tmp_path / "rows.jsonl"
    assert drawn(rows, QUESTIONS[:2], 2) == [("What is 0 + 1?", 2), ("What is 1 + 1?", 2)]
    assert drawn(rows, QUESTIONS, 2) == [("What is 2 + 1?", 2)]
    assert drawn(rows, QUESTIONS[:1], 5) == [("What is 0 + 1?", 3)]
    assert drawn(rows, QUESTIONS, 2) == []
    numbers = {name: sorted(each) for name, each in kept_in(rows).items()}
    assert numbers == {"q0": [0, 1, 2, 3, 4], "q1": [0, 1], "q2": [0, 1]}


def test_a_row_that_a_kill_tore_is_drawn_again(tmp_path):
    rows = tmp_path / "rows.jsonl"
    drawn(rows, QUESTIONS[:2], 2)
    whole = rows.read_bytes()
    rows.write_bytes(whole[:-10])
    assert drawn(rows, QUESTIONS[:2], 2) == [("What is 1 + 1?", 1)]
    assert rows.read_bytes() == whole


def test_later_samples_have_seeds_of_their_own(tmp_path):
    rows, script = (
        tmp_path / "rows.jsonl",
        lambda before: [] if before else ["a\n\n", "b\n\n", "c\n\n", "d\n\n"],
    )
    seen: list[int] = []

    class Seeds(Noted):
        async def asample(self, requests):
            seen.extend(seed for each in requests if not each.prefill for seed in each.seeds)
            return await super().asample(requests)

    from real_models.drawing import draw

    for samples in (2, 4):
        wanted = draw(
            Seeds(script), GSM8K, QUESTIONS[:1], samples, parameters=SamplingParameters(), rows=rows
        )
        asyncio.run(wanted)
    assert len(seen) == len(set(seen)) == 4


def test_a_sample_without_an_answer_is_asked_for_it_and_what_it_says_is_kept_apart(tmp_path):
    rows = tmp_path / "rows.jsonl"

    def script(before):
        if before.endswith("The answer is"):
            return [" 2.\n"]
        return [] if before else ["That is easy to see."]

    assert drawn(rows, QUESTIONS[:1], 1, script) == [("What is 0 + 1?", 1)]
    one = kept_in(rows)["q0"][0]
    assert one.sample.text == "That is easy to see."
    assert one.line == "The answer is 2.\n"
    assert one.line_tokens > 0


def test_a_solution_is_kept_with_its_steps_as_a_search_has_them(tmp_path):
    rows = tmp_path / "rows.jsonl"
    steps = ["Add them: 2 + 3 = 5\n\n", "5 + 1 = 6\n\n", "The answer is 6.\n"]

    def script(before):
        return [steps[sum(step in before for step in steps)]]

    drawn(rows, QUESTIONS[:1], 1, script)
    one = kept_in(rows)["q0"][0]
    assert [step.text for step in one.steps] == steps
    assert one.sample.text == "".join(steps)
