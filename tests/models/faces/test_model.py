from __future__ import annotations

import pytest

from langchain_qstar import ChatLocal, LocalLLM, ModelSpecError, SettingsError, resolve_policy

FACES = [ChatLocal, LocalLLM]


@pytest.mark.parametrize("face", FACES)
def test_traces_name_the_model_and_its_settings(scripted, face):
    made = face(scripted("x"), temperature=0.5, stop=["."])
    params = made._get_ls_params(max_tokens=7)
    assert (params["ls_provider"], params["ls_model_name"]) == ("langchain-qstar", "scripted")
    assert params["ls_stop"] == ["."]
    assert made._get_ls_params(stop=["!"])["ls_stop"] == ["!"]
    assert made._identifying_params.items() >= {"model": "scripted", "temperature": 0.5}.items()


@pytest.mark.parametrize("face", FACES)
def test_tokens_are_those_of_the_models_own_tokenizer(scripted, face):
    policy = scripted("x")
    assert face(policy).get_token_ids("One two") == list(policy.codec.encode("One two"))


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"temprature": 1}, SettingsError, "unknown argument 'temprature'"),
        ({"temperature": -1}, SettingsError, "temperature=-1"),
        ({"top_logprobs": 21}, SettingsError, "top_logprobs=21"),
        ({"model": "no-such-model"}, ModelSpecError, "no-such-model"),
    ],
)
def test_what_cannot_be_is_one_line(scripted, face, given, error, says):
    with pytest.raises(error, match=says) as caught:
        face(**{"model": scripted("x"), **given})
    assert "\n" not in str(caught.value)


def test_a_model_without_a_chat_template_is_no_chat_model(llama, make_tokenizer):
    pair = (llama, make_tokenizer(template=None))
    base = resolve_policy(pair)
    with pytest.raises(ModelSpecError, match=r"has no chat template.*use LocalLLM") as caught:
        ChatLocal(pair)
    assert "\n" not in str(caught.value)
    assert LocalLLM(pair, max_tokens=1).invoke("One") is not None
    joined = resolve_policy(pair, chat_template="plain")
    assert ChatLocal(joined, max_tokens=1).invoke("One") is not None
    for each in (base, joined):
        each.close()  # type: ignore[attr-defined]
