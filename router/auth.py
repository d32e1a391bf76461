"""Who is calling: the account behind an API key."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from router.errors import UnknownApiKey
from router.ledger.keys import find_api_key, hash_api_key
from router.ledger.writer import Ledger

CACHE_S: Final = 2.0
"""A key is looked up again after this long, so a revoked one works no longer than this."""
CACHE_KEYS: Final = 10_000
_SCHEME: Final = "bearer"
_MAX_KEY_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and what it may do.

    Attributes:
        account_idx: the account that pays.
        key_id: id of the API key, as `keys list` shows it.
    """

    account_idx: int
    key_id: str


class Doors:
    """API keys of the ledger, known by their sha256 only, with a short memory of the valid ones."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, tuple[Principal, float]] = {}

    async def admit(self, authorization: str | None) -> Principal:
        """Who the `Authorization: Bearer …` header speaks for.

        Raises:
            UnknownApiKey: the header is missing or its key is not valid.
        """
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() != _SCHEME or not key or len(key) > _MAX_KEY_LENGTH:
            raise UnknownApiKey
        key_hash = hash_api_key(key)
        principal, until = self._known.get(key_hash, (None, 0.0))
        if principal is not None and time.monotonic() < until:
            return principal
        self._known.pop(key_hash, None)
        found = await asyncio.to_thread(
            self._ledger.read, lambda connection: find_api_key(connection, key_hash)
        )
        if found is None:
            raise UnknownApiKey
        if len(self._known) >= CACHE_KEYS:
            self._known.clear()
        principal = Principal(found.account_idx, found.key_id)
        self._known[key_hash] = (principal, time.monotonic() + CACHE_S)
        return principal
