"""Tells providers which request they serve: its id, and the trace that they may continue."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from mini_llm.transport import Timeouts, Transport, UpstreamResponse
from router.observe.record import current


class TellingTransport(Transport):
    """Adds `x-request-id` and `traceparent` of the running request to what goes out."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Coroutine[Any, Any, UpstreamResponse]:
        """See `Transport.send`."""
        return self._inner.send(method, url, {**headers, **current().outgoing()}, body, timeouts)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._inner.aclose()
