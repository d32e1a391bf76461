"""Session keys that the router holds for people who only have an API key.

Custodial: whoever holds the session key can spend the balance, so these people trust the operator with it.
The router signs ceilings for them in small steps: after a signature, what is signed for and neither spent,
reserved nor asked back is at most one US dollar at par, and no ceiling is above the limit that the owner set.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from mini_llm.wallet.babyjub import SUBORDER, public_key
from mini_llm.wallet.ceiling import key_commitment, sign_ceiling
from mini_llm.wallet.limits import BASE_PER_USD
from router.ledger import read
from router.ledger.ceilings import MAX_CEILING_BASE, CheckedCeiling, check_ceiling, store_ceiling
from router.ledger.errors import CeilingRejected
from router.ledger.views import AccountView
from router.ledger.writer import Ledger
from router.people.models import SESSION_KEY
from router.people.vault import Sealed, Vault

STEP_BASE: Final = BASE_PER_USD
"""Most that a signature allows beyond what the call at hand needs, base units."""
_SECRET_BYTES: Final = 32
_FIND: Final = select(SESSION_KEY).where(SESSION_KEY.c.key_commit == bindparam("commit"))


@dataclass(frozen=True)
class HeldKey:
    """A session key that the router holds.

    Attributes:
        key_commit: its commitment, which the owner's deposit names.
        owner: wallet address.
        limit_base: highest cumulative ceiling that the router may sign, base units.
        kept: the sealed secret.
    """

    key_commit: int
    owner: str
    limit_base: int
    kept: Sealed

    @property
    def context(self) -> bytes:
        """What the seal is bound to."""
        return key_context(self.key_commit)


def key_context(key_commit: int) -> bytes:
    """What a session key is sealed for."""
    return f"session key\n{key_commit}".encode()


def new_held_key(vault: Vault, owner: str, limit_base: int) -> HeldKey:
    """Draws and seals a session key; takes milliseconds, so not inside the ledger's writer."""
    secret = 1 + secrets.randbelow(SUBORDER - 1)
    key_commit = key_commitment(public_key(secret))
    kept = vault.seal(secret.to_bytes(_SECRET_BYTES, "big"), key_context(key_commit))
    return HeldKey(key_commit, owner, limit_base, kept)


def store_held_key(connection: Connection, held: HeldKey, now_s: int) -> None:
    """Keeps a session key."""
    row = {"key_commit": _packed(held.key_commit), "owner": held.owner, "limit_base": held.limit_base}
    connection.execute(insert(SESSION_KEY), row | vars(held.kept) | {"created_s": now_s})


def held_keys(connection: Connection, owner: str | None = None) -> list[HeldKey]:
    """The held keys of a wallet, or all, oldest first."""
    query = select(SESSION_KEY).order_by(SESSION_KEY.c.created_s)
    if owner is not None:
        query = query.where(SESSION_KEY.c.owner == owner)
    return [_held(row) for row in connection.execute(query)]


def set_limit(connection: Connection, owner: str, key_commit: int, limit_base: int) -> bool:
    """Sets how high the router may sign; False if the wallet has no such key. Signed ceilings stay signed."""
    changed = connection.execute(
        update(SESSION_KEY)
        .where(SESSION_KEY.c.key_commit == _packed(key_commit), SESSION_KEY.c.owner == owner)
        .values(limit_base=limit_base)
    )
    return changed.rowcount > 0


def replace_seal(connection: Connection, held: HeldKey, kept: Sealed) -> None:
    """Stores a rewrapped key."""
    connection.execute(
        update(SESSION_KEY).where(SESSION_KEY.c.key_commit == _packed(held.key_commit)).values(vars(kept))
    )


def find_held_key(connection: Connection, key_commit: int) -> HeldKey | None:
    """The held key with this commitment, None if the router does not hold it."""
    row = connection.execute(_FIND, {"commit": _packed(key_commit)}).one_or_none()
    return None if row is None else _held(row)


