"""What LangChain reports about an answer: usage, how it ended, log-probabilities."""

from __future__ import annotations

from typing import Any, Final

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from langchain_qstar.models.engine.streaming import Piece
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.protocols import Completion

_FINISH: Final = {"length": "length", "error": "error", "cancelled": "cancelled"}
"""How a completion ended, in OpenAI's words; anything else is `stop`."""


def usage_of(completion: Completion) -> UsageMetadata:
    """What a completion cost; each sample of a prompt counts the prompt."""
    return UsageMetadata(
        input_tokens=completion.prompt_tokens,
        output_tokens=completion.generated,
        total_tokens=completion.prompt_tokens + completion.generated,
        input_token_details=InputTokenDetails(cache_read=completion.reused_tokens),
        output_token_details=OutputTokenDetails(reasoning=completion.thought_tokens),
    )


def ending_of(completion: Completion, model_name: str, *, calls: bool = False) -> dict[str, Any]:
    """Metadata of a completion that has ended; `calls` says that it calls tools."""
    finish = _FINISH.get(completion.finish, "tool_calls" if calls else "stop")
    return {"model_name": model_name, "finish_reason": finish}


def logprobs_of(
    codec: TextCodec,
    told: Completion | Piece,
    text: str | None = None,
) -> dict[str, Any]:
    """Natural-log probabilities of the tokens of `text`, in the shape of OpenAI's chat API.

    They are those of the model itself, at temperature 1 and without a grammar.
    Tokens after `text`, if it is given, are left out: those of a stop string.
    A likely token that is no text by itself has its name, and no bytes.
    """
    ids = told.token_ids or ()
    likeliest = told.likeliest or ((),) * len(ids)
    content = []
    length = 0
    for token, logprob, likely in zip(
        codec.token_texts(ids), told.logprobs, likeliest, strict=True
    ):
        if text is not None and length >= len(text):
            break
        length += len(token)
        content.append(
            {
                "token": token,
                "bytes": list(token.encode()),
                "logprob": logprob,
                "top_logprobs": [_likely(codec, *each) for each in likely],
            }
        )
    return {"content": content}


def _likely(codec: TextCodec, token: int, logprob: float) -> dict[str, Any]:
    shown, is_text = codec.spelled(token)
    return {
        "token": shown,
        "bytes": list(shown.encode()) if is_text else None,
        "logprob": logprob,
    }
