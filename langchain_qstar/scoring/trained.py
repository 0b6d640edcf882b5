"""A trained Q-value model from its folder: a head on the policy, or on a model of its own.

`q_head.json` says what is below the head, as `backbone`:

- absent: the policy's own hidden states;
- `{"kind": "lora", "base": SPEC}`: the policy's weights with the PEFT adapter of the
  folder. The adapter changes keys and values from the first token on, so this model
  has a cache of its own;
- `{"kind": "model"}`: the language model of the folder, with its own tokenizer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import MissingExtraError, ModelSpecError
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.protocols import Policy
from langchain_qstar.scoring.identity import difference, identity_of
from langchain_qstar.scoring.q_head import Head, HeadScorer

LORA: Final = "lora"
MODEL: Final = "model"


def load_value_model(policy: Policy, folder: Path, name: str) -> HeadScorer:
    """The scorer of a folder with a head, for the steps of `policy`.

    Raises:
        ModelSpecError: The folder cannot be loaded, or was trained on another policy.
        MissingExtraError: It holds an adapter and PEFT is not installed.
    """
    config = Head(folder).config
    backbone = config.get("backbone") or {}
    _check_policy(policy, config, folder)
    match backbone.get("kind"):
        case None:
            return HeadScorer(policy, folder, name)
        case "lora":
            return HeadScorer(_adapted(folder, backbone, name), folder, name, writer=policy)
        case "model":
            own = TransformersPolicy.from_pretrained(folder, name=name)
            return HeadScorer(own, folder, name, texts_only=True, writer=policy)
        case kind:
            raise ModelSpecError(f"the Q head in {folder} stands on an unknown {kind!r}")


def pretrained_source(spec: str) -> str:
    """What transformers calls the model that `"nano"`, `"hf:ORG/NAME"` or a folder means."""
    return str(NANO_FOLDER) if spec == "nano" else spec.removeprefix("hf:")


def load_causal_model(spec: str) -> tuple[Any, Any]:
    """A language model for training or adapting, in float32 on the CPU, and its tokenizer.

    Raises:
        ModelSpecError: Nothing there, or what is there cannot be loaded.
    """
    import torch
    import transformers

    source = pretrained_source(spec)
    local = Path(source).is_dir()
    logging: Any = transformers.utils.logging
    if local:  # standard error belongs to our own progress
        logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=local)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32, local_files_only=local
        )
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelSpecError(f"cannot load a model from {spec}: {reason}") from error
    finally:
        logging.enable_progress_bar()
    return model, tokenizer


def _check_policy(policy: Policy, config: dict[str, Any], folder: Path) -> None:
    """Before any work: the policy must be the one that the head was trained on."""
    known = config.get("policy")
    # A value model of its own lies beside its head too; that is not the policy.
    hashed = config.get("model_sha256") and (folder / "model.safetensors").is_file()
    if not known or hashed:
        return
    other = difference(identity_of(policy), known)
    if other:
        raise ModelSpecError(
            f"the Q head in {folder} was trained on another policy; it differs in {other}"
        )


def _adapted(folder: Path, backbone: dict[str, Any], name: str) -> TransformersPolicy:
    try:
        from peft import PeftModel
    except ImportError:
        raise MissingExtraError("peft", "train") from None
    model, tokenizer = load_causal_model(backbone["base"])
    try:
        merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelSpecError(f"cannot load an adapter from {folder}: {reason}") from error
    return TransformersPolicy(merged, tokenizer, name=name)
