"""From what users write for `policy=` to a policy. The only place that does so."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from langchain_qstar.errors import MissingExtraError, ModelSpecError
from langchain_qstar.models.chat_template import template_text
from langchain_qstar.models.remaking import key_of_environment
from langchain_qstar.protocols import Policy
from langchain_qstar.rendering import without_credentials

if TYPE_CHECKING:
    from langchain_qstar.models.engine.policy import LocalPolicy
    from langchain_qstar.models.remote.policy import RemotePolicy
    from langchain_qstar.models.transformers.policy import TransformersPolicy

NANO_FOLDER: Final = Path(__file__).parent.parent / "nano"
"""Where the bundled model lies."""

BUNDLED: Final = {
    "nano": NANO_FOLDER,
    "nano-verifier": Path(__file__).parent.parent / "nano_verifier",
}
"""The models that ship with the package, by name."""

_KNOWN: Final = (
    '"nano", "nano-verifier", "hf:ORG/NAME", a folder, "gguf:FILE", "gguf:ORG/NAME:FILE", '
    '"openai:NAME@URL", a (model, tokenizer) pair, a LangChain chat model or a Policy'
)
_loaded: dict[tuple[str, str | None, str | None], LocalPolicy | RemotePolicy] = {}
_wrapped: WeakValueDictionary[tuple[int, int, str | None], TransformersPolicy] = (
    WeakValueDictionary()
)
_inherited: list[Any] = []
_lock = threading.Lock()


def _begin_anew() -> None:
    """In a process that was forked: models by name are loaded there, since no thread came along."""
    global _lock  # noqa: PLW0603  # it may be held for ever
    _lock = threading.Lock()
    # Kept, since to free what has threads waits for them.
    _inherited.extend([*_loaded.values(), *_wrapped.values()])
    _loaded.clear()
    _wrapped.clear()
    if _inherited and (torch := sys.modules.get("torch")):
        torch.set_num_threads(1)  # OpenMP waits for ever for the threads of the other process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _tell_of_fork() -> None:
    """Say that a model which is loaded in a forked process has one thread of the CPU."""
    if _inherited:
        warnings.warn(
            "this process was forked after a model had run, and OpenMP does not survive that: "
            'models run on one CPU thread here. Start processes with the method "spawn" or '
            '"forkserver", or load the first model after the fork',
            stacklevel=2,
        )


def resolve_policy(
    spec: Any, *, revision: str | None = None, chat_template: str | Path | None = None
) -> Policy:
    """The policy that `spec` means.

    Models loaded by name or folder stay loaded and are shared by everyone who
    names them again, until `unload_policies`.

    Args:
        spec: `"nano"` or `"nano-verifier"`, the bundled models; `"hf:ORG/NAME"`, a model of the
            Hugging Face hub; a folder in its format; `"gguf:FILE"` or
            `"gguf:ORG/NAME:FILE"`, a model for llama.cpp on disk or on the
            hub; `"openai:NAME@URL"`, a model behind an OpenAI-compatible
            server, or `URL,URL` behind several; a loaded `(model, tokenizer)`
            pair; a LangChain chat model; or a `Policy`, which is returned as
            it is.
        revision: Branch, tag or commit of a hub model.
        chat_template: Of a model by its name or a pair, instead of its own: Jinja text, a
            file of it, a model's folder, or `"plain"`, which joins messages as text for a
            model without chat training. A model that has none is taken for such a one.

    Raises:
        ModelSpecError: `spec` is not understood, nothing loads from it, or the chat template
            is none or cannot be used with it.
        ModelError: No server answers at the URL.
        MissingExtraError: It needs a package that is not installed.
    """
    template = None if chat_template is None else template_text(chat_template)
    if isinstance(spec, (str, Path)):
        return _named(str(spec), revision, template)
    if isinstance(spec, tuple) and len(spec) == 2:
        return _pair(*spec, template)
    if template is not None:
        raise ModelSpecError(
            "a chat template is for models by their name; give it to the policy when it is made"
        )
    if isinstance(spec, Policy):
        return spec
    from langchain_core.language_models import BaseChatModel

    if isinstance(spec, BaseChatModel):
        from langchain_qstar.models.chat import ChatModelPolicy

        return ChatModelPolicy(spec)
    raise ModelSpecError(f"policy={spec!r:.60} is not understood; give {_KNOWN}")


def unload_policies() -> None:
    """Close every model that was loaded by name or folder."""
    with _lock:
        policies = list(_loaded.values())
        _loaded.clear()
    for policy in policies:
        policy.close()


def served(
    spec: str, *, api_key: str | None = None, chat_template: str | Path | None = None
) -> Policy:
    """The policy of `"openai:NAME@URL"`; connected once, and shared like a loaded model.

    Args:
        spec: NAME as the server lists it; several URLs, joined by commas, are
            servers of the same model.
        api_key: What the server wants to see, if anything.
        chat_template: As for `RemotePolicy.connect`.

    Raises:
        ModelSpecError: `spec` is not of this form, or the server has another model.
        ModelError: No server answers.
        MissingExtraError: The extra `remote` is not installed.
    """
    name, _, urls = spec.removeprefix("openai:").partition("@http")
    if not (name and urls):
        raise ModelSpecError(
            f"policy={without_credentials(spec)!r:.200}: write openai:NAME@http://HOST:PORT/v1"
        )
    from langchain_qstar.models.remote.policy import RemotePolicy

    where = f"http{urls}".split(",")
    template = None if chat_template is None else template_text(chat_template)
    policy = _shared(
        (spec, api_key, template),
        lambda: RemotePolicy.connect(name, where, api_key=api_key, chat_template=template),
    )
    if without_credentials(spec) == spec:
        policy.remember(_served_again, spec, bool(api_key), template)
    return policy


def _served_again(spec: str, had_key: bool, template: str | None) -> Policy:  # noqa: FBT001
    key = key_of_environment() if had_key else None
    return served(spec, api_key=key, chat_template=template)


def _named(spec: str, revision: str | None, template: str | None) -> Policy:
    if spec.startswith("gguf:"):
        policy = _shared((spec, revision, template), lambda: _gguf(spec, revision, template))
        return policy.remember(_named, spec, revision, template)
    if spec.startswith("openai:"):
        return served(spec, chat_template=template)
    source, name = _source(spec)
    if spec not in BUNDLED:  # which have one thread anyway
        _tell_of_fork()
    policy = _shared(
        (source, revision, template),
        lambda: _transformers().from_pretrained(
            source, revision=revision, name=name, chat_template=template
        ),
    )
    return policy.remember(_named, spec, revision, template)


def _shared(
    key: tuple[str, str | None, str | None], load: Callable[[], LocalPolicy | RemotePolicy]
) -> LocalPolicy | RemotePolicy:
    """The policy that was loaded so before, or is now.

    Args:
        key: Where it is from, its revision or the key of its server, its chat template.
        load: Loads it.
    """
    with _lock:
        policy = _loaded.get(key)
        if policy is None or policy.closed:
            policy = _loaded[key] = load()
    return policy


def _gguf(spec: str, revision: str | None, template: str | None) -> LocalPolicy:
    from langchain_qstar.models.llamacpp.hub import gguf_file

    file = gguf_file(spec.removeprefix("gguf:"), revision)
    if find_spec("llama_cpp") is None:
        raise MissingExtraError("llama-cpp-python", "llamacpp")
    from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy

    return LlamaCppPolicy(file, chat_template=template)


def _source(spec: str) -> tuple[str, str]:
    """Where a named model lies, and what to call it in reports."""
    kind, _, rest = spec.partition(":")
    if spec in BUNDLED:
        if not (BUNDLED[spec] / "config.json").is_file():
            raise ModelSpecError(
                f"the bundled model {spec} is missing; install langchain-qstar again"
            )
        return str(BUNDLED[spec]), spec
    if kind == "hf":
        if not rest or rest.startswith("/") or rest.count("/") > 1:
            raise ModelSpecError(f"policy={spec!r:.200}: write hf:ORG/NAME")
        return rest, spec
    folder = _folder(spec)
    if folder is None:
        raise ModelSpecError(f"policy={spec!r:.200}: no such folder or name; give {_KNOWN}")
    if not (folder / "config.json").is_file():
        raise ModelSpecError(f"policy={spec!r:.200}: the folder holds no config.json of a model")
    return str(folder.resolve()), folder.resolve().name


def _folder(spec: str) -> Path | None:
    """The folder of that name, None where there is none or the name can be none."""
    try:
        folder = Path(spec).expanduser()
        return folder if spec and folder.is_dir() else None
    except (OSError, RuntimeError):  # too long a name, or the home of nobody
        return None


def _pair(model: Any, tokenizer: Any, template: str | None) -> Policy:
    key = (id(model), id(tokenizer), template)
    with _lock:
        policy = _wrapped.get(key)
        # A live entry keeps its model alive, so its id still means that model.
        if policy is None or policy.closed:
            policy = _transformers()(model, tokenizer, chat_template=template)
            _wrapped[key] = policy
    return policy


def _transformers() -> type[TransformersPolicy]:
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "transformers")
    from langchain_qstar.models.transformers.policy import TransformersPolicy

    return TransformersPolicy