def key_of(connection: Connection, account: AccountView) -> HeldKey | None:
    """The held key whose ceilings count for an account, None if the router holds none that is its owner's."""
    commit = account.usable_key_commit
    held = None if commit is None else find_held_key(connection, commit)
    return held if held is not None and held.owner == account.owner else None


def spendable_base(account: AccountView, held: HeldKey | None) -> int:
    """What a new call may cost at most, base units: up to a held key's limit the ceiling rises by itself."""
    limit_base = 0 if held is None else held.limit_base
    return replace(account, ceiling_base=max(account.ceiling_base, limit_base)).available_base


@dataclass(frozen=True)
class _Room:
    """What a call lacks: the ceiling that it needs, and the one to sign; 0 if it lacks nothing."""

    held: HeldKey | None
    needed_base: int
    ceiling_base: int

    @property
    def suffices(self) -> bool:
        return self.needed_base == 0 or (self.held is not None and self.ceiling_base >= self.needed_base)


class Custodian:
    """Signs ceilings with held keys when a call needs more than the last one allows.

    Args:
        ledger: where accounts, held keys and ceilings are.
        vault: opens held keys; None if the router holds none.
        domain: `settlement_domain` of the contract that charges.
    """

    def __init__(self, ledger: Ledger, vault: Vault | None, domain: int) -> None:
        self._ledger, self._vault, self._domain = ledger, vault, domain
        self._turn = asyncio.Lock()

    def could_make_room(self, connection: Connection, account_idx: int, quote_base: int) -> bool:
        """Whether `make_room` would."""
        return self._vault is not None and _room(connection, account_idx, quote_base).suffices

    async def make_room(self, account_idx: int, quote_base: int) -> bool:
        """Raises the account's ceiling so that a quote fits under it.

        Returns:
            True if it is worth to try again. False if nothing can be signed: the router holds no key, or the
            owner's limit or the balance is reached.
        """
        if self._vault is None:
            return False
        vault = self._vault
        async with self._turn:
            room = await asyncio.to_thread(
                self._ledger.read, lambda connection: _room(connection, account_idx, quote_base)
            )
            held = room.held
            if held is None or not room.suffices:
                return room.suffices  # if it does, another call made room meanwhile

            def sign() -> CheckedCeiling:
                secret = int.from_bytes(vault.open(held.kept, held.context), "big")
                signed = sign_ceiling(secret, self._domain, account_idx, room.ceiling_base)
                return check_ceiling(self._domain, signed)

            checked = await asyncio.to_thread(sign)
            # another worker may have signed a higher one, or the key changed: the caller looks again
            with contextlib.suppress(CeilingRejected):
                await self._ledger.submit(lambda connection: store_ceiling(connection, checked))
            return True


def _room(connection: Connection, account_idx: int, quote_base: int) -> _Room:
    account = read.account_view(connection, account_idx)
    taken_base = account.spent_base + account.reserved_base + account.withdraw_requested_base
    needed_base = taken_base + quote_base
    if needed_base <= account.ceiling_base:
        return _Room(None, 0, account.ceiling_base)
    held = None if account.paused else key_of(connection, account)
    if held is None:
        return _Room(None, needed_base, 0)
    # no ceiling is signed for money that is not there
    funded_base = account.spent_base + max(0, account.balance_base - account.cancelling_base)
    most_base = min(held.limit_base, funded_base, MAX_CEILING_BASE)
    return _Room(held, needed_base, min(most_base, needed_base + STEP_BASE))


def _packed(key_commit: int) -> bytes:
    return key_commit.to_bytes(32, "big")


def _held(row: Row[Any]) -> HeldKey:
    kept = Sealed(row.sealed, row.wrapped, row.master_id)
    return HeldKey(int.from_bytes(row.key_commit, "big"), row.owner, row.limit_base, kept)
