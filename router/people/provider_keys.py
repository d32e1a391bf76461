"""Users' own provider keys, kept sealed: a call with one is billed by the provider to the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from router.ledger.access import PROVIDER_KEY
from router.people.vault import Sealed, Vault

MAX_KEY: Final = 4096
SHOWN_DIGITS: Final = 4
MIN_SHOWN_FROM: Final = 12
"""Of a shorter key nothing is shown: four characters would be too much of it."""

_OF_ACCOUNT: Final = (
    select(PROVIDER_KEY)
    .where(PROVIDER_KEY.c.account_idx == bindparam("account_idx"))
    .order_by(PROVIDER_KEY.c.provider)
)


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A user's key at one provider, still sealed.

    Attributes:
        id: row number; a replaced key gets a new one.
        account_idx: whose it is.
        provider: name of a provider in the router's configuration.
        base_url: the user's own endpoint, None for the configured one.
        last4: last four characters of the key, empty for a short key.
        kept: the sealed key.
        created_s: unix seconds.
    """

    id: int
    account_idx: int
    provider: str
    base_url: str | None
    last4: str
    kept: Sealed
    created_s: int

    @property
    def context(self) -> bytes:
        """What the seal is bound to: a row copied to another account or provider does not open."""
        return key_context(self.account_idx, self.provider, self.base_url)


def key_context(account_idx: int, provider: str, base_url: str | None) -> bytes:
    """What a provider key is sealed for."""
    return "\n".join(("provider key", str(account_idx), provider, base_url or "")).encode()


def seal_key(vault: Vault, account_idx: int, provider: str, base_url: str | None, key: str) -> Sealed:
    """Seals a key; it may wait for a key management service, so not inside the ledger's writer."""
    return vault.seal(key.encode(), key_context(account_idx, provider, base_url))


def open_key(vault: Vault, own: OwnKey) -> str:
    """The key itself.

    Raises:
        Unsealable: see `Vault.open`.
    """
    return vault.open(own.kept, own.context).decode()


def shown(key: str) -> str:
    """The end of a key, by which its owner knows it."""
    return key[-SHOWN_DIGITS:] if len(key) >= MIN_SHOWN_FROM else ""


def put_key(
    connection: Connection,
    account_idx: int,
    provider: str,
    base_url: str | None,
    last4: str,
    kept: Sealed,
    now_s: int,
) -> None:
    """Stores an account's key at a provider, in the place of the one before."""
    delete_key(connection, account_idx, provider)
    row = {"account_idx": account_idx, "provider": provider, "base_url": base_url, "last4": last4}
    connection.execute(insert(PROVIDER_KEY), row | vars(kept) | {"created_s": now_s})


def delete_key(connection: Connection, account_idx: int, provider: str) -> bool:
    """Forgets a key; False if there was none."""
    gone = connection.execute(
        delete(PROVIDER_KEY).where(
            PROVIDER_KEY.c.account_idx == account_idx, PROVIDER_KEY.c.provider == provider
        )
    )
    return gone.rowcount > 0


def keys_of(connection: Connection, account_idx: int) -> Mapping[str, OwnKey]:
    """An account's own keys by provider."""
    rows = connection.execute(_OF_ACCOUNT, {"account_idx": account_idx})
    return {row.provider: own_key(row) for row in rows}


def all_keys(connection: Connection) -> list[OwnKey]:
    """Every kept key, for rewrapping."""
    return [own_key(row) for row in connection.execute(select(PROVIDER_KEY))]


def replace_seal(connection: Connection, own: OwnKey, kept: Sealed) -> None:
    """Stores a rewrapped key, unless the row was replaced meanwhile."""
    connection.execute(
        update(PROVIDER_KEY)
        .where(PROVIDER_KEY.c.id == own.id, PROVIDER_KEY.c.sealed == own.kept.sealed)
        .values(vars(kept))
    )


def own_key(row: Row[Any]) -> OwnKey:
    """The key in a row of `provider_key`."""
    kept = Sealed(row.sealed, row.wrapped, row.master_id)
    return OwnKey(row.id, row.account_idx, row.provider, row.base_url, row.last4, kept, row.created_s)
