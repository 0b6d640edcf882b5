"""Reward models of the Hugging Face hub as scorers of steps.

`ProcessRewardScorer` judges the last step of a state, by one of the public families
(`reward_formats.py`); `OutcomeRewardScorer` judges the text so far as a whole. Both
read each text once, many of them in one padded batch on the right, and cut no text:
one that does not fit the model's window scores 0.

Code that comes with a model is never run; the value heads and classifiers that some
families add are read from their safetensors files.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import MissingExtraError, ModelError, ModelSpecError
from langchain_qstar.models.engine.control_tokens import ControlTokens, control_tokens_of
from langchain_qstar.protocols import ScoreRequest, Scores, State, Step
from langchain_qstar.scoring.reward_formats import (
    EXTRA,
    FORMATS,
    Encoded,
    RewardFormat,
    plus_and_minus,
)

try:
    import torch
    import transformers
    from safetensors import safe_open
    from torch import Tensor
except ImportError as error:
    raise MissingExtraError(error.name or "torch", "transformers") from error

_BATCH_TOKENS: Final = 8192
"""Most padded tokens of one forward pass."""


class _ReadingScorer(ABC):
    """Reads a text for every step, in batches, and takes a value from each."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        model.eval()
        self._model = model
        self._tokenizer = tokenizer
        self._name = name
        # What spells one in a question or a step would stand where a verdict is read.
        self._controls = ControlTokens([*control_tokens_of(tokenizer), EXTRA])
        # Fast tokenizers and models are not made for two threads at a time.
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """A short name for reports."""
        return self._name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all candidates of all requests as one batch.

        Raises:
            ModelError: The model failed.
        """
        with self._lock:
            try:
                return self._score(requests)
            except (RuntimeError, IndexError) as error:
                raise ModelError(f"the scorer {self._name} failed: {error}") from error

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, in a thread."""
        return await asyncio.to_thread(self.score, requests)

    def _score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        encoded = [self._encode(r.state, step) for r in requests for step in r.steps]
        values = [0.0] * len(encoded)
        with torch.inference_mode():
            for numbers in self._batches(encoded):
                read = self._values([encoded[number] for number in numbers])
                for number, value in zip(numbers, read, strict=True):
                    values[number] = value
        rest = iter(zip(values, encoded, strict=True))
        return [_scores([next(rest) for _ in request.steps]) for request in requests]

    def _batches(self, encoded: Sequence[Encoded]) -> Iterator[list[int]]:
        """Numbers of texts of like length; those that do not fit the window are left out."""
        window = getattr(self._model.config, "max_position_embeddings", None)
        batch: list[int] = []
        for number in sorted(range(len(encoded)), key=lambda n: len(encoded[n][0])):
            length = len(encoded[number][0])
            if window is not None and length > window:
                break
            if batch and length * (len(batch) + 1) > _BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _padded(self, encoded: Sequence[Encoded]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Model inputs, and the rows and columns of the positions."""
        longest = max(len(ids) for ids, _ in encoded)
        device = self._model.device
        ids = torch.zeros(len(encoded), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (each, _) in enumerate(encoded):
            ids[row, : len(each)] = torch.tensor(each)
            mask[row, : len(each)] = 1
        inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        columns = torch.tensor([place for _, place in encoded], device=device)
        return inputs, torch.arange(len(encoded), device=device), columns

    @abstractmethod
    def _encode(self, state: State, step: Step) -> Encoded: ...

    @abstractmethod
    def _values(self, encoded: Sequence[Encoded]) -> list[float]: ...


class ProcessRewardScorer(_ReadingScorer):
    """A process reward model of a public family: r(state, step) in [0, 1]."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        family: str,
        *,
        head: Callable[[Tensor], Tensor] | None = None,
        name: str | None = None,
    ) -> None:
        """Wrap a loaded model.

        Args:
            model: For `math-shepherd` and `rlhflow` a causal LM, for `skywork` and
                `qwen` a model that gives hidden states, for `trl` a token classifier.
            tokenizer: Its tokenizer.
            family: A key of `FORMATS`.
            head: For `skywork` and `qwen`: hidden states [n, d] -> logits [n] or [n, 2].
            name: For reports.

        Raises:
            ModelSpecError: The family is unknown, or it needs a head and there is none.
        """
        super().__init__(model, tokenizer, name or f"prm:{family}")
        self._format: RewardFormat = _format(family)
        if self._format.readout in ("value-head", "two-classes") and head is None:
            raise ModelSpecError(f"a {family} model needs its head: load it with from_pretrained")
        self._head = head

    @classmethod
    def from_pretrained(
        cls, family: str, source: str, *, device: str | None = None, dtype: Any = None
    ) -> ProcessRewardScorer:
        """Load a folder or `ORG/NAME` of the hub.

        Args:
            family: A key of `FORMATS`.
            source: Where the model lies.
            device: Default: a GPU when there is one, else the CPU.
            dtype: Default: float32 on the CPU, the stored type elsewhere.

        Raises:
            ModelSpecError: Nothing there, or what is there is of another family.
        """
        readout = _format(family).readout
        kinds = {
            "next-token": transformers.AutoModelForCausalLM,
            "token-classes": transformers.AutoModelForTokenClassification,
        }
        model, tokenizer = _loaded(
            kinds.get(readout, transformers.AutoModel), source, device, dtype
        )
        head = None
        if readout == "value-head":
            head = _value_head(source, model)
        elif readout == "two-classes":
            head = _classifier(source, model)
        return cls(model, tokenizer, family, head=head, name=f"prm:{family}:{Path(source).name}")

    def _encode(self, state: State, step: Step) -> Encoded:
        foreign = self._controls.spaced
        texts = [foreign(each.text.strip()) for each in (*state.steps, step)]
        question = foreign(state.question)
        return self._format.encode(self._tokenizer, question, [t for t in texts if t])

    def _values(self, encoded: Sequence[Encoded]) -> list[float]:
        inputs, rows, columns = self._padded(encoded)
        if self._head is not None:
            hidden = self._model(**inputs).last_hidden_state[rows, columns]
            return _probabilities(self._head(hidden))
        logits = self._model(**inputs).logits[rows, columns]
        if self._format.readout == "next-token":
            plus, minus = plus_and_minus(self._tokenizer)
            logits = logits[:, [minus, plus]]
        return _probabilities(logits)


