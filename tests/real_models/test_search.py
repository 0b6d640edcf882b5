"""Live runs of searches: a row is run once, and a difference that decides nothing says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.tasks import GSM8K, NANO

RECORDS = [{"id": f"q{n}", "question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(4)]


@pytest.fixture
def runs(monkeypatch, tmp_path):
    from real_models import searches

    def records(name, count):
        assert name == "gsm8k"
        return RECORDS[:count]

    monkeypatch.setattr(searches, "records", records)
    made = searches.Runs("m", "gsm8k", "test", tmp_path / "rows.jsonl")
    asked: list[str] = []

    def script(before):
        asked.append(before)
        if not before:
            return ["1 + 1 = 2\nThe answer is 2.\n"]
        return [] if "answer" in before else ["The answer is 2.\n"]

    made.policy = ScriptedPolicy(script)
    return made, asked


@pytest.mark.parametrize("method", ["greedy", "vote", "checked_vote", "best_of_n", "qstar"])
def test_every_way_runs_and_says_what_it_cost(runs, method):
    from real_models.searches import Way

    made, _ = runs
    rows = made.run(Way(method, method, 60, "agreement", {}), 2)
    assert [row["id"] for row in rows] == ["q0", "q1"]
    assert [row["right"] for row in rows] == [False, True]
    assert all(0 < row["tokens"] <= 60 for row in rows)


def test_a_row_that_is_there_is_never_run_again(runs):
    from real_models.searches import Way

    made, asked = runs
    way = Way("votes", "vote", 60, None, {"temperature": 0.7, "top_k": 20})
    made.run(way, 2)
    before = len(asked)
    renamed = Way("other", "vote", 60, None, {"top_k": 20, "temperature": 0.7})
    assert made.run(renamed, 2) == made.run(way, 2)
    assert len(asked) == before
    made.run(way, 3)
    assert len(asked) > before


def test_rows_of_another_model_prompt_setting_or_head_are_others(runs, tmp_path):
    from real_models.searches import Runs, Way

    made, _ = runs
    other = Runs("another", "gsm8k", "test", made.path)
    engine = Runs(made.name, "gsm8k", "test", made.path, "transformers")
    way, hotter = (Way("v", "vote", 60, None, {"temperature": each}) for each in (0.7, 0.9))
    folder = tmp_path / "head"
    folder.mkdir()
    (folder / "q_head.json").write_text("1")
    head = Way("h", "qstar", 60, str(folder), {})
    keys = {
        made.key(way, GSM8K),
        made.key(hotter, GSM8K),
        made.key(way, NANO),
        other.key(way, GSM8K),
        engine.key(way, GSM8K),
        made.key(head, GSM8K),
    }
    (folder / "q_head.json").write_text("2")  # trained anew, in the same place
    assert len(keys | {made.key(head, GSM8K)}) == 7
    assert str(tmp_path) not in str(head.told())


def row(*, right: bool, **values: Any) -> dict[str, Any]:
    return {"right": right, "tokens": 10, "collected": 2, "fallback": False, **values}


def test_a_difference_whose_interval_holds_0_is_undecided():
    import search
    from real_models.searches import Way
    from real_models.ways import REFERENCE

    vote = Way(REFERENCE, "checked_vote", 9, None, {})
    other = Way("qstar", "qstar", 9, None, {})
    wrong, right = [row(right=False)] * 40, [row(right=True)] * 40
    figures = search.figures_of("t", [(vote, wrong), (other, right)])
    assert figures["t_qstar_minus_vote"] == 1.0
    assert not figures["undecided_t_qstar_minus_vote"]
    close = [row(right=n % 2 == 0) for n in range(40)]
    figures = search.figures_of("t", [(vote, close), (other, close[::-1])])
    assert figures["undecided_t_qstar_minus_vote"]
    assert (figures["collected_t_qstar"], figures["questions_t_qstar"]) == (2.0, 40)


def test_without_votes_a_search_is_compared_to_greedy():
    import search
    from real_models.searches import Way

    greedy, other = Way("greedy", "greedy", None, None, {}), Way("qstar", "qstar", 9, None, {})
    figures = search.figures_of(
        "t", [(greedy, [row(right=False)] * 9), (other, [row(right=True)] * 9)]
    )
    assert figures["t_qstar_minus_greedy"] == 1.0
    assert "t_greedy_minus_greedy" not in figures


def test_what_two_engines_did_is_never_in_one_record(monkeypatch, tmp_path):
    import search

    monkeypatch.setattr(search, "RESULTS", tmp_path)
    monkeypatch.setattr(search, "model_file", lambda _: tmp_path)
    monkeypatch.setattr(search, "told", lambda *_: {})

    def recorded(engine, name):
        about = [{"name": name, "task": "t"}]
        search.record(search.POLICY, engine, search.CAP, {name: 1.0}, about)
        return json.loads((tmp_path / "search.json").read_text())["figures"]

    assert recorded("llamacpp", "vote") == {"vote": 1.0}
    assert recorded("llamacpp", "qstar") == {"vote": 1.0, "qstar": 1.0}
    assert recorded("transformers", "qstar") == {"qstar": 1.0}


def test_the_replayed_profile_is_named_after_its_task(tmp_path):
    import search

    from langchain_qstar.evaluation.banks import Asked, Bank, Kept, write_bank
    from langchain_qstar.protocols import Step
    from langchain_qstar.solution import Sample

    text = "1 + 1 = 2\nThe answer is 2.\n"
    kept = Kept(
        Sample(text=text, finish="eos", completion_tokens=9), steps=(Step(text, logprobs=(-0.1,)),)
    )
    bank = Bank({"task": "gsm8k"}, (Asked("q0", "What is 1 + 1?", "2", (kept,) * 4),))
    write_bank(tmp_path / "bank", bank)
    figures = search.replayed_profile(tmp_path / "bank", 1000)
    assert (figures["gsm8k_replayed_vote"], figures["tokens_gsm8k_replayed_path"]) == (1.0, 36.0)
    assert "low_gsm8k_replayed_path_minus_vote" in figures


def test_the_plain_words_have_answers_that_the_task_reads():
    from real_models.searches import WORDS_FILE

    asked = [json.loads(line) for line in WORDS_FILE.read_text("utf-8").splitlines()]
    assert len({each["question"] for each in asked}) == 30
    assert all(GSM8K.right_answer(each["answer"]) == each["answer"] for each in asked)


def test_settings_of_the_judged_searches_are_those_of_the_product():
    from real_models.ways import searching

    from langchain_qstar.settings import QStarSettings

    assert QStarSettings(**searching(1000), max_tokens=1000) == QStarSettings.within(1000)
