from __future__ import annotations

import pytest

from langchain_qstar import LocalLLM, QuestionError, SettingsError


@pytest.fixture
def llm(scripted):
    def make(reply, **settings):
        return LocalLLM(scripted(reply), **settings)

    return make


def backend_of(model):
    return model._policy._backend


def test_it_continues_bare_text(llm):
    model = llm(" jumps.")
    assert model.invoke("The fox") == " jumps."
    assert backend_of(model).prompts == ["The fox"]


def test_all_prompts_of_a_batch_are_one_submission(llm):
    model = llm(lambda prompt: f"{prompt} again and again")
    prompts = [f"Text {number}" for number in range(9)]
    assert model.batch(prompts) == [f"{prompt} again and again" for prompt in prompts]
    assert set(backend_of(model).widths) == {9}


async def test_so_are_those_of_abatch(llm):
    model = llm("x y z")
    assert await model.abatch(["a", "b", "c"]) == ["x y z"] * 3
    assert set(backend_of(model).widths) == {3}


def test_usage_and_ends_are_reported(llm):
    result = llm("One. Two", n=2, stop=["."], logprobs=True).generate(["Count", "Count more"])
    first = result.generations[0]
    assert [each.text for each in first] == ["One", "One"]
    assert first[0].generation_info["finish_reason"] == "stop"
    assert [t["token"] for t in first[0].generation_info["logprobs"]["content"]] != []
    usage = result.llm_output["token_usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert result.llm_output["model_name"] == "scripted"


async def test_streams_are_what_is_generated(llm):
    model = llm("One, two. Three", stop=["."])
    chunks = list(model.stream("Count"))
    assert "".join(chunks) == model.invoke("Count") == "One, two"
    assert len(chunks) > 2
    assert [chunk async for chunk in model.astream("Count")] == chunks


def test_a_grammar_is_followed(llm):
    assert llm("maybe", grammar='root ::= "yes" | "no"').invoke("?") in {"yes", "no"}


def test_bad_input_is_told_in_one_line(llm):
    with pytest.raises(QuestionError, match="the prompt is empty"):
        llm("x").invoke("")
    with pytest.raises(SettingsError, match="unknown argument 'tempo'"):
        llm("x", tempo=1)
    with pytest.raises(SettingsError, match="n=2: one answer"):
        list(llm("x", n=2).stream("?"))


def test_a_run_in_a_trace_says_what_ran(llm):
    model = llm("x", temperature=0.5)
    params = model._get_ls_params()
    assert (params["ls_provider"], params["ls_model_name"]) == ("langchain-qstar", "scripted")
    assert model._identifying_params["temperature"] == 0.5


@pytest.mark.nano
def test_nano_writes_on():
    model = LocalLLM("nano", temperature=0, max_tokens=12)
    text = model.invoke("Tom has 4*6=")
    assert "".join(model.stream("Tom has 4*6=")) == text
    assert len(text) > 3
