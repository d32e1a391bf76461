"""Who may operate the router: keys of their own, known by their hashes, and a slow door for guessers."""

from __future__ import annotations

import hashlib
import hmac
import logging
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

log = logging.getLogger(__name__)


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
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
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


class KeysFile:
    """The keys file as it is now: who is taken out of it is out with the next request.

    Raises:
        ConfigError: it is unusable at the start. Later such a file admits nobody.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stat()
        self._keys = read_admin_keys(path)

    def keys(self) -> Mapping[str, str]:
        """Hashes of the keys by the operators' names."""
        stamp = self._stat()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._keys = read_admin_keys(self._path)
            except ConfigError as error:
                log.error("no operator is admitted: %s", error)
                self._keys = {}
        return self._keys

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class AdminDoor:
    """Tells operators by their keys."""

    def __init__(self, file: KeysFile) -> None:
        self._file = file
        self._failures: dict[str, tuple[int, float]] = {}

    def admit(self, authorization: str | None, address: str) -> str:
        """The name of the operator whose key an `Authorization: Bearer …` header holds.

        Raises:
            UnknownAdminKey: it is nobody's.
            TooManyWrongKeys: the address has to wait.
        """
        scheme, _, key = (authorization or "").partition(" ")
        return self.admit_key(key if scheme.lower() == "bearer" else "", address)

    def admit_key(self, key: str, address: str) -> str:
        """The name of the operator whose key this is.

        Raises:
            UnknownAdminKey, TooManyWrongKeys.
        """
        self._check_failures(address)
        digest = _digest(key.strip()[:MAX_KEY_LENGTH])
        found = None
        for name, known in self._file.keys().items():  # all of them, each in constant time
            if hmac.compare_digest(known, digest):
                found = name
        if found is None:
            self._failed(address)
            raise UnknownAdminKey
        return found

    def digest_of(self, name: str) -> str | None:
        """The hash of an operator's key, None once it is taken out of the file."""
        return self._file.keys().get(name)

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
