"""Envelope encryption of kept keys: each is sealed under a data key of its own, that one under a master key.

The master key is in a file, or in a key management service behind a plugin:

    class CloudKeys(KeyWrapper): ...

    [project.entry-points."vibes_rails.key_wrappers"]     # in the plugin's pyproject.toml
    cloud = "my_package:open_keys"                        # open_keys(argument: str) -> KeyWrapper

and `VIBES_MASTER_KEY=cloud:ARGUMENT`. A wrapper is called in worker threads, several at a time, and may wait.

Source: NIST SP 800-38D (AES-GCM).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mini_llm.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SETTING: Final = "VIBES_MASTER_KEY"
PLUGINS: Final = "vibes_rails.key_wrappers"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class Unsealable(Exception):
    """A kept key cannot be opened: its master key is gone, or the row was altered."""

    def __init__(self, master_id: str) -> None:
        super().__init__(f"a key sealed under master key {master_id!r} cannot be opened")
        self.master_id = master_id


class KeyWrapper(ABC):
    """Holds master keys and wraps data keys under them."""

    @property
    @abstractmethod
    def current_id(self) -> str:
        """Name of the master key that `wrap` uses, at most 64 characters."""

    @abstractmethod
    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """A 32-byte data key, encrypted under the current master key and bound to a context."""

    @abstractmethod
    def unwrap(self, master_id: str, wrapped: bytes, context: bytes) -> bytes:
        """The data key again, under whichever master key wrapped it.

        Raises:
            Unsealable: unknown master key, other context, or altered bytes.
        """


class FileKeys(KeyWrapper):
    """Master keys from a file of lines `NAME BASE64` (32 bytes each): the first wraps, all unwrap."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        aes = _cipher()
        self._keys = {name: aes(key) for name, key in keys.items()}
        self._current_id = next(iter(keys))

    @property
    def current_id(self) -> str:
        """See `KeyWrapper`."""
        return self._current_id

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """See `KeyWrapper`."""
        return _encrypt(self._keys[self._current_id], data_key, context)

    def unwrap(self, master_id: str, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyWrapper`."""
        if master_id not in self._keys:
            raise Unsealable(master_id)
        return _decrypt(self._keys[master_id], wrapped, context, master_id)


@dataclass(frozen=True)
class Sealed:
    """A kept key as the database has it.

    Attributes:
        sealed: the key under its data key.
        wrapped: the data key under the master key.
        master_id: name of that master key.
    """

    sealed: bytes
    wrapped: bytes
    master_id: str


class Vault:
    """Seals and opens keys. A context (what the key is and whose) must be the same both times."""

    def __init__(self, wrapper: KeyWrapper) -> None:
        self._wrapper, self._aes = wrapper, _cipher()

    @property
    def current_id(self) -> str:
        """Name of the master key that new keys are sealed under."""
        return self._wrapper.current_id

    def seal(self, secret: bytes, context: bytes) -> Sealed:
        """Seals a key under a new data key."""
        data_key = secrets.token_bytes(KEY_BYTES)
        sealed = _encrypt(self._aes(data_key), secret, context)
        return Sealed(sealed, self._wrapper.wrap(data_key, context), self._wrapper.current_id)

    def open(self, kept: Sealed, context: bytes) -> bytes:
        """The key again.

        Raises:
            Unsealable: the master key is gone, the context is another, or something was altered.
        """
        data_key = self._wrapper.unwrap(kept.master_id, kept.wrapped, context)
        return _decrypt(self._aes(data_key), kept.sealed, context, kept.master_id)

    def rewrap(self, kept: Sealed, context: bytes) -> Sealed:
        """The same with its data key under the current master key; the key itself is not touched.

        Raises:
            Unsealable: as `open`.
        """
        data_key = self._wrapper.unwrap(kept.master_id, kept.wrapped, context)
        return Sealed(kept.sealed, self._wrapper.wrap(data_key, context), self._wrapper.current_id)


def open_vault(setting: str | None) -> Vault | None:
    """The vault that `VIBES_MASTER_KEY` names, None if it is not set.

    Raises:
        ConfigError: an unknown plugin, or no usable file.
    """
    if setting is None:
        return None
    kind, _, argument = setting.partition(":")
    if kind == "file":
        return Vault(FileKeys(_read_keys(Path(argument))))
    for plugin in entry_points(group=PLUGINS):
        if plugin.name == kind:
            return Vault(plugin.load()(argument))
    raise ConfigError(SETTING, f"{kind!r} is neither file: nor an installed plugin of {PLUGINS}")


def new_key_line(name: str) -> str:
    """A line for the key file, with a fresh random key."""
    return f"{name} {base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def _read_keys(path: Path) -> dict[str, bytes]:
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
        keys = {name: base64.b64decode(key, validate=True) for name, key in lines}
    except OSError as error:
        raise ConfigError(SETTING, f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, binascii.Error):
        keys = {}
    if (
        len(keys) < 1
        or len(keys) != len(lines if keys else ())
        or any(len(k) != KEY_BYTES for k in keys.values())
    ):
        raise ConfigError(
            SETTING, f"{path} does not hold lines of a name and 32 bytes in base64, each name once"
        )
    return keys


def _cipher() -> type[AESGCM]:
    # brings an OpenSSL of its own: megabytes that a router without a master key need not carry
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM


def encrypt(key: bytes, plain: bytes, context: bytes) -> bytes:
    """Encrypts under a 32-byte key, which may do so 2^32 times; bound to a context."""
    return _encrypt(_cipher()(key), plain, context)


def decrypt(key: bytes, packed: bytes, context: bytes, name: str) -> bytes:
    """What `encrypt` was given; `name` is the key's.

    Raises:
        Unsealable: another key or context, or altered bytes.
    """
    return _decrypt(_cipher()(key), packed, context, name)


def _encrypt(cipher: AESGCM, plain: bytes, context: bytes) -> bytes:
    nonce = secrets.token_bytes(
        NONCE_BYTES
    )  # at random: a data key seals once, a master key far below 2^32 times
    return nonce + cipher.encrypt(nonce, plain, context)


def _decrypt(cipher: AESGCM, packed: bytes, context: bytes, master_id: str) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(packed[:NONCE_BYTES], packed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        raise Unsealable(master_id) from None
