"""Google's Gemini API: model and stream are said by the path, not by the body.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from mini_llm.answer import Completion
from mini_llm.errors import BadRequest, UpstreamProtocolError
from mini_llm.price import Usage
from mini_llm.request import MAX_CHOICES, Request, encode, integer, model_name, read_object
from mini_llm.surfaces import counted
from mini_llm.surfaces.base import Dialect, StreamReader, StreamTranslator, Surface, WireError
from mini_llm.surfaces.chat import chat_request
from mini_llm.surfaces.gemini_contents import content_list
from mini_llm.surfaces.gemini_request import chat_fields, generation_config, needs_of, thoughts_wanted
from mini_llm.surfaces.gemini_stream import (
    GeminiReader,
    GeminiTranslator,
    call_part,
    candidates_of,
    finish_reason,
    generated,
    parts_of,
    usage_fields,
    usage_of,
)
from mini_llm.surfaces.lenient import fields_of
from mini_llm.surfaces.wording import (
    camel,
    choices_of,
    index_of,
    json_events,
    json_or_none,
    texts_in,
    tool_calls_of,
)

STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    410: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Google's names for HTTP statuses."""


class GeminiSurface(Surface):
    """`POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent?alt=sse`."""

    name = "gemini"
    skips_comments = False  # Google's client reads every line that is not data as an error in JSON

    def parse(self, body: bytes, model: str | None = None, stream: bool | None = None) -> Request:
        """See ``Surface.parse``. Without a path, ``model`` and ``stream`` are read from the body."""
        given, size_bytes = read_object(body)
        fields = camel(given)
        contents = content_list(fields.get("contents"))
        if not contents:
            raise BadRequest("'contents' must have at least one content", "contents")
        config = generation_config(fields)
        named = model if model is not None else fields.get("model")
        streams = stream if stream is not None else fields.pop("stream", False)
        if isinstance(named, str):
            named = named.removeprefix("models/")
        return Request(
            surface=self.name,
            fields=fields,
            size_bytes=size_bytes,
            parts=sum(1 + len(content.get("parts") or ()) for content in contents) + 1,
            model=model_name(named),
            stream=streams is True,
            choices=integer(config, "candidateCount", MAX_CHOICES) or 1,
            output_cap=integer(config, "maxOutputTokens"),
            wants_usage=True,
            needs=needs_of(fields, config),
        )

    def upstream_body(
        self, request: Request, upstream_model: str, output_cap: int | None, dialect: Dialect
    ) -> bytes:
        """See ``Surface.upstream_body``; the model goes into the path."""
        fields = {name: value for name, value in request.fields.items() if name != "model"}
        if output_cap is not None:
            fields["generationConfig"] = generation_config(fields) | {"maxOutputTokens": output_cap}
        return encode(fields)

    def to_chat(self, request: Request) -> Request:
        """See ``Surface.to_chat``."""
        fields = chat_fields(request.fields, request.model, request.stream)
        return chat_request(fields, len(encode(fields)))

    def from_chat(self, request: Request, answer: Mapping[str, Any], usage: Usage) -> bytes:
        """See ``Surface.from_chat``."""
        thoughts = thoughts_wanted(generation_config(request.fields))
        candidates = []
        for choice in choices_of(answer):
            message = fields_of(choice.get("message"))
            parts = list(parts_of(message, thoughts))
            parts += [call_part(call.id, call.name, call.arguments) for call in tool_calls_of(message)]
            candidates.append(
                {
                    "content": {"role": "model", "parts": parts or [{"text": ""}]},
                    "finishReason": finish_reason(choice.get("finish_reason")),
                    "index": index_of(choice),
                }
            )
        told = {"candidates": candidates, "usageMetadata": usage_fields(usage)}
        return encode(told | _common(request))

    def stream_from_chat(self, request: Request) -> StreamTranslator:
        """See ``Surface.stream_from_chat``."""
        return GeminiTranslator(_common(request), thoughts_wanted(generation_config(request.fields)))

    def read_answer(self, provider: str, body: bytes) -> Completion:
        """See ``Surface.read_answer``."""
        answer = json_or_none(body)
        if not isinstance(answer, dict) or not ("candidates" in answer or "promptFeedback" in answer):
            raise UpstreamProtocolError(provider, "the body has no 'candidates'")
        return Completion(body, usage_of(answer.get("usageMetadata")))

    def reader(self, provider: str) -> StreamReader:
        """See ``Surface.reader``."""
        return GeminiReader(provider)

    def prompt_texts(self, request: Request) -> list[str]:
        """See ``Surface.prompt_texts``."""
        instruction = request.fields.get("systemInstruction")
        contents = [fields_of(instruction), *content_list(request.fields.get("contents"))]
        texts = [instruction] if isinstance(instruction, str) else []
        return texts + [text for content in contents for text in texts_in(content.get("parts"))]

    def unsaid_texts(self, request: Request) -> list[str]:
        """See ``Surface.unsaid_texts``."""
        return counted.of_gemini(
            request.fields,
            generation_config(request.fields),
            content_list(request.fields.get("contents")),
        )

    def answer_text(self, raw: bytes) -> str:
        """See ``Surface.answer_text``."""
        return "".join(generated(one) for body in json_events(raw) for one in candidates_of(body))

    def error_body(self, error: WireError) -> bytes:
        """See ``Surface.error_body``; our code for the error is the ``reason`` of its details."""
        status = STATUSES.get(error.status, "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
        about = dict(error.values) | ({"param": error.param} if error.param else {})
        detail = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": error.code,
            "metadata": about,
        }
        shape = {"code": error.status, "message": error.message, "status": status, "details": [detail]}
        return encode({"error": shape})


def _common(request: Request) -> dict[str, Any]:
    return {"modelVersion": request.model, "responseId": secrets.token_urlsafe(12)}
