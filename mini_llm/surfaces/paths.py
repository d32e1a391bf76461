"""Under which paths the wire formats are served, and what path and headers say about a client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from mini_llm.errors import BadRequest, MiniLLMError
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.base import Surface
from mini_llm.surfaces.gemini_embeddings import EMBED_MANY, EMBED_ONE

Scope = Mapping[str, Any]
"""An ASGI connection scope of type ``http``."""

MODELS: Final = "/v1/models"
_UNVERSIONED: Final = frozenset({"/chat/completions", "/responses", "/embeddings", "/models", "/messages"})
"""Where a client calls whose base_url lacks the version."""
_ANTHROPIC: Final = "/v1/messages"
_GOOGLES: Final = re.compile(r"(/v1)?/v1beta(/.*)?|/v1/models/.+:[a-z]+[A-Z][a-zA-Z]+")
"""Google's paths, with /v1 before them where a client's base_url has it too many. Its methods are in camel
case: what else follows a colon belongs to the name of a model."""


class KeyInAddress(MiniLLMError):
    """An API key in the query string, where logs on the way would keep it."""

    def __init__(self) -> None:
        super().__init__(
            "an API key in the address ends up in logs: send it as x-goog-api-key, and replace it"
        )


@dataclass(frozen=True, slots=True)
class CallPath:
    """A path under which a wire format is served.

    Attributes:
        path: as clients call it; ``{model}`` stands for a model's name.
        surface: its format.
        summary: one line for the OpenAPI document.
        stream: whether it streams, where the path says so.
    """

    path: str
    surface: Surface
    summary: str
    stream: bool | None = None

    def model_in(self, called: str) -> str | None:
        """The model that a called path names, perhaps an empty word; None if this path names none.

        Raises:
            LookupError: it is another path.
        """
        before, names_model, after = self.path.partition("{model}")
        if not names_model:
            if called != self.path:
                raise LookupError(called)
            return None
        model = called.removeprefix(before).removesuffix(after)
        if before + model + after != called:
            raise LookupError(called)
        return model


def google_paths(version: str) -> Iterator[CallPath]:
    """Google's calls; its clients use either version of its API."""
    models, gemini = f"/{version}/models/{{model}}", SURFACES["gemini"]
    yield CallPath(f"{models}:generateContent", gemini, "Answer a conversation (Gemini API)", False)
    yield CallPath(f"{models}:streamGenerateContent", gemini, "Answer as a stream (Gemini API)", True)
    for method in (EMBED_ONE, EMBED_MANY):
        yield CallPath(f"{models}:{method}", SURFACES["embeddings"], "Turn texts into vectors (Gemini API)")


CALL_PATHS: Final = (
    CallPath("/v1/chat/completions", SURFACES["chat"], "Answer a conversation"),
    CallPath("/v1/responses", SURFACES["responses"], "Answer a conversation (OpenAI's Responses API)"),
    CallPath(_ANTHROPIC, SURFACES["messages"], "Answer a conversation (Anthropic's Messages API)"),
    CallPath("/v1/embeddings", SURFACES["embeddings"], "Turn texts into vectors"),
    *google_paths("v1beta"),
    *google_paths("v1"),
)
"""Every call of a model."""
_BY_PATH: Final = {one.path: one for one in CALL_PATHS}


def find_call(called: str) -> CallPath | None:
    """The call that a path means, None if it means none."""
    found = _BY_PATH.get(called)
    if found is None and ":" in called:
        for path in CALL_PATHS:
            with suppress(LookupError):
                path.model_in(called)
                return path
    return found


def not_found(path: str, else_see: str = "") -> str:
    """What to do about an address where nothing is, for people."""
    if path.rstrip("/") != path and path.rstrip("/"):
        return f"There is nothing at this address; without its last slash there may be: {path.rstrip('/')}"
    if path.startswith("/v1/v1"):  # Anthropic's and Google's clients add the version themselves
        return "There is nothing at this address: leave /v1 out of this client's base_url."
    if path in _UNVERSIONED:
        return f"There is nothing at this address: add /v1 to this client's base_url, for /v1{path}."
    return f"There is nothing at this address{else_see}."


def host_in(header: bytes) -> str:
    """The name in a Host header, without its port."""
    host = header.decode("latin-1").lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def check_query(query: bytes, stream: bool | None) -> None:
    """What Google's clients may say in the address.

    Raises:
        KeyInAddress: a key, which would end up in logs on the way.
        BadRequest: a stream in another format than server-sent events.
    """
    said = parse_qs(query.decode("latin-1"))
    if "key" in said:
        raise KeyInAddress
    if stream and said.get("alt") != ["sse"]:
        raise BadRequest("streams come as server-sent events only: add ?alt=sse", "alt")


def surface_of(scope: Scope) -> Surface:
    """The format in which the client of a request expects errors, whether its path leads anywhere or not.

    The path tells, else what a company's client always sends; OpenAI's if neither does.
    """
    path: str = scope["path"]
    if (call := _BY_PATH.get(path)) is not None:
        return call.surface
    if path.startswith(f"{_ANTHROPIC}/"):
        return SURFACES["messages"]
    if speaks_google(scope):
        return SURFACES["gemini"]
    return SURFACES["messages"] if speaks_anthropic(scope) else CHAT


def speaks_google(scope: Scope) -> bool:
    """Google's API has paths of its own; on those that it shares with others its clients tell by a header."""
    if _GOOGLES.fullmatch(scope["path"]):
        return True
    return any(name.startswith(b"x-goog-") for name, _ in scope["headers"])


def speaks_anthropic(scope: Scope) -> bool:
    """Anthropic's clients name the version of its API; that tells them apart where the path does not."""
    return any(name == b"anthropic-version" for name, _ in scope["headers"])
