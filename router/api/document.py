"""The OpenAPI document: what the web framework knows, and what it cannot know of the paid calls.

The bodies of paid calls are described as far as the router reads them; more fields pass through to providers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mini_llm.config_auto import LEVELS
from mini_llm.request import MAX_CHOICES, MAX_MODEL_NAME, MAX_OUTPUT_TOKENS
from mini_llm.surfaces.gemini_embeddings import EMBED_MANY, EMBED_ONE
from mini_llm.surfaces.paths import CALL_PATHS, CallPath

ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": {"type": "string", "description": "what to do about it, for people"},
                "type": {"type": "string"},
                "code": {"description": "what exactly, for programs"},
                "param": {"description": "the field at fault"},
            },
        }
    },
}
"""Each surface adds its own members; Anthropic's and Google's name them differently."""
_MODEL: Final = {"type": "string", "minLength": 1, "maxLength": MAX_MODEL_NAME}
_TOKENS: Final = {"type": "integer", "minimum": 1, "maximum": MAX_OUTPUT_TOKENS}
_MESSAGE: Final = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string"},
        "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
    },
}
_MESSAGES: Final = {"type": "array", "minItems": 1, "items": _MESSAGE}
_INPUT: Final = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
_QUALITY: Final = {
    "anyOf": [
        {"type": "string", "enum": list(LEVELS)},
        {"type": "number", "minimum": 0, "maximum": 1},
    ],
    "description": "how good the answer has to be, where the model is left open; no provider sees it",
}
_STREAM: Final = {"type": "boolean", "description": "answer as server-sent events"}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


BODIES: Final[dict[str, dict[str, Any]]] = {
    "chat": _object(
        ["model", "messages"],
        model=_MODEL,
        messages=_MESSAGES,
        vibes_quality=_QUALITY,
        stream=_STREAM,
        max_tokens=_TOKENS,
        max_completion_tokens=_TOKENS,
        n={"type": "integer", "minimum": 1, "maximum": MAX_CHOICES},
        stream_options=_object([], include_usage={"type": "boolean"}),
        tools={"type": "array", "items": {"type": "object"}},
    ),
    "responses": _object(
        ["model", "input"],
        model=_MODEL,
        input=_INPUT,
        vibes_quality=_QUALITY,
        instructions={"type": "string"},
        stream=_STREAM,
        max_output_tokens=_TOKENS,
        tools={"type": "array", "items": {"type": "object"}},
    ),
    "messages": _object(
        ["model", "messages", "max_tokens"],
        model=_MODEL,
        messages=_MESSAGES,
        max_tokens=_TOKENS,
        vibes_quality=_QUALITY,
        stream=_STREAM,
        system={"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
        tools={"type": "array", "items": {"type": "object"}},
    ),
    "embeddings": _object(
        ["model", "input"],
        model=_MODEL,
        input={"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        dimensions=_TOKENS,
    ),
    "gemini": _object(
        ["contents"],
        contents={
            "type": "array",
            "minItems": 1,
            "items": _object(
                ["parts"],
                role={"type": "string"},
                parts={"type": "array", "items": _object([], text={"type": "string"})},
            ),
        },
        vibes_quality=_QUALITY,
        generationConfig=_object([], maxOutputTokens=_TOKENS),
    ),
}
"""What a paid call sends, by the name of its surface."""
_EMBED: Final = _object(
    ["content"],
    content=_object(
        ["parts"], parts={"type": "array", "minItems": 1, "items": _object([], text={"type": "string"})}
    ),
    outputDimensionality=_TOKENS,
)
_EMBED_MANY: Final = _object(["requests"], requests={"type": "array", "minItems": 1, "items": _EMBED})
_DECIMAL: Final = {"type": "string", "pattern": "^[0-9]+$"}
_POINT: Final = {"type": "array", "minItems": 2, "maxItems": 2, "items": _DECIMAL}
_ASKED: Final = _object(
    ["request"],
    surface={"type": "string", "enum": list(BODIES), "default": "chat"},
    request={
        "anyOf": list(BODIES.values()),
        "description": "the body that would be sent; for gemini with `model`",
    },
)
_COUNTED: Final = {"anyOf": [BODIES["gemini"], _object([], generateContentRequest=BODIES["gemini"])]}
_READ_RAW: Final = {
    "/v1/quote": _ASKED,
    "/v1/route": _ASKED,
    "/v1/messages/count_tokens": _object(["model", "messages"], model=_MODEL, messages=_MESSAGES),
    "/v1/models/{model}:countTokens": _COUNTED,
    "/v1beta/models/{model}:countTokens": _COUNTED,
    "/v1/account/ceiling": _object(
        ["idx", "ceiling_base", "key", "r8", "s"],
        idx=_DECIMAL,
        ceiling_base=_DECIMAL,
        key=_POINT,
        r8=_POINT,
        s=_DECIMAL,
    ),
}
"""What is sent where a route reads the body itself."""
_OPEN: Final = frozenset(
    {"/healthz", "/readyz", "/v1/signin", "/v1/signin/nonce", "/v1/device/code", "/v1/device/token"}
)
"""Paths that need no credential."""
_ASKING: Final = (
    ("X-Vibes-Quality", "how good the answer has to be, where the model is left open; the body's field wins"),
    ("X-Vibes-Account", "which of a wallet's accounts pays; else its first"),
)
_CALLING: Final = (
    *_ASKING,
    ("Idempotency-Key", "makes a call safe to repeat: it is sent and charged once"),
    ("X-Request-Id", "comes back in the answer, and goes to the provider; else one is made"),
)


def describe(app: FastAPI) -> None:
    """Makes `app.openapi()`, and with it `/openapi.json`, say all of it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {})["Error"] = ERROR
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "an API key"}}
    calls = {call.path: call for call in CALL_PATHS}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if path not in _OPEN:
                operation["security"] = [{"key": []}]
            _add_errors(operation)
            if method == "post" and path in _READ_RAW:
                operation["requestBody"] = _json(_READ_RAW[path])
            if _READ_RAW.get(path) is _ASKED:
                _add_headers(operation, _ASKING)
            if method == "post" and path in calls:
                _add_call(operation, calls[path])
    return document


def call_body(call: CallPath) -> dict[str, Any]:
    """What a paid call sends."""
    if call.path.endswith(f":{EMBED_MANY}"):
        return _EMBED_MANY
    return _EMBED if call.path.endswith(f":{EMBED_ONE}") else BODIES[call.surface.name]


def _add_errors(operation: dict[str, Any]) -> None:
    """Every refusal has one shape; the framework's own description of a 422 is of one that is never sent."""
    operation["responses"].pop("422", None)
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation["responses"]["default"] = {"description": "refused, with the reason", "content": error}


def _add_headers(operation: dict[str, Any], headers: Iterable[tuple[str, str]]) -> None:
    operation.setdefault("parameters", []).extend(
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in headers
    )


def _json(body: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": body}}}


def _add_call(operation: dict[str, Any], call: CallPath) -> None:
    operation["requestBody"] = _json(call_body(call))
    _add_headers(operation, _CALLING)
    if call.path.endswith(":streamGenerateContent"):
        alt = {"name": "alt", "in": "query", "required": True, "schema": {"type": "string", "enum": ["sse"]}}
        operation["parameters"].append(alt)
    operation["responses"]["200"] = {
        "description": "the provider's answer; `x-vibes-receipt` is the signed receipt",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    }
