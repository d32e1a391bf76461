"""Answers of OpenAI's Responses API made of chat answers: the response object and its items.

Source: https://platform.openai.com/docs/api-reference/responses/object and the types of
the package ``openai``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mini_llm.price import Usage, part, plausible
from mini_llm.request import Request, encode
from mini_llm.surfaces.lenient import at, listed, objects_in
from mini_llm.surfaces.wording import content_of, reasoning_of, refusal_of, tool_calls_of

_ECHOED: Final[Mapping[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": None,
    "top_p": None,
    "user": None,
}
"""Fields of the request that the response repeats, with what they are when absent."""
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


def new_id(kind: str) -> str:
    """An id such as ``resp_…``."""
    return f"{kind}_{secrets.token_hex(12)}"


def new_response(request: Request) -> dict[str, Any]:
    """A response that has just begun."""
    echoed = {
        name: default if request.fields.get(name) is None else request.fields[name]
        for name, default in _ECHOED.items()
    }
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "truncation": "disabled",
        "usage": None,
        **echoed,
    }


def finish(response: dict[str, Any], reason: object, usage: Usage) -> str:
    """Ends a response in place for a chat finish reason; returns the type of the event that says so."""
    response["usage"] = usage_fields(usage)
    response["completed_at"] = int(time.time())
    cut = _INCOMPLETE.get(reason) if isinstance(reason, str) else None
    response["status"] = "incomplete" if cut else "completed"
    if cut:
        response["incomplete_details"] = {"reason": cut}
    return f"response.{response['status']}"


def items(message: Mapping[str, Any], logprobs: list[Any]) -> Iterator[dict[str, Any]]:
    """The output items of a chat message."""
    if thought := reasoning_of(message):
        yield reasoning_item(new_id("rs"), thought)
    parts = []
    if words := content_of(message):
        parts.append(text_part(words, logprobs))
    if refused := refusal_of(message):
        parts.append({"type": "refusal", "refusal": refused})
    calls = tool_calls_of(message)
    if parts or not calls:
        yield message_item(new_id("msg"), parts, "completed")
    for call in calls:
        yield call_item(new_id("fc"), call.id or new_id("call"), call.name, call.arguments, "completed")


def reasoning_item(item_id: str, thought: str) -> dict[str, Any]:
    """Thoughts, told as their summary: chat does not say which they are."""
    return {"id": item_id, "type": "reasoning", "summary": [{"type": "summary_text", "text": thought}]}


def message_item(item_id: str, parts: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """What the assistant says."""
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": parts}


def text_part(words: str, logprobs: list[Any]) -> dict[str, Any]:
    """A part of it."""
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": logprobs}


def call_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    """A call of a tool; without arguments it has an empty object of them once it is complete."""
    written = arguments or ("{}" if status == "completed" else "")
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": written,
    }


def logprobs_of(choice: Mapping[str, Any]) -> list[Any]:
    """The log probabilities of a choice or chunk, none if they are malformed."""
    content = listed(at(choice, "logprobs.content"))
    try:
        encode(content)  # a provider may send minus infinity, which JSON has no word for
    except ValueError:
        return []
    return content


def usage_fields(usage: Usage) -> dict[str, Any]:
    """A usage in the words of this API."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def usage_of(reported: object) -> Usage | None:
    """Reads a usage of this API; None if it is absent or not plausible."""
    if not isinstance(reported, dict):
        return None
    prompt, completion = plausible(reported.get("input_tokens")), plausible(reported.get("output_tokens", 0))
    if prompt is None or completion is None:
        return None
    details = reported.get("input_tokens_details")
    return Usage.split(
        prompt,
        completion,
        cached_tokens=part(details, "cached_tokens"),
        cache_write_tokens=part(details, "cache_write_tokens"),
        reasoning_tokens=part(reported.get("output_tokens_details"), "reasoning_tokens"),
    )


def generated(response: Mapping[str, Any]) -> str:
    """The generated text of a response object."""
    said: list[str] = []
    for item in objects_in(response.get("output")):
        said += [item[name] for name in ("arguments", "input") if isinstance(item.get(name), str)]
        for parts in (item.get("summary"), item.get("content")):
            for one in objects_in(parts):
                said += [one[name] for name in ("text", "refusal") if isinstance(one.get(name), str)]
    return "".join(said)
