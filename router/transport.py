"""The server's HTTP transport to providers: aiohttp under httpx, several times faster than httpx's own."""

from __future__ import annotations

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from mini_llm.transport import HttpxTransport, Transport


class ProviderTransport(AiohttpTransport):
    """An aiohttp transport without a limit of connections: reservations limit the calls in flight."""

    def __init__(self) -> None:
        super().__init__(client=_session)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx. Errors of aiohttp that its adapter lets through become httpx's."""
        try:
            return await super().handle_async_request(request)
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError(type(error).__name__) from error


def open_transport() -> Transport:
    """A transport for all providers; redirects are not followed, cookies not kept between accounts."""
    return HttpxTransport(
        httpx.AsyncClient(transport=ProviderTransport(), follow_redirects=False, trust_env=False)
    )


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept"),
    )
