"""OpenAI's Responses API, without what it keeps at the provider unless the provider speaks it itself.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mini_llm.answer import Completion
from mini_llm.errors import BadRequest, UpstreamProtocolError
from mini_llm.price import Usage
from mini_llm.request import Request, encode, flag, integer, model_name, read_object
from mini_llm.surfaces import counted
from mini_llm.surfaces import responses_output as output
from mini_llm.surfaces.base import Dialect, StreamReader, StreamTranslator, Surface, WireError
from mini_llm.surfaces.chat import chat_request
from mini_llm.surfaces.lenient import fields_of
from mini_llm.surfaces.responses_items import input_items
from mini_llm.surfaces.responses_request import CODEX, chat_fields, needs_of
from mini_llm.surfaces.responses_stream import ResponsesReader, ResponsesTranslator
from mini_llm.surfaces.wording import choices_of, json_events, json_or_none, texts_in


class ResponsesSurface(Surface):
    """`POST /v1/responses`."""

    name = "responses"
    headers = ("openai-beta",)

    def parse(self, body: bytes, model: str | None = None, stream: bool | None = None) -> Request:
        """See ``Surface.parse``."""
        fields, size_bytes = read_object(body)
        items = input_items(fields) if fields.get("input") is not None else []
        if not items and not fields.get("prompt"):
            raise BadRequest("'input' must be text or a list with at least one item", "input")
        return Request(
            surface=self.name,
            fields=fields,
            size_bytes=size_bytes,
            parts=len(items) + 1,
            model=model_name(fields.get("model")),
            stream=flag(fields, "stream"),
            choices=1,
            output_cap=integer(fields, "max_output_tokens"),
            wants_usage=True,
            needs=needs_of(fields),
        )

    def upstream_body(
        self, request: Request, upstream_model: str, output_cap: int | None, dialect: Dialect
    ) -> bytes:
        """See ``Surface.upstream_body``."""
        fields = dict(request.fields) | {"model": upstream_model}
        if output_cap is not None:
            fields["max_output_tokens"] = output_cap
        if not dialect.openai:
            for name in CODEX:
                fields.pop(name, None)
        return encode(fields)

    def to_chat(self, request: Request) -> Request:
        """See ``Surface.to_chat``."""
        fields = chat_fields(request.fields)
        return chat_request(fields, len(encode(fields)))

    def from_chat(self, request: Request, answer: Mapping[str, Any], usage: Usage) -> bytes:
        """See ``Surface.from_chat``."""
        choice = next(iter(choices_of(answer)), {})
        message = fields_of(choice.get("message"))
        response = output.new_response(request)
        response["output"] = list(output.items(message, output.logprobs_of(choice)))
        output.finish(response, choice.get("finish_reason"), usage)
        return encode(response)

    def stream_from_chat(self, request: Request) -> StreamTranslator:
        """See ``Surface.stream_from_chat``."""
        return ResponsesTranslator(request)

    def read_answer(self, provider: str, body: bytes) -> Completion:
        """See ``Surface.read_answer``."""
        answer = json_or_none(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
            raise UpstreamProtocolError(provider, "the body has no 'output'")
        return Completion(body, output.usage_of(answer.get("usage")))

    def reader(self, provider: str) -> StreamReader:
        """See ``Surface.reader``."""
        return ResponsesReader(provider)

    def prompt_texts(self, request: Request) -> list[str]:
        """See ``Surface.prompt_texts``."""
        texts = [request.fields["instructions"]] if _is_text(request.fields.get("instructions")) else []
        for item in input_items(request.fields) if request.fields.get("input") is not None else ():
            for content in (item.get("content"), item.get("output")):
                texts += texts_in(content)
        return texts

    def unsaid_texts(self, request: Request) -> list[str]:
        """See ``Surface.unsaid_texts``."""
        return counted.of_responses(request.fields)

    def answer_text(self, raw: bytes) -> str:
        """See ``Surface.answer_text``."""
        said = []
        for body in json_events(raw):
            if body.get("object") == "response":
                said.append(output.generated(body))
            elif _is_text(body.get("delta")):
                said.append(body["delta"])
        return "".join(said)

    def error_event(self, error: WireError) -> bytes:
        """An event as the documentation has it, with the ``error`` member that OpenAI's clients raise."""
        told = {"message": error.message, "code": error.code, "param": error.param}
        shape = {"type": "error", **told, "error": {"type": error.type, **told, **error.values}}
        return b"event: error\ndata: " + encode(shape) + b"\n\n"


def _is_text(value: object) -> bool:
    return isinstance(value, str)
