"""What a wallet's router says beside calls, where it says it badly or breaks off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mini_llm.surfaces import CHAT
from mini_llm.transport import Timeouts, Transport, TransportFailure, UpstreamResponse
from mini_llm.wallet.errors import RouterUnreachable
from mini_llm.wallet.router_api import RouterApi

REQUEST = CHAT.parse(b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}')


class Answer(UpstreamResponse):
    """A body, after which the connection breaks if it is None."""

    def __init__(self, body: bytes | None) -> None:
        self.status, self._left = 200, [b"{", body, b""] if body is None else [body, b""]

    def header(self, name: str) -> str | None:
        return None

    async def next_piece(self) -> bytes:
        piece = self._left.pop(0)
        if piece is None:
            raise TransportFailure("ConnectionLost")
        return piece

    async def aclose(self) -> None:
        pass


class Router(Transport):
    def __init__(self, body: bytes | None) -> None:
        self._body = body

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> UpstreamResponse:
        return Answer(self._body)

    async def aclose(self) -> None:
        pass


def api(body: bytes | None) -> RouterApi:
    return RouterApi("wallet", "http://router/v1", {}, Router(body))


async def test_an_answer_that_breaks_off_is_the_routers_failure() -> None:
    for asking in (api(None).standing(), api(None).receipts(0, 1), api(None).offer(REQUEST, "m")):
        with pytest.raises(RouterUnreachable):
            await asking


@pytest.mark.parametrize("told", [[], 5, {}, {"deployments": [{"price": "x"}]}, {"deployments": ["x"]}])
async def test_an_answer_that_cannot_be_read_is_the_routers_failure(told: Any) -> None:
    body = json.dumps(told).encode()
    for asking in (api(body).standing(), api(body).receipts(0, 1), api(body).offer(REQUEST, "m")):
        with pytest.raises(RouterUnreachable):
            await asking
