"""What the routing core knows about a wire format, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.errors import ProviderError, UpstreamProtocolError, no_json
from mini_llm.price import Usage
from mini_llm.request import Request, encode
from mini_llm.surfaces.sse import EventSplitter, split_events
from mini_llm.surfaces.wording import json_or_none

INVALID: Final = "invalid_request_error"
UPSTREAM: Final = "upstream_error"
"""OpenAI's class of errors that are the request's fault, and ours of those that are a provider's."""


@dataclass(frozen=True, slots=True)
class WireError:
    """An error on its way to a client; each surface gives it its own shape.

    Attributes:
        status: HTTP status.
        type: class of the error in OpenAI's words, such as ``invalid_request_error``.
        code: what exactly, for programs.
        message: what to do about it, for people.
        param: the field at fault, if one is.
        values: members beside those, such as ``available_base``.
        headers: HTTP headers that go with it.
    """

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a provider's way of speaking a format differs from the format's owner's.

    Attributes:
        cap_field: request field of chat that limits the completion.
        asks_usage: a chat stream is asked for usage (``stream_options``), which some servers refuse.
        continuous_usage: asked for in every chunk (vLLM's ``continuous_usage_stats``).
        renames: fields of chat that it knows by another name, as (ours, its).
        drops: fields of chat that it refuses and without which the answer means the same; they are left out.
        turn_drops: members of a message, or of a tool call in it, that are left out likewise.
        needs_thoughts: it refuses a turn that calls tools without thoughts; they are blank if not kept.
        thinks_in_parts: thoughts may be parts of a message, as at Mistral; others lose such parts.
        named: roles whose messages may have a ``name``, None for all; others lose it.
        cache_marks: it takes Anthropic's marks of what to cache (``cache_control``), which others lose.
        openai: it is OpenAI's own, with what Codex tells it and the role ``developer`` (``system`` else).
        short_ids: it refuses ids of tool calls that are not nine letters and digits; others get such ones.
    """

    cap_field: str = "max_tokens"
    asks_usage: bool = True
    continuous_usage: bool = False
    renames: tuple[tuple[str, str], ...] = ()
    drops: frozenset[str] = frozenset()
    turn_drops: frozenset[str] = frozenset()
    needs_thoughts: bool = False
    thinks_in_parts: bool = False
    named: frozenset[str] | None = None
    cache_marks: bool = False
    openai: bool = False
    short_ids: bool = False


class StreamReader(ABC):
    """Cuts the bytes of a stream into events and tells what each means for routing and price.

    After an event that is an error, ``failure`` says so and nothing more is read.
    """

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.failure: ProviderError | None = None
        self._splitter = EventSplitter()

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that ``data`` completes, up to the first that is an error."""
        return self._events(self._splitter.feed(data))

    def end(self) -> list[StreamEvent]:
        """What is left when the stream ends; some servers leave out the last blank line."""
        rest = self._splitter.rest()
        return self._events(rest.rstrip() + b"\n\n") if rest.strip() else []

    def stream_of(self, answer: bytes) -> bytes | None:
        """A whole answer, which came although a stream was asked for, as that stream; None if it is none, or
        nobody needs this of the format."""
        return None

    def _events(self, whole: bytes) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        try:
            for raw in split_events(whole):
                events.append(self.event(raw))
        except (ProviderError, ValueError) as error:
            self.failure = self.unusable(error)
        return events

    def unusable(self, error: ProviderError | ValueError) -> ProviderError:
        """Why reading stopped; a value that cannot be written as JSON, such as 1e999, is the provider's."""
        return no_json(self.provider) if isinstance(error, ValueError) else error

    def object_in(self, data: bytes) -> dict[str, Any]:
        """The JSON object that an event's data is.

        Raises:
            UpstreamProtocolError: they are none.
        """
        body = json_or_none(data)
        if not isinstance(body, dict):
            raise UpstreamProtocolError(self.provider, "an event of the stream is no JSON object")
        return body

    @abstractmethod
    def event(self, raw: bytes) -> StreamEvent:
        """Reads one event.

        Raises:
            UpstreamRefused: it is an error.
            UpstreamProtocolError: it is not what the format says.
        """


class StreamTranslator(ABC):
    """Turns the events of a chat stream into those of another surface, one call long."""

    @abstractmethod
    def take(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """The events to send instead; what they mean (usage, finished, done) stays on them."""

    @abstractmethod
    def end(self, usage: Usage) -> list[StreamEvent]:
        """What closes the answer, once the chat stream is complete; ``usage`` is what will be charged."""


class Surface(ABC):
    """A wire format in which apps call and providers may answer.

    Chat is the one that every provider takes: all others can be put as chat and back, with the losses that
    the documentation names.

    Attributes:
        name: key of ``mini_llm.surfaces.SURFACES``.
        skips_comments: its clients skip comments in a stream, as the standard says, so that one may carry the
            receipt.
        headers: request headers that belong to the format, lower case; no other of a client is passed on.
    """

    name: str
    headers: tuple[str, ...] = ()
    skips_comments: bool = True

    @abstractmethod
    def parse(self, body: bytes, model: str | None = None, stream: bool | None = None) -> Request:
        """Reads a request body; ``model`` and ``stream`` are given where the format has them in the path.

        Raises:
            BadRequest: not JSON in UTF-8, or a field that routing or price rests on is missing or malformed.
        """

    @abstractmethod
    def upstream_body(
        self, request: Request, upstream_model: str, output_cap: int | None, dialect: Dialect
    ) -> bytes:
        """The request as a provider of this surface gets it: its name for the model, and the quote's cap.

        A stream is asked to report usage, whether or not the client wants to see it.
        """

    @abstractmethod
    def to_chat(self, request: Request) -> Request:
        """The same call as chat.

        Raises:
            BadRequest: chat cannot say it.
        """

    @abstractmethod
    def from_chat(self, request: Request, answer: Mapping[str, Any], usage: Usage) -> bytes:
        """A whole chat completion as an answer to ``request`` in this format, telling ``usage``.

        Raises:
            ValueError: the completion cannot be written as JSON.
        """

    @abstractmethod
    def stream_from_chat(self, request: Request) -> StreamTranslator:
        """Translates the chat stream that answers ``request`` into this format."""

    @abstractmethod
    def read_answer(self, provider: str, body: bytes) -> Completion:
        """Reads a whole answer of ``provider`` in this format.

        Raises:
            UpstreamProtocolError: it is none.
        """

    @abstractmethod
    def reader(self, provider: str) -> StreamReader:
        """Reads a stream of ``provider`` in this format."""

    @abstractmethod
    def prompt_texts(self, request: Request) -> list[str]:
        """What is said in the prompt, in order."""

    @abstractmethod
    def unsaid_texts(self, request: Request) -> list[str]:
        """What else of the prompt a model reads: tools, schemas, calls and structured results, as JSON."""

    def counted_texts(self, request: Request) -> list[str]:
        """All of both, for counting tokens when no provider does."""
        return [*self.prompt_texts(request), *self.unsaid_texts(request)]

    @abstractmethod
    def answer_text(self, raw: bytes) -> str:
        """The generated text in events or in a whole body of this format, for the same."""

    def error_body(self, error: WireError) -> bytes:
        """An error as this format's clients expect it: as OpenAI's do, unless it has a shape of its own."""
        shape = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
        return encode({"error": shape | dict(error.values)})

    def error_event(self, error: WireError) -> bytes:
        """An error inside a stream, in the form that this format's clients raise."""
        return b"data: " + self.error_body(error) + b"\n\n"

    def usage_event(self, request: Request, events: bytes, usage: Usage) -> bytes:
        """The event that tells a client what its stream used, if that is one of its own in this format.

        Args:
            request: the call.
            events: some of the stream, whose name it has.
            usage: what will be charged.
        """
        return b""

    def stream_end(self) -> bytes:
        """The end mark of a stream, sent after the receipt; empty if the format has none."""
        return b""
