"""OpenAI's chat completions, the format that all others can be put in.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import to_json

from mini_llm.answer import Completion, StreamEvent
from mini_llm.errors import BadRequest, ProviderError, UpstreamProtocolError, refusal
from mini_llm.price import Usage
from mini_llm.request import (
    MAX_CHOICES,
    Need,
    Request,
    encode,
    flag,
    integer,
    model_name,
    read_object,
)
from mini_llm.surfaces import counted
from mini_llm.surfaces.base import Dialect, StreamReader, StreamTranslator, Surface
from mini_llm.surfaces.chat_chunks import as_stream, usage_chunk
from mini_llm.surfaces.chat_needs import content_needs, field_needs
from mini_llm.surfaces.runs import Mould
from mini_llm.surfaces.sse import event_end, read_event
from mini_llm.surfaces.turns import in_dialect, without_marks
from mini_llm.surfaces.wording import (
    choices_of,
    failed_choice,
    json_events,
    json_or_none,
    messages_of,
    texts_in,
)

CAP_FIELDS: Final = ("max_completion_tokens", "max_tokens")
END_MARK: Final = b"data: [DONE]\n\n"
_NOT_TEXT: Final = frozenset({"role", "id", "type", "index"})


class ChatSurface(Surface):
    """`POST /v1/chat/completions`."""

    name = "chat"
    headers = ("openai-beta",)

    def parse(self, body: bytes, model: str | None = None, stream: bool | None = None) -> Request:
        """See ``Surface.parse``."""
        fields, size_bytes = read_object(body)
        return chat_request(fields, size_bytes)

    def upstream_body(
        self, request: Request, upstream_model: str, output_cap: int | None, dialect: Dialect
    ) -> bytes:
        """See ``Surface.upstream_body``."""
        fields = dict(request.fields)
        for name in CAP_FIELDS:
            fields.pop(name, None)
        fields["model"] = upstream_model
        if output_cap is not None:
            fields[dialect.cap_field] = output_cap
        for name in dialect.drops & fields.keys():
            del fields[name]
        fields["messages"] = in_dialect(fields["messages"], dialect)
        if not dialect.cache_marks:
            fields.pop("cache_control", None)
            if "tools" in fields:
                fields["tools"] = without_marks(fields["tools"])
        for ours, theirs in dialect.renames:
            if ours in fields:
                fields[theirs] = fields.pop(ours)
        if not dialect.asks_usage:
            fields.pop("stream_options", None)
        elif request.stream:
            options = {**(request.fields.get("stream_options") or {}), "include_usage": True}
            fields["stream_options"] = options
            if dialect.continuous_usage:
                options["continuous_usage_stats"] = True
        return to_json(fields)  # whose size was taken by encoding it, so nothing in it is no JSON

    def to_chat(self, request: Request) -> Request:
        """It is chat."""
        return request

    def from_chat(self, request: Request, answer: Mapping[str, Any], usage: Usage) -> bytes:
        """It is chat."""
        return encode(answer)

    def stream_from_chat(self, request: Request) -> StreamTranslator:
        """It is chat."""
        return _AsItIs()

    def read_answer(self, provider: str, body: bytes) -> Completion:
        """See ``Surface.read_answer``."""
        answer = json_or_none(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise UpstreamProtocolError(provider, "the body has no 'choices'")
        if failed_choice(answer) is not None:
            raise UpstreamProtocolError(provider, "a choice ended with an error")
        return Completion(body, Usage.from_openai(answer.get("usage")))

    def reader(self, provider: str) -> StreamReader:
        """See ``Surface.reader``."""
        return ChatReader(provider)

    def prompt_texts(self, request: Request) -> list[str]:
        """See ``Surface.prompt_texts``."""
        return [text for message in request.fields["messages"] for text in texts_in(message.get("content"))]

    def unsaid_texts(self, request: Request) -> list[str]:
        """See ``Surface.unsaid_texts``."""
        return counted.of_chat(request.fields)

    def answer_text(self, raw: bytes) -> str:
        """See ``Surface.answer_text``."""
        choices = [choice for body in json_events(raw) for choice in choices_of(body)]
        return "".join(text for choice in choices for text in _generated(choice))

    def usage_event(self, request: Request, events: bytes, usage: Usage) -> bytes:
        """See ``Surface.usage_event``."""
        return usage_chunk(next(json_events(events), {}), request.model, usage)

    def stream_end(self) -> bytes:
        """See ``Surface.stream_end``."""
        return END_MARK


def chat_request(fields: Mapping[str, Any], size_bytes: int) -> Request:
    """Reads the fields of a chat call, sent as such or translated from another surface.

    Raises:
        BadRequest: a field that routing or price rests on is missing or malformed.
    """
    model = model_name(fields.get("model"))
    messages = messages_of(fields)
    needs: set[str] = set()
    for message in messages:
        content = message.get("content")
        if content is not None and not isinstance(content, str):
            needs.update(content_needs(content))
        if message.get("audio"):  # spoken in an earlier turn
            needs.add(Need.AUDIO)
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BadRequest("'stream_options' must be an object", "stream_options")
    caps = [cap for name in CAP_FIELDS if (cap := integer(fields, name)) is not None]
    choices = integer(fields, "n", MAX_CHOICES) or 1
    return Request(
        surface=ChatSurface.name,
        fields=fields,
        size_bytes=size_bytes,
        parts=len(messages),
        model=model,
        stream=flag(fields, "stream"),
        choices=choices,
        output_cap=min(caps, default=None),
        wants_usage=options is not None and flag(options, "include_usage"),
        needs=frozenset(needs | field_needs(fields, choices)),
    )


class ChatReader(StreamReader):
    """Reads chat completion chunks; those that look like the plain one before are counted, not parsed."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self._mould: Mould | None = None

    def _events(self, whole: bytes) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        end = 0
        try:
            while end < len(whole):
                event = self._mould.run(whole, end) if self._mould else None
                if event is not None:
                    end += len(event.raw)
                else:
                    start, end = end, event_end(whole, end)
                    event = self.event(whole[start:end])
                    self._mould = Mould.of(event) or self._mould
                events.append(event)
        except (ProviderError, ValueError) as error:
            self.failure = self.unusable(error)
        return events

    def event(self, raw: bytes) -> StreamEvent:
        """See ``StreamReader.event``."""
        data, raw = read_event(raw)
        if not data:
            return StreamEvent(raw)
        if data.strip() == b"[DONE]":
            return StreamEvent(raw, done=True)
        chunk = self.object_in(data)
        if chunk.get("error") or chunk.get("object") == "error":
            raise refusal(self.provider, 0, chunk)
        choices = choices_of(chunk)
        pieces = length = finished = 0
        for choice in choices:
            finish = choice.get("finish_reason")
            if finish == "error" or choice.get("error"):
                raise refusal(self.provider, 0, choice)
            if finish:
                finished += 1
            if written := text_bytes(choice.get("delta")):
                pieces += 1
                length += written
        usage = self.usage(chunk)
        return StreamEvent(raw, usage, pieces, length, finished, usage is not None and not choices)

    def stream_of(self, answer: bytes) -> bytes | None:
        """See ``StreamReader.stream_of``."""
        told = as_stream(json_or_none(answer))
        return told + END_MARK if told else None

    def usage(self, chunk: Mapping[str, Any]) -> Usage | None:
        """What a chunk says about tokens; companies that say it elsewhere have a reader of their own."""
        return Usage.from_openai(chunk.get("usage"))


class _AsItIs(StreamTranslator):
    def take(self, events: list[StreamEvent]) -> list[StreamEvent]:
        return events

    def end(self, usage: Usage) -> list[StreamEvent]:
        return []


def _generated(choice: Mapping[str, Any]) -> Iterator[str]:
    for value in (choice.get("delta"), choice.get("message")):
        yield from _strings(value)


def _strings(part: object) -> Iterator[str]:
    """What a model wrote in a message or delta: text, reasoning, refusals, tool calls."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for item in part:
            yield from _strings(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name not in _NOT_TEXT:
                yield from _strings(value)


def text_bytes(part: object) -> int:
    """UTF-8 length of what a model wrote in a message or delta."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in _strings(part))
