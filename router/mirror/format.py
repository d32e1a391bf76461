"""Whether an answer is JSON, where a JSON schema was asked for."""

from __future__ import annotations

import json
from typing import Final

from mini_llm.request import Request
from mini_llm.surfaces.wording import choices_of, content_of, json_events

CHAT: Final = "chat"


def is_json(request: Request, raw: bytes) -> bool | None:
    """Whether what a chat answer says is JSON, whatever was thought before.

    None where that tells nothing of the model: it says nothing, calls a tool or has several choices, it may
    have been cut short by the caller's limit, or it is in another format.

    Args:
        request: what was asked.
        raw: the body, or the events of the stream.
    """
    if request.surface != CHAT or request.choices > 1 or (request.stream and request.output_cap is not None):
        return None
    said = ""
    for choice in (choice for body in json_events(raw) for choice in choices_of(body)):
        for part in (choice.get("delta"), choice.get("message")):
            if choice.get("finish_reason") == "length" or (isinstance(part, dict) and part.get("tool_calls")):
                return None
            said += content_of(part) if isinstance(part, dict) else ""
    if not said:
        return None
    try:
        json.loads(said)
    except (ValueError, RecursionError):
        return False
    return True
