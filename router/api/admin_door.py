"""Who may operate the router: keys of their own, known by their hashes, and a slow door for guessers."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mini_llm.errors import ConfigError
from router.errors import TooManyWrongKeys, UnknownAdminKey

PREFIX: Final = "sk-admin-"
FAILURES: Final = 10
"""Wrong keys that an address may send within `WINDOW_S`."""
WINDOW_S: Final = 60
MAX_ADDRESSES: Final = 10_000
MAX_KEY_LENGTH: Final = 256
_LINE: Final = re.compile(r"([A-Za-z0-9._@-]{1,64})\s+([0-9a-f]{64})")


def new_admin_key(name: str) -> tuple[str, str]:
    """A new key, and the line of the keys file that admits it."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, f"{name} {_digest(key)}"


def read_admin_keys(path: Path) -> dict[str, str]:
    """Reads a keys file: a name and the sha256 of a key on each line, `#` begins a comment.

    Raises:
        ConfigError: the file cannot be read, or a line is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError("VIBES_ADMIN_KEYS_FILE", f"{path} cannot be read ({error.strerror})") from None
    keys: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            reason = f"{path} line {number} is not 'NAME SHA256': make one with `vibes-router admin-key`"
            raise ConfigError("VIBES_ADMIN_KEYS_FILE", reason)
        keys[found[1]] = found[2]
    return keys


class AdminDoor:
    """Tells operators by their keys."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = dict(keys)
        self._failures: dict[str, tuple[int, float]] = {}

    def admit(self, authorization: str | None, address: str) -> str:
        """The name of the operator whose key an `Authorization: Bearer …` header holds.

        Raises:
            UnknownAdminKey: it is nobody's.
            TooManyWrongKeys: the address has to wait.
        """
        self._check_failures(address)
        scheme, _, key = (authorization or "").partition(" ")
        digest = _digest(key.strip()[:MAX_KEY_LENGTH])
        found = None
        for name, known in self._keys.items():  # all of them, each in constant time
            if hmac.compare_digest(known, digest):
                found = name
        if found is None or scheme.lower() != "bearer":
            self._failed(address)
            raise UnknownAdminKey
        return found

    def _check_failures(self, address: str) -> None:
        count, since_s = self._failures.get(address, (0, 0.0))
        left_s = since_s + WINDOW_S - time.monotonic()
        if count >= FAILURES and left_s > 0:
            raise TooManyWrongKeys(int(left_s) + 1)

    def _failed(self, address: str) -> None:
        now_s = time.monotonic()
        count, since_s = self._failures.get(address, (0, now_s))
        if now_s - since_s >= WINDOW_S:
            count, since_s = 0, now_s
        if len(self._failures) >= MAX_ADDRESSES:
            self._failures.clear()
        self._failures[address] = (count + 1, since_s)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
