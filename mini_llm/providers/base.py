"""What a provider does for the gateway, whatever its wire format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from mini_llm.chat import ChatRequest
from mini_llm.deployment import Deployment
from mini_llm.price import Usage


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    Attributes:
        body: the JSON as it came from the provider.
        usage: what the provider counted, None if it did not.
        text_bytes: UTF-8 length of the generated text.
    """

    body: bytes
    usage: Usage | None
    text_bytes: int


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One server-sent event of an answer.

    Attributes:
        raw: the event as it came, with its closing blank line.
        usage: tokens of the call until here, if the event says so.
        pieces: choices whose text this event continues.
        text_bytes: UTF-8 length of that text.
        finished: choices that end with this event.
        bare_usage: the event carries usage and nothing else.
        done: the end mark of the stream.
    """

    raw: bytes
    usage: Usage | None = None
    pieces: int = 0
    text_bytes: int = 0
    finished: int = 0
    bare_usage: bool = False
    done: bool = False


class UpstreamStream(ABC):
    """An answer that is arriving; its caller closes it, however it ends."""

    @abstractmethod
    def batches(self) -> AsyncIterator[list[StreamEvent]]:
        """The events in order, those that arrive together together.

        Raises:
            ProviderError: the stream broke, stayed silent or carried an error.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Drops the connection if the answer is not complete, so that the provider stops generating."""


class Provider(ABC):
    """A company's API, or the servers of one machine.

    Attributes:
        name: as configured.
    """

    name: str

    @abstractmethod
    async def complete(self, request: ChatRequest, deployment: Deployment) -> Completion:
        """Asks for a whole answer.

        Raises:
            ProviderError: there is none.
        """

    @abstractmethod
    async def open_stream(self, request: ChatRequest, deployment: Deployment) -> UpstreamStream:
        """Asks for an answer as a stream; returns once the provider has accepted the call.

        Raises:
            ProviderError: it has not.
        """

    async def discover(self) -> Sequence[Deployment]:
        """Deployments that this provider finds by itself, beside the configured ones."""
        return ()
