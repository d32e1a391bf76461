"""Endpoints that users name: a hosted router connects to public addresses only.

A name is resolved once, by the connection that uses it, and what it resolves to is checked then: a name that
answers differently the second time gains nothing. Redirects are never followed.

Source: RFC 6890 (special-purpose addresses), OWASP's notes on server-side request forgery.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import AnyHttpUrl

from router.people.errors import EndpointRefused

MAX_URL: Final = 500
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class PrivateAddress(OSError):
    """A name leads to an address that is not public."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} has no public address")
        self.host = host


class PublicResolver(AbstractResolver):
    """Resolves names for connections, and drops every address that is not public.

    Raises:
        PrivateAddress: none is left.
    """

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See aiohttp."""
        if self._inner is None:
            self._inner = ThreadedResolver()  # wants a running loop
        found = await self._inner.resolve(host, port, family)
        if not found or not all(is_public(entry["host"]) for entry in found):
            raise PrivateAddress(host)  # one bad address is enough: such a name is not to be trusted
        return found

    async def close(self) -> None:
        """See aiohttp."""
        if self._inner is not None:
            await self._inner.close()


def is_public(address: str) -> bool:
    """True for a unicast address of the public internet; IPv6 forms that carry an IPv4 address are not."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (
        ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip in _NAT64 or ip.is_site_local
    ):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def check_endpoint(url: str, private: bool) -> str:
    """The URL without a slash at its end, if users may name it.

    Args:
        url: a provider's API, up to and with `/v1`.
        private: the router is a local one: plain http and addresses of its network are allowed.

    Raises:
        EndpointRefused: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        # as the client will read it, to whom 127.1 and 2130706433 are addresses and %31 is a digit
        host = (AnyHttpUrl(url).host or "").strip("[]")
    except ValueError:
        raise EndpointRefused("is no URL") from None
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or not (parts.hostname and host):
        raise EndpointRefused("is no URL")
    if parts.username is not None or parts.query or parts.fragment:
        raise EndpointRefused("has no user, query or fragment")
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise EndpointRefused("must begin with https://")
    if not private and _is_address(host) and not is_public(host):  # names are checked when they are resolved
        raise EndpointRefused("is not a public address")
    return url.rstrip("/")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
