"""Chunks of chat streams that are made here, where a provider sends none.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Final

from mini_llm.price import Usage, plausible
from mini_llm.surfaces.lenient import fields_of
from mini_llm.surfaces.wording import choices_of, data_event

CHUNK: Final = "chat.completion.chunk"


def usage_fields(usage: Usage) -> dict[str, Any]:
    """A usage as OpenAI reports it."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": usage.audio_prompt_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_completion_tokens,
        },
    }


def usage_chunk(other: Mapping[str, Any], model: str, usage: Usage) -> bytes:
    """The event that tells what a stream used.

    Args:
        other: a chunk of the stream, whose name it has; may be empty.
        model: the model, if that chunk does not say it.
        usage: what was used.
    """
    name, said = other.get("id"), other.get("model")
    return data_event(
        {
            "id": name if isinstance(name, str) else f"chatcmpl-{token_hex(12)}",
            "object": CHUNK,
            "created": plausible(other.get("created")) or int(time.time()),
            "model": said if isinstance(said, str) else model,
            "choices": [],
            "usage": usage_fields(usage),
        }
    )


def as_stream(answer: Any) -> bytes:
    """A whole chat completion as events, without an end mark; empty if it has no choices.

    Raises:
        ValueError: something in it is no JSON.
    """
    if not (choices := choices_of(answer)):
        return b""
    head = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    head["object"] = CHUNK
    said = data_event(head | {"choices": [_as_chunk(choice) for choice in choices]})
    usage = answer.get("usage")
    return said + data_event(head | {"choices": [], "usage": usage}) if usage else said


def _as_chunk(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice of a whole answer as one that a chunk says all of."""
    delta = dict(fields_of(choice.get("message")))
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [
            {"index": at} | call for at, call in enumerate(calls) if isinstance(call, dict)
        ]
    chunk = {name: value for name, value in choice.items() if name != "message"}
    return chunk | {"delta": delta, "finish_reason": choice.get("finish_reason") or "stop"}
