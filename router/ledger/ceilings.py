"""Signed spending ceilings: the signature is checked outside the ledger's writer, the rest inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, update

from mini_llm.wallet.ceiling import SignedCeiling, key_commitment, verify_ceiling
from router.ledger.errors import CeilingRejected
from router.ledger.models import ACCOUNT, CEILING, Status
from router.ledger.record import account_row
from router.ledger.views import account_of

MAX_CEILING_BASE: Final = 2**63 - 1
"""Highest ceiling that the database's integers hold; all tokens together are below 2^54."""


@dataclass(frozen=True)
class CheckedCeiling:
    """A ceiling whose signature holds. Only `check_ceiling` makes one.

    Attributes:
        signed: the ceiling.
        key_commit: commitment of the key that signed it.
    """

    signed: SignedCeiling
    key_commit: int


def check_ceiling(domain: int, signed: SignedCeiling) -> CheckedCeiling:
    """Verifies a ceiling's signature: milliseconds of arithmetic, so never inside the ledger's writer.

    Args:
        domain: `settlement_domain` of the contract that charges.
        signed: as a client sent it.

    Raises:
        CeilingRejected: wrong signature, or past 2^63 − 1.
    """
    if signed.ceiling_base > MAX_CEILING_BASE:
        raise CeilingRejected(signed.idx, f"{signed.ceiling_base} is above {MAX_CEILING_BASE}")
    if not verify_ceiling(domain, signed):
        raise CeilingRejected(signed.idx, "the signature does not hold")
    return CheckedCeiling(signed, key_commitment(signed.key))


def store_ceiling(connection: Connection, checked: CheckedCeiling) -> int:
    """Takes a cumulative ceiling and returns it, base units. The one in force again changes nothing.

    Args:
        connection: a writing transaction.
        checked: signed by the account's session key: the settled one, or the first requested one.

    Raises:
        UnknownAccount: no such account.
        CeilingRejected: other key, lower than before, or an account that takes none now.
    """
    signed = checked.signed
    account = account_of(account_row(connection, signed.idx))
    if account.status != Status.OPEN:
        raise CeilingRejected(account.idx, f"the account is {account.status}")
    if account.paused:
        raise CeilingRejected(account.idx, "a new session key waits for its batch; sign with it afterwards")
    if signed.ceiling_base < account.ceiling_base:
        raise CeilingRejected(
            account.idx, f"{signed.ceiling_base} is below the present {account.ceiling_base}"
        )
    if checked.key_commit != account.usable_key_commit:
        raise CeilingRejected(account.idx, "signed by a key that is not the account's session key")
    if signed.ceiling_base > account.ceiling_base:
        key = {"account_idx": account.idx, "key_commit": checked.key_commit.to_bytes(32, "big")}
        connection.execute(delete(CEILING).where(*(CEILING.c[name] == part for name, part in key.items())))
        connection.execute(
            insert(CEILING), key | {"ceiling_base": signed.ceiling_base, "signed": signed.to_json()}
        )
        connection.execute(
            update(ACCOUNT).where(ACCOUNT.c.idx == account.idx).values(ceiling_base=signed.ceiling_base)
        )
    return signed.ceiling_base
