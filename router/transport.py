"""The server's HTTP transport to providers: aiohttp under httpx, several times faster than httpx's own."""

from __future__ import annotations

from functools import partial

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport

from mini_llm.transport import HttpxTransport, Transport


class ProviderTransport(AiohttpTransport):
    """An aiohttp transport without a limit of connections: reservations limit the calls in flight."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        super().__init__(client=partial(_session, resolver))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx. Errors of aiohttp that its adapter lets through become httpx's."""
        try:
            return await super().handle_async_request(request)
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError(type(error).__name__) from error


def open_transport(resolver: AbstractResolver | None = None) -> Transport:
    """A transport for all providers; redirects are not followed, cookies not kept between accounts.

    resolver: finds addresses for names, and may refuse them; None is the system's.
    """
    return HttpxTransport(
        httpx.AsyncClient(transport=ProviderTransport(resolver), follow_redirects=False, trust_env=False)
    )


def _session(resolver: AbstractResolver | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept"),
    )
