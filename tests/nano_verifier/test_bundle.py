"""The second bundled model: it loads, fits beside nano, and finishes what nano wrote."""

from __future__ import annotations

import hashlib
import json

import pytest

from langchain_qstar.models.resolve import BUNDLED, resolve_policy
from langchain_qstar.protocols import SampleRequest, State, Step
from langchain_qstar.tasks import NANO

FOLDER = BUNDLED["nano-verifier"]
QUESTION = "Ann has 3 boxes with 4 pens each. She gives away 5 pens. How many pens does she have?"


def figures(name):
    return json.loads((BUNDLED[name] / "figures.json").read_text())


def test_it_is_small_and_its_card_names_its_weights():
    assert sum(each.stat().st_size for each in FOLDER.iterdir()) < 6_000_000
    digest = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert digest in (FOLDER / "README.md").read_text()


def test_it_is_of_another_size_and_seed_than_nano_and_about_as_good():
    recipes = [json.loads((BUNDLED[each] / "recipe.json").read_text()) for each in BUNDLED]
    for name in ("hidden", "seed"):
        assert len({recipe[name] for recipe in recipes}) == 2
    assert abs(figures("nano")["greedy"] - figures("nano-verifier")["greedy"]) < 0.05


def test_unmodified_transformers_loads_it():
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER)
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    assert model.config.vocab_size == len(tokenizer)


@pytest.mark.nano
def test_it_finishes_a_solution_that_is_begun():
    pytest.importorskip("torch")
    begun = State(QUESTION, NANO.messages(QUESTION), (Step("The boxes hold 3*4=12 pens.\n"),))
    request = SampleRequest(begun, seeds=(1,), stop=(), max_tokens=64, temperature=0.0)
    ((completion,),) = resolve_policy("nano-verifier").sample([request])
    assert NANO.answer(begun.text + completion.text) == "7"
