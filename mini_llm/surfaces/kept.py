"""What a call would leave at a provider or take from there, which accounts that share its key must not do.

Whoever sends a provider's key reaches everything that is kept under it: earlier responses, files, vector
stores, containers. So a call on a shared key may name none of that, and nothing of it is kept. A call on its
caller's own key may do both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from mini_llm.errors import BadRequest
from mini_llm.request import Need, Request

REFUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": ("data_sources",),
    "responses": ("previous_response_id", "conversation", "prompt", "background", "store"),
    "messages": ("container", "thread", "user_profile_id", "workspace_id"),
    "gemini": ("cachedContent", "store"),
}
"""Fields of each surface that keep something at the provider or name what is kept there."""
LEFT_OUT: Final[Mapping[str, tuple[str, ...]]] = {"chat": ("store",), "messages": ("diagnostics",)}
"""Fields that do so too, but without which the answer is the same."""
NAMES: Final = frozenset(
    {"file_id", "file_ids", "vector_store_ids", "container_id", "skill_id", "memory_store_id", "tunnel_id"}
    | {"fileSearchStoreNames", "file_search_store_names", "retrieval"}
)
"""Members of messages, items, parts and tools that name what is kept, at any depth."""
_SAID: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": ("messages", "tools"),
    "responses": ("input", "tools"),
    "messages": ("messages", "system", "tools"),
    "gemini": ("contents", "systemInstruction", "tools"),
}
_OWN: Final = frozenset(
    {"arguments", "args", "input", "input_schema", "input_examples", "parameters", "response", "schema"}
    | {"parametersJsonSchema", "parameters_json_schema", "responseJsonSchema", "response_json_schema"}
)
"""Members that hold the client's own JSON, which may use any of these words."""
_ADDRESSES: Final = frozenset({"url", "image_url", "video_url", "file_url", "document_url", "file_data"})
"""Members that hold a file or its address, which becomes a `fileUri` where the call is put as Google's."""
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^?#]{0,2048}")
_OPEN_FILES: Final = "https://storage.googleapis.com/"
"""What is there is fetched from an address as anybody fetches it."""
_FILE_API: Final = re.compile(r"(^|/)v\d\w*/files/")


def on_shared_key(request: Request) -> Request:
    """The call as it may go out under a key that other accounts use too.

    Raises:
        BadRequest: it names something that is kept under the key, or asks to keep something.
    """
    surface, fields = request.surface, request.fields
    for name in REFUSED.get(surface, ()):
        if fields.get(name) not in (None, False):
            raise _refusal(name)
    if surface != "chat" or not request.text_only or Need.HOSTED in request.needs:
        for name in _SAID.get(surface, ()):
            if (place := _reference(fields.get(name))) is not None:
                raise _refusal(".".join((name, *place)))
    if surface == "responses":
        return request._replace(fields={**fields, "store": False, **_own_thoughts(fields)})
    if left_out := fields.keys() & LEFT_OUT.get(surface, ()):
        kept = {name: value for name, value in fields.items() if name not in left_out}
        return request._replace(fields=kept)
    return request


def _refusal(place: str) -> BadRequest:
    return BadRequest(
        f"'{place}' is about something kept at the provider, whose key you share with others:"
        " leave it out and send the content itself, or use a provider key of your own",
        place,
    )


def _own_thoughts(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The input without thoughts that are but a name for what the provider would have kept."""
    items = fields.get("input")
    if not isinstance(items, list) or not any(map(_is_thought_elsewhere, items)):
        return {}
    return {"input": [item for item in items if not _is_thought_elsewhere(item)]}


def _is_thought_elsewhere(item: object) -> bool:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    return not item.get("encrypted_content") and not item.get("content")


def _reference(value: object) -> tuple[str, ...] | None:
    """Where a value names something kept, None if it does not."""
    if isinstance(value, list):
        for position, item in enumerate(value):
            if isinstance(item, (dict, list)) and (place := _reference(item)) is not None:
                return (str(position), *place)
    elif isinstance(value, dict):
        if value.get("type") == "item_reference":
            return ("type",)
        for name, inner in value.items():
            if _is_kept(name, inner):
                return (name,)
            deep = isinstance(inner, (dict, list)) and name not in _OWN
            if deep and (place := _reference(inner)) is not None:
                return (name, *place)
    return None


def _is_kept(name: str, value: object) -> bool:
    """A member names something kept."""
    if name in NAMES:
        return value is not None
    if name == "container":  # that of code: a name, or what a new one shall be like
        return isinstance(value, str)
    if name == "audio":  # spoken in an earlier answer
        return isinstance(value, dict) and value.get("id") is not None
    if name in ("fileUri", "file_uri"):
        return not isinstance(value, str) or not _is_public(value)
    if name in _ADDRESSES and isinstance(value, str) and (address := _ADDRESS.match(value)) is not None:
        return not _is_public(address[0]) and not address[0].startswith(_OPEN_FILES)
    return False


def _is_public(uri: str) -> bool:
    """An address of the web, outside the places where Google keeps its customers' files."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in ("http", "https") or not host or _FILE_API.search(parts.path):
        return False
    return host != "googleapis.com" and not host.endswith(".googleapis.com")
