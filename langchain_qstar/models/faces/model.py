"""What both faces are: a local model with settings, and how it is called in traces."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models.base import LangSmithParams
from pydantic import PrivateAttr

from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.faces.settings import CallSettings, checked, known_only, local_policy


class LocalModel(CallSettings):
    """Stands before LangChain's own base class among the bases of a face."""

    model: Any = "nano"
    """What runs; see `resolve_policy`."""
    _policy: LocalPolicy = PrivateAttr()

    def __init__(self, model: Any = "nano", **settings: Any) -> None:
        policy = local_policy(model)
        given = known_only(settings, type(self).model_fields)
        checked(lambda: super(LocalModel, self).__init__(model=model, **given))
        self._policy = policy

    @property
    def _identifying_params(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in CallSettings.model_fields}
        return {"model": self._policy.name, **settings}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        given: LangSmithParams = super()._get_ls_params(  # type: ignore[misc]  # of the face
            stop=stop or self.stop, **kwargs
        )
        given["ls_provider"] = "langchain-qstar"
        given.setdefault("ls_model_name", self._policy.name)
        return given

    def get_token_ids(self, text: str) -> list[int]:
        """Ids of `text` by the model's own tokenizer."""
        return list(self._policy.codec.encode(text))
