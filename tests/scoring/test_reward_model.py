"""Each family's convention on a tiny random model, against a plain forward pass of one text."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the transformers extra")

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForTokenClassification,
)

from langchain_qstar.errors import ModelError, ModelSpecError
from langchain_qstar.models.engine.control_tokens import control_tokens_of
from langchain_qstar.protocols import ScoreRequest, State, Step, StepScorer
from langchain_qstar.scoring.resolve import resolve_scorer
from langchain_qstar.scoring.reward_formats import EXTRA
from langchain_qstar.scoring.reward_model import OutcomeRewardScorer, ProcessRewardScorer

QUESTION = "What is 2+3?"
# What `requests` asks about, step by step.
TEXTS = [["2+3=5"], ["2*3=6, I think"], ["2+3=5", "The answer is 5."]]


def flat(scores):
    return [value for each in scores for value in each.values]


@pytest.fixture
def saved(tmp_path, tokenizer):
    """Saves a model with its tokenizer, and more tensors beside its own."""

    def save(model, **more):
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        path = tmp_path / "model.safetensors"
        if more:
            save_file(load_file(path) | more, path, metadata={"format": "pt"})
        return tmp_path

    return save


def forward(model, text, tokenizer, **options):
    ids = tokenizer(text, return_tensors="pt", **options)["input_ids"]
    with torch.inference_mode():
        return ids[0].tolist(), model(input_ids=ids, output_hidden_states=True)


def test_math_shepherd_reads_plus_against_minus_at_the_tag(tiny, tokenizer, requests):
    model = tiny(MistralForCausalLM, MistralConfig)
    good, bad = (tokenizer.convert_tokens_to_ids(sign) for sign in "+-")
    expected = []
    for steps in TEXTS:
        text = QUESTION + " " + "\n".join(f"{step} ки" for step in steps)
        ids, output = forward(model, text, tokenizer)
        tags = [n for n, token in enumerate(ids) if token == tokenizer.convert_tokens_to_ids("ки")]
        assert len(tags) == len(steps)
        expected.append(float(output.logits[0, tags[-1], [good, bad]].softmax(-1)[0]))
    scorer = ProcessRewardScorer(model, tokenizer, "math-shepherd")
    scores = scorer.score(requests)
    assert flat(scores) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == 3
    assert scores[0].generated_tokens == 0
    assert scores[1].read_tokens == len(ids)
    assert isinstance(scorer, StepScorer)


@pytest.mark.parametrize("family", ["math-shepherd", "rlhflow"])
def test_what_spells_a_control_token_in_a_text_is_none(tiny, tokenizer, family):
    scorer = ProcessRewardScorer(tiny(LlamaForCausalLM, LlamaConfig), tokenizer, family)
    (name, *_) = control_tokens_of(tokenizer)
    token = tokenizer.convert_tokens_to_ids(name)

    def found(text: str) -> int:
        return scorer._encode(State(f"q{text}"), Step(f"s{text}\n"))[0].count(token)

    assert found(f" {name} {EXTRA} ") == found("")


def test_rlhflow_reads_plus_against_minus_where_the_assistant_would_say_it(
    tiny, tokenizer, requests
):
    model = tiny(LlamaForCausalLM, LlamaConfig)
    good, bad = (tokenizer.convert_tokens_to_ids(sign) for sign in "+-")
    expected = []
    for steps in TEXTS:
        chat = [{"role": "user", "content": f"{QUESTION} {steps[0]}"}]
        for step in steps[1:]:
            chat += [{"role": "assistant", "content": "+"}, {"role": "user", "content": step}]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        _, output = forward(model, text, tokenizer, add_special_tokens=False)
        expected.append(float(output.logits[0, -1, [good, bad]].softmax(-1)[0]))
    scores = ProcessRewardScorer(model, tokenizer, "rlhflow").score(requests)
    assert flat(scores) == pytest.approx(expected, abs=1e-5)


def test_skywork_reads_its_value_head_at_the_end_of_a_step(tiny, tokenizer, requests, saved):
    model = tiny(Qwen2ForCausalLM, Qwen2Config)
    head = torch.nn.Linear(16, 1)
    folder = saved(
        model, **{"v_head.summary.weight": head.weight, "v_head.summary.bias": head.bias}
    )
    expected = []
    for steps in TEXTS:
        text = f"<|start|>{QUESTION}\n" + "".join(f"{step}\n" for step in steps)
        _, output = forward(model, text, tokenizer, add_special_tokens=False)
        with torch.inference_mode():
            expected.append(float(torch.sigmoid(head(output.hidden_states[-1][0, -1]))))
    scorer = ProcessRewardScorer.from_pretrained("skywork", str(folder))
    assert flat(scorer.score(requests)) == pytest.approx(expected, abs=1e-5)


def test_qwen_reads_its_classifier_at_the_extra_token(tiny, tokenizer, requests, saved):
    model = tiny(Qwen2ForCausalLM, Qwen2Config)
    head = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    folder = saved(model, **{f"score.{name}": value for name, value in head.state_dict().items()})
    expected = []
    for steps in TEXTS:
        chat = [
            {
                "role": "system",
                "content": "Please reason step by step, and put your final answer "
                "within \\boxed{}.",
            },
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
        ]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        ids, output = forward(model, text, tokenizer, add_special_tokens=False)
        place = max(
            n for n, t in enumerate(ids) if t == tokenizer.convert_tokens_to_ids("<extra_0>")
        )
        with torch.inference_mode():
            expected.append(float(head(output.hidden_states[-1][0, place]).softmax(-1)[1]))
    scorer = resolve_scorer(f"prm:qwen:{folder}", None)  # type: ignore[arg-type]
    assert scorer is not None
    assert flat(scorer.score(requests)) == pytest.approx(expected, abs=1e-5)


def test_trl_reads_its_token_classes_at_the_separator(tiny, tokenizer, requests, saved):
    model = tiny(Qwen2ForTokenClassification, Qwen2Config, num_labels=2)
    expected = []
    for steps in TEXTS:
        ids = [tokenizer.bos_token_id, *tokenizer.encode(QUESTION, add_special_tokens=False)]
        for step in steps:
            ids += tokenizer.encode(step, add_special_tokens=False)
            ids += tokenizer.encode("\n", add_special_tokens=False)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits
        expected.append(float(logits[0, -1].softmax(-1)[1]))
    scorer = ProcessRewardScorer.from_pretrained("trl", str(saved(model)))
    assert flat(scorer.score(requests)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("labels", [1, 2])
def test_an_outcome_model_reads_the_solution_so_far(tiny, tokenizer, requests, saved, labels):
    model = tiny(LlamaForSequenceClassification, LlamaConfig, num_labels=labels)
    expected = []
    for steps in TEXTS:
        chat = [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": "\n".join(steps)},
        ]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        _, output = forward(model, text, tokenizer, add_special_tokens=False)
        logits = output.logits[0]
        expected.append(float(logits.softmax(-1)[1] if labels == 2 else torch.sigmoid(logits[0])))
    scorer = resolve_scorer(f"orm:{saved(model)}", None)  # type: ignore[arg-type]
    assert scorer is not None
    assert flat(scorer.score(requests)) == pytest.approx(expected, abs=1e-5)


def test_an_encoder_judges_outcomes_too(tokenizer, requests):
    torch.manual_seed(3)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes |= {"vocab_size": len(tokenizer), "num_attention_heads": 2, "num_labels": 1}
    sizes |= {"initializer_range": 0.4}
    config = BertConfig(**sizes)
    model = BertForSequenceClassification(config).eval()
    together = OutcomeRewardScorer(model, tokenizer).score(requests)
    alone = [OutcomeRewardScorer(model, tokenizer).score([each]) for each in requests]
    assert flat(together) == pytest.approx([v for each in alone for v in flat(each)], abs=1e-5)


async def test_one_batch_gives_what_each_text_alone_gives(tiny, tokenizer, requests):
    scorer = ProcessRewardScorer(tiny(LlamaForCausalLM, LlamaConfig), tokenizer, "math-shepherd")
    alone = [scorer.score([ScoreRequest(r.state, (s,))])[0] for r in requests for s in r.steps]
    assert flat(await scorer.ascore(requests)) == pytest.approx(flat(alone), abs=1e-5)


def test_a_text_that_does_not_fit_the_window_scores_0(tiny, tokenizer):
    scorer = ProcessRewardScorer(tiny(LlamaForCausalLM, LlamaConfig), tokenizer, "math-shepherd")
    request = ScoreRequest(State("?"), (Step("x" * 500), Step("1+1=2")))
    long, short = scorer.score([request])[0].values
    assert long == 0.0
    assert short > 0.0


def test_a_model_of_another_family_is_refused(tiny, tokenizer, saved, requests):
    folder = str(saved(tiny(Qwen2ForCausalLM, Qwen2Config)))
    with pytest.raises(ModelSpecError, match="holds no v_head"):
        ProcessRewardScorer.from_pretrained("skywork", folder)
    with pytest.raises(ModelSpecError, match="holds no score"):
        ProcessRewardScorer.from_pretrained("qwen", folder)
    with pytest.raises(ModelSpecError, match="unknown family 'oracle'; choose one of"):
        ProcessRewardScorer.from_pretrained("oracle", folder)
    with pytest.raises(ModelSpecError, match="needs its head"):
        ProcessRewardScorer(tiny(Qwen2ForCausalLM, Qwen2Config), tokenizer, "qwen")


def test_a_folder_that_holds_nothing_is_one_line(tmp_path):
    with pytest.raises(ModelSpecError, match="cannot load a reward model") as caught:
        ProcessRewardScorer.from_pretrained("trl", str(tmp_path))
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelSpecError, match="write prm:FAMILY:FOLDER"):
        resolve_scorer("prm:qwen", None)  # type: ignore[arg-type]


def test_a_model_that_fails_is_a_model_error(tiny, tokenizer, requests):
    model = tiny(LlamaForCausalLM, LlamaConfig)
    model.forward = lambda **_: (_ for _ in ()).throw(RuntimeError("out of memory"))
    with pytest.raises(ModelError, match="out of memory"):
        ProcessRewardScorer(model, tokenizer, "math-shepherd").score(requests)
