"""The Gemini API, checked against the types of Google's own SDK."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from google.genai import types
from pydantic import TypeAdapter, ValidationError

from support.companies.server import stream

KEY = "AIza-test"
SIGNATURE = "c2lnbmVk"
SHAPES: dict[str, TypeAdapter[Any]] = {
    "contents": TypeAdapter(list[types.Content]),
    "systemInstruction": TypeAdapter(types.Content),
    "tools": TypeAdapter(list[types.Tool]),
    "toolConfig": TypeAdapter(types.ToolConfig),
    "generationConfig": TypeAdapter(types.GenerationConfig),
    "safetySettings": TypeAdapter(list[types.SafetySetting]),
    "cachedContent": TypeAdapter(str),
}
USAGE: dict[str, Any] = {
    "promptTokenCount": 20,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 4,
    "toolUsePromptTokenCount": 3,
    "cachedContentTokenCount": 8,
    "totalTokenCount": 32,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 14},
        {"modality": "AUDIO", "tokenCount": 6},
    ],
    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}, {"modality": "TEXT", "tokenCount": 6}],
}
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}


def complaint_of(contents: list[dict[str, Any]]) -> str:
    """What the company would say about a conversation; empty if nothing."""
    if not contents:
        return "contents is not specified"
    called: list[dict[str, Any]] = []
    for content in contents:
        if not content["parts"] or {"text": ""} in content["parts"]:
            return "contents.parts must not be empty."
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and "thoughtSignature" not in calls[0]:
            return "Function call is missing a thought_signature."
        answers = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        told = [(one.get("id"), one["name"]) for one in answers]
        if told and told != [(one.get("id"), one["name"]) for one in called]:
            return "function response parts must follow the function call parts of the turn before"
        called = [part["functionCall"] for part in calls]
    return ""


class Gemini:
    """Answers ``refuse 429``, ``cut``, ``break``, ``block`` and anything else as the company does."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.finish_reason = "STOP"

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.asked.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        place, _, method = request.path.rpartition(":")
        if request.headers.get("x-goog-api-key") != KEY:
            return self._refuse(401, "API key not valid")
        if place.removeprefix("/v1beta").removeprefix("/v1") != "/models/gemini-3-flash":
            return self._refuse(404, f"{place} is not found")
        if method == "batchEmbedContents":
            return self._embed(body)
        if method == "countTokens":
            asked = body.get("generateContentRequest", body)
            return self._checked({k: v for k, v in asked.items() if k != "model"}) or web.json_response(
                {"totalTokens": 25}
            )
        if refused := self._checked(body):
            return refused
        last = str(body["contents"][-1]["parts"][-1].get("text"))
        if last.startswith("refuse "):
            return self._refuse(int(last.split()[1]), "words of the company")
        if method == "streamGenerateContent" and request.query.get("alt") == "sse":
            return await self._stream(request, body, last)
        return web.json_response(self._answer(body, last))

    def _checked(self, body: dict[str, Any]) -> web.Response | None:
        """The refusal of a body that the SDK's types do not describe."""
        for name, value in body.items():
            if name not in SHAPES:
                return self._refuse(400, f'Unknown name "{name}": Cannot find field.')
            try:
                SHAPES[name].validate_python(value)
            except ValidationError as error:
                return self._refuse(400, f"Invalid value at {name}: {error.errors()[0]['loc']}")
        complaint = complaint_of(body["contents"])
        return self._refuse(400, complaint) if complaint else None

    def _refuse(self, status: int, message: str) -> web.Response:
        error: dict[str, Any] = {"code": status, "message": message, "status": STATUSES[status]}
        if status == 429:
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.Help"}, RETRY]
        return web.json_response({"error": error}, status=status)

    def _parts(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        thoughts = body.get("generationConfig", {}).get("thinkingConfig", {})
        if thoughts.get("includeThoughts"):
            parts.append({"text": "Let me see.", "thought": True})
        parts += [{"text": "Hel"}, {"text": "lo, "}, {"text": "wörld"}]
        for tool in body.get("tools", ()):
            for position, function in enumerate(tool["functionDeclarations"]):
                called: dict[str, Any] = {"functionCall": {"name": function["name"], "args": {"word": "x"}}}
                parts.append(called | ({} if position else {"thoughtSignature": SIGNATURE}))
        return parts

    def _answer(self, body: dict[str, Any], last: str) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "modelVersion": "gemini-3-flash",
            "responseId": "resp1",
            "usageMetadata": USAGE,
        }
        if last == "block":
            answer["promptFeedback"] = {"blockReason": "SAFETY"}
        else:
            content = {"role": "model", "parts": self._parts(body)}
            answer["candidates"] = [{"content": content, "finishReason": self.finish_reason, "index": 0}]
        types.GenerateContentResponse.model_validate(answer)
        return answer

    async def _stream(self, request: web.Request, body: dict[str, Any], last: str) -> web.StreamResponse:
        whole = self._answer(body, last)
        events = [whole]
        if "candidates" in whole:
            (candidate,) = whole["candidates"]
            events = [
                whole
                | {
                    "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}],
                    "usageMetadata": USAGE | {"candidatesTokenCount": 1},
                }
                for part in candidate["content"]["parts"]
            ]
            events[-1]["candidates"][0]["finishReason"] = self.finish_reason
            events[-1]["usageMetadata"] = USAGE
        for event in events:
            types.GenerateContentResponse.model_validate(event)
        if last == "break":
            failed = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
            events = [events[0], failed]
        wire = [f"data: {json.dumps(event)}\r\n\r\n" for event in events]
        return await stream(request, wire[:1] if last == "cut" else wire, {}, cut=last == "cut")

    def _embed(self, body: dict[str, Any]) -> web.Response:
        texts = [asked["content"]["parts"][0]["text"] for asked in body["requests"]]
        if any(asked["model"] != "models/gemini-3-flash" for asked in body["requests"]):
            return self._refuse(400, "model does not match")
        vectors = [{"values": [float(len(text)), 0.5]} for text in texts]
        return web.json_response({"embeddings": vectors, "usageMetadata": {"promptTokenCount": 4}})
