"""How often a network may ask for what costs the router something, so that nobody alone crowds others out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Final

from router.people.errors import TooOften

WINDOW_S: Final = 600
MAX_NETWORKS: Final = 10_000
_SITE_BITS: Final = 64
"""Of an IPv6 address, what tells its network; its owner chooses the rest at will."""


class Doorstep:
    """Counts what networks ask for at this worker.

    Args:
        most: so often may one ask within the window; a company may share an address.
        clock: seconds.
        window_s: counts anew after so long.
    """

    def __init__(
        self, most: int, clock: Callable[[], float] = time.monotonic, window_s: int = WINDOW_S
    ) -> None:
        self._most, self._clock, self._window_s = most, clock, window_s
        self._asked: dict[str, tuple[int, float]] = {}

    def wait_s(self, address: str) -> int:
        """Takes a request of this address in and returns 0; else for how many seconds it has to wait."""
        network, now_s = _network(address), self._clock()
        count, since_s = self._asked.pop(network, (0, now_s))
        if now_s - since_s >= self._window_s:
            count, since_s = 0, now_s
        if len(self._asked) >= MAX_NETWORKS:
            del self._asked[next(iter(self._asked))]  # the one that has been quiet for longest
        self._asked[network] = (min(count + 1, self._most), since_s)
        return 0 if count < self._most else math.ceil(since_s + self._window_s - now_s)

    def require(self, address: str) -> None:
        """Lets a request of this address pass without counting it.

        Raises:
            TooOften: it has to wait.
        """
        count, since_s = self._asked.get(_network(address), (0, 0.0))
        wait_s = since_s + self._window_s - self._clock()
        if count >= self._most and wait_s > 0:
            raise TooOften(math.ceil(wait_s))

    def enter(self, address: str) -> None:
        """Takes a request of this address in.

        Raises:
            TooOften: it has to wait.
        """
        if wait_s := self.wait_s(address):
            raise TooOften(wait_s)

    def forgive(self, address: str) -> None:
        """Takes back a request of this address that was let in and was no waste."""
        network = _network(address)
        count, since_s = self._asked.get(network, (0, 0.0))
        if count:
            self._asked[network] = (count - 1, since_s)


def _network(address: str) -> str:
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if known.version == 6 and known.ipv4_mapped is not None:  # as a socket for both kinds tells IPv4
        known = known.ipv4_mapped
    return str(known) if known.version == 4 else str(ip_network((known, _SITE_BITS), strict=False))
