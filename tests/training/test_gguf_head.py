"""A head on the hidden states of llama.cpp, from a bank of samples to a search."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("llama_cpp", reason="needs the extra llamacpp")
pytest.importorskip("accelerate", reason="needs the train extra")

from langchain_qstar import QStarChain
from langchain_qstar.errors import ModelSpecError
from langchain_qstar.evaluation.banks import Asked, Bank, Kept
from langchain_qstar.models.llamacpp.export import export_gguf
from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy
from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring.identity import identity_of
from langchain_qstar.scoring.resolve import resolve_scorer
from langchain_qstar.solution import Sample
from langchain_qstar.training.bank_labels import label_bank
from langchain_qstar.training.examples import Example
from langchain_qstar.training.hidden_states import HiddenStates
from langchain_qstar.training.recipe import ValueRecipe
from langchain_qstar.training.value_model import train_value_model

RECIPE = ValueRecipe(kind="linear", epochs=3, batch=4, held_out=0.3)


@pytest.fixture(scope="module")
def file(tmp_path_factory, llama, make_tokenizer):
    """A tiny random Llama, a byte a token."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    llama.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return export_gguf(folder, folder.parent / "tiny.gguf")


@pytest.fixture
def policy(file, monkeypatch):
    """One that shows its last hidden layer only, as llama.cpp does of most architectures."""
    monkeypatch.setattr("langchain_qstar.models.llamacpp.context._EXTRACTING", frozenset())
    made = LlamaCppPolicy(file)
    yield made
    made.close()


def bank(count):
    def kept(text):
        return Kept(Sample(text=text, finish="stop", completion_tokens=len(text)))

    return Bank(
        {"model": "tiny", "task": "sums"},
        tuple(
            Asked(
                str(n),
                f"{n} and 3?",
                str(n + 3),
                (
                    kept(f"{n}+3={n + 3}\nso {n + 3}\n"),
                    kept(f"{n}+3={n + 3}\nso {n + 4}\n"),
                    kept(f"3+{n}={n + 4}\nso {n + 4}\n"),
                ),
            )
            for n in range(count)
        ),
    )


def test_from_a_bank_to_a_search_with_a_head_of_a_gguf_model(policy, sums, tmp_path):
    labels = label_bank(bank(8), policy, sums, tmp_path / "labels.jsonl")
    assert labels.mixed == 8
    head = tmp_path / "head"
    trained = train_value_model(labels, policy, sums, head, RECIPE)
    assert trained.fits
    config = json.loads((head / "q_head.json").read_text())
    assert config["layers"] == [3]
    assert "path_surprises" in config["numeric"]
    scorer = resolve_scorer(head, policy)
    assert scorer is not None
    step = Step("1+3=4\n")
    (scores,) = scorer.score([ScoreRequest(State("1 and 3?", sums.messages("1 and 3?")), (step,))])
    assert 0 <= scores.values[0] <= 1
    chain = QStarChain(policy, str(head), task=sums, settings={"max_pops": 2, "num_samples": 2})
    solution = chain.invoke("2 and 3?")
    assert solution.tree[1].q is not None


def test_log_probabilities_and_hidden_states_of_a_bank_are_read_in_one_pass(policy, sums, tmp_path):
    labels = label_bank(bank(1), policy, sums, tmp_path / "labels.jsonl")
    states = HiddenStates.open(policy, (), None, identity_of(policy))
    before = policy.counters.prefilled
    (question,) = labels.questions
    whole, hidden = states.read(Example(question, sums))
    assert len(hidden) == len(question.steps)
    assert all(step.logprobs for step in whole.labelled.steps)
    prompt = len(policy.path_ids(State(question.question, sums.messages(question.question))))
    distinct = prompt + sum(len(step.token_ids or ()) for step in question.steps)
    assert policy.counters.prefilled - before <= distinct


def test_layers_that_llama_cpp_does_not_show_are_refused_in_one_line(policy, sums, tmp_path):
    labels = label_bank(bank(4), policy, sums, tmp_path / "labels.jsonl")
    recipe = ValueRecipe(layers=(1,))
    with pytest.raises(ModelSpecError, match=r"shows hidden layer 3 of llama only, not \[1\]"):
        train_value_model(labels, policy, sums, tmp_path / "head", recipe)