class OutcomeRewardScorer(_ReadingScorer):
    """A reward model of whole solutions (sequence classification), asked of every prefix.

    Its verdict on an unfinished solution is only as good as its training made it.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "orm") -> None:
        """Wrap a loaded sequence classifier of one label (a reward) or two (wrong, right)."""
        super().__init__(model, tokenizer, name)

    @classmethod
    def from_pretrained(
        cls, source: str, *, device: str | None = None, dtype: Any = None
    ) -> OutcomeRewardScorer:
        """Load a folder or `ORG/NAME` of the hub.

        Args:
            source: Where the model lies.
            device: Default: a GPU when there is one, else the CPU.
            dtype: Default: float32 on the CPU, the stored type elsewhere.

        Raises:
            ModelSpecError: Nothing there, or it cannot be loaded.
        """
        kind = transformers.AutoModelForSequenceClassification
        model, tokenizer = _loaded(kind, source, device, dtype)
        return cls(model, tokenizer, name=f"orm:{Path(source).name}")

    def _encode(self, state: State, step: Step) -> Encoded:
        answer = self._controls.spaced(state.then(step).text.strip())
        question = self._controls.spaced(state.question)
        if getattr(self._tokenizer, "chat_template", None):
            chat = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
            text = self._tokenizer.apply_chat_template(chat, tokenize=False)
            ids = self._tokenizer.encode(text, add_special_tokens=False)
        else:
            ids = self._tokenizer.encode(f"{question}\n\n{answer}")
        return list(ids), len(ids) - 1

    def _values(self, encoded: Sequence[Encoded]) -> list[float]:
        inputs, rows, columns = self._padded(encoded)
        if not hasattr(self._model, "score"):  # an encoder, which reads its first token
            return _probabilities(self._model(**inputs).logits)
        # A decoder looks for its last token by the padding id, which some do not have.
        hidden = self._model.base_model(**inputs).last_hidden_state[rows, columns]
        return _probabilities(self._model.score(hidden))


def _probabilities(logits: Tensor) -> list[float]:
    """[n] or [n, 1] through a sigmoid, or the second of [n, 2] through a softmax."""
    logits = logits.float()
    if logits.ndim == 2 and logits.shape[1] == 2:
        values = logits.softmax(dim=-1)[:, 1]
    else:
        values = torch.sigmoid(logits.reshape(len(logits)))
    found: list[float] = values.tolist()
    return found


def _scores(read: Sequence[tuple[float, Encoded]]) -> Scores:
    tokens = sum(len(ids) for _, (ids, _) in read)
    return Scores(tuple(value for value, _ in read), read_tokens=tokens)


def _format(family: str) -> RewardFormat:
    if family not in FORMATS:
        raise ModelSpecError(f"unknown family {family!r}; choose one of: {', '.join(FORMATS)}")
    return FORMATS[family]


def _loaded(kind: Any, source: str, device: str | None, dtype: Any) -> tuple[Any, Any]:
    local = Path(source).is_dir()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or (torch.float32 if device == "cpu" else "auto")
    options = {"local_files_only": local, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        model = kind.from_pretrained(source, dtype=dtype, **options)
    except Exception as error:
        # Loaders raise anything from OSError to SafetensorError on bad files.
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelSpecError(f"cannot load a reward model from {source}: {reason}") from error
    return model.to(device), tokenizer


def _value_head(source: str, model: Any) -> Callable[[Tensor], Tensor]:
    """Skywork's `v_head.summary`: a linear map to one value."""
    found = _extra_tensors(source, "v_head.")
    weight = found.get("v_head.summary.weight")
    if weight is None:
        raise ModelSpecError(f"{source} holds no v_head: the model is of another family")
    bias = found.get("v_head.summary.bias", torch.zeros(1))
    weight, bias = (each.to(model.device).float() for each in (weight, bias))
    return lambda hidden: (hidden.float() @ weight.T + bias)[:, 0]


def _classifier(source: str, model: Any) -> Callable[[Tensor], Tensor]:
    """Qwen's `score`: two layers with a ReLU between them."""
    found = _extra_tensors(source, "score.")
    names = [f"score.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")]
    if not set(names) <= set(found):
        raise ModelSpecError(f"{source} holds no score of two layers: it is of another family")
    w0, b0, w2, b2 = (found[name].to(model.device).float() for name in names)
    return lambda hidden: torch.relu(hidden.float() @ w0.T + b0) @ w2.T + b2


def _extra_tensors(source: str, prefix: str) -> dict[str, Tensor]:
    """The tensors of that prefix, from all safetensors files of a folder or hub model."""
    folder = Path(source)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(source, allow_patterns=["*.safetensors"]))
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found |= {n: file.get_tensor(n) for n in file.keys() if n.startswith(prefix)}  # noqa: SIM118
    return found
