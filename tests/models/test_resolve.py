from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from langchain_core.language_models import FakeListChatModel

from langchain_qstar.chains import GreedyChain
from langchain_qstar.errors import MissingExtraError, ModelSpecError, QuestionError
from langchain_qstar.models import ChatModelPolicy, ScriptedPolicy, resolve, resolve_policy
from langchain_qstar.models.resolve import unload_policies
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.tasks import get_task


@pytest.fixture
def folder(tmp_path, llama, make_tokenizer):
    llama.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    yield tmp_path
    unload_policies()


def loaded(spec):
    policy = resolve_policy(spec)
    assert isinstance(policy, TransformersPolicy)
    return policy


def test_a_policy_is_itself():
    policy = ScriptedPolicy({})
    assert resolve_policy(policy) is policy


def test_a_chat_model_is_wrapped():
    assert isinstance(resolve_policy(FakeListChatModel(responses=["x"])), ChatModelPolicy)


def test_a_folder_is_loaded_once_and_shared(folder):
    policy = resolve_policy(str(folder))
    assert resolve_policy(folder) is policy
    assert policy.name == folder.name


def test_a_closed_model_is_loaded_again(folder):
    policy = loaded(folder)
    policy.close()
    assert resolve_policy(folder) is not policy


def test_unloading_closes_models(folder):
    policy = loaded(folder)
    unload_policies()
    assert policy.closed


def test_a_pair_is_wrapped_once(llama, make_tokenizer):
    tokenizer = make_tokenizer()
    policy = loaded((llama, tokenizer))
    shared = resolve_policy((llama, tokenizer)) is policy
    assert shared
    policy.close()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("no-such-folder", "no such folder or name"),
        ("x" * 5000, "no such folder or name"),
        ("", "no such folder or name"),
        ("~nobody-has-this-name/x", "no such folder or name"),
        ("gguf:" + "x" * 5000, "there is no such file"),
        ("hf:", "write hf:ORG/NAME"),
        ("hf:a/b/c", "write hf:ORG/NAME"),
        ("gguf:model.gguf", "there is no such file; write gguf:FILE, or gguf:ORG/NAME:FILE"),
        ("openai:", "write openai:NAME@http://HOST:PORT/v1"),
        ("openai:name@url", "write openai:NAME@http://HOST:PORT/v1"),
        ("openai:name@http:/url", "is no URL"),
        (7, "not understood"),
        (None, "not understood"),
    ],
)
def test_what_is_not_a_model_is_one_line(spec, says):
    with pytest.raises(ModelSpecError, match=says) as caught:
        resolve_policy(spec)
    assert "\n" not in str(caught.value)


def test_a_gguf_file_is_loaded_once_and_shared(tiny_gguf):
    pytest.importorskip("llama_cpp", reason="needs the extra llamacpp")
    spec = f"gguf:{tiny_gguf}"
    policy = resolve_policy(spec)
    assert resolve_policy(spec) is policy
    assert policy.name == "tiny"
    unload_policies()


def test_without_llama_cpp_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(resolve, "find_spec", lambda _: None)
    (tmp_path / "model.gguf").touch()
    with pytest.raises(MissingExtraError, match=r"pip install 'langchain-qstar\[llamacpp\]'"):
        resolve_policy(f"gguf:{tmp_path / 'model.gguf'}")


def test_a_folder_without_a_config_is_no_model(tmp_path):
    with pytest.raises(ModelSpecError, match=r"no config\.json"):
        resolve_policy(tmp_path)


def test_a_hub_model_that_is_not_there_is_one_line():
    with pytest.raises(ModelSpecError, match="cannot load a model") as caught:
        resolve_policy("hf:nobody/nothing")
    assert "\n" not in str(caught.value)


def test_a_missing_bundled_model_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(resolve.BUNDLED, "nano", tmp_path)
    with pytest.raises(ModelSpecError, match="bundled model nano is missing"):
        resolve_policy("nano")


def test_a_missing_extra_names_the_command(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "langchain_qstar.models.transformers.policy")
    with pytest.raises(MissingExtraError, match=r"pip install 'langchain-qstar\[transformers\]'"):
        resolve_policy(folder)


@pytest.fixture
def base_folder(tmp_path, llama, make_tokenizer):
    """Of a model without a chat template."""
    llama.save_pretrained(tmp_path / "base")
    make_tokenizer(template=None).save_pretrained(tmp_path / "base")
    yield tmp_path / "base"
    unload_policies()


def test_a_model_without_a_chat_template_is_one_without_chat_training(base_folder):
    policy = loaded(base_folder)
    assert not policy.chats
    task = replace(get_task("gsm8k"), step_tokens=16)
    chain = GreedyChain(base_folder, task=task, shots=0)
    assert chain.task.messages("Why?") == (("user", "Problem: Why?\nSolution:"),)
    assert chain.invoke("Why?").prompts == "completion (0)"
    with pytest.raises(QuestionError, match=r"show fewer examples \(shots\)"):
        GreedyChain(base_folder, task=task).invoke("Why?")


def test_a_given_chat_template_makes_another_policy(folder):
    text = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (folder / "mine.jinja").write_text(text)
    own, given = resolve_policy(folder), resolve_policy(folder, chat_template=text)
    assert own is not given
    assert resolve_policy(folder, chat_template=str(folder / "mine.jinja")) is given
    assert resolve_policy(folder) is own
    plain = resolve_policy(folder, chat_template="plain")
    assert [getattr(each, "chats", None) for each in (own, given, plain)] == [True, True, False]


def test_a_pair_may_be_given_a_chat_template(llama, make_tokenizer):
    pair = (llama, make_tokenizer())
    own, plain = resolve_policy(pair), resolve_policy(pair, chat_template="plain")
    assert [getattr(each, "chats", None) for each in (own, plain)] == [True, False]
    for each in (own, plain):
        each.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "template", "says"),
    [
        ("nano", "nowhere.jinja", "chat_template='nowhere.jinja': give Jinja text"),
        ("nano", "{% for %}", "the chat template is no Jinja"),
        (ScriptedPolicy({}), "plain", "a chat template is for models by their name"),
        (FakeListChatModel(responses=["x"]), "plain", "a chat template is for models by their"),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_one_line(spec, template, says):
    with pytest.raises(ModelSpecError, match=says) as caught:
        resolve_policy(spec, chat_template=template)
    assert "\n" not in str(caught.value)
