"""What lets an account spend: API keys (stored as sha256 only) and signed spending ceilings."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mini_llm.wallet.ceiling import SignedCeiling, key_commitment, verify_ceiling
from router.ledger.errors import CeilingRejected, UnknownAccount
from router.ledger.models import ACCOUNT, API_KEY, CEILING, Status
from router.ledger.views import account_of

API_KEY_PREFIX: Final = "sk-vibes-"
KEY_ID_DIGITS: Final = 16
"""An API key is named by this many hex digits of its sha256."""

MAX_CEILING_BASE: Final = 2**63 - 1
"""Highest ceiling that the database's integers hold; all tokens together are below 2^54."""

_FIND: Final = select(ACCOUNT).where(ACCOUNT.c.idx == bindparam("account_idx"))


def hash_api_key(api_key: str) -> str:
    """sha256 of an API key, 64 hex digits; the keys are random, so no salt is needed."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def create_api_key(connection: Connection, idx: int, label: str) -> str:
    """Makes an API key for an account and returns it: the only time that it can be read.

    Raises:
        UnknownAccount: no such account.
    """
    if connection.execute(_FIND, {"account_idx": idx}).one_or_none() is None:
        raise UnknownAccount(idx)
    api_key = API_KEY_PREFIX + secrets.token_urlsafe(32)
    connection.execute(
        insert(API_KEY),
        {
            "key_hash": hash_api_key(api_key),
            "account_idx": idx,
            "label": label,
            "created_s": int(time.time()),
            "revoked_s": None,
        },
    )
    return api_key


def revoke_api_key(connection: Connection, key_id: str) -> bool:
    """Revokes the key with this id (16 hex digits); False if there is none that is valid."""
    if len(key_id) != KEY_ID_DIGITS:
        return False
    result = connection.execute(
        update(API_KEY)
        .where(API_KEY.c.key_hash.startswith(key_id, autoescape=True), API_KEY.c.revoked_s.is_(None))
        .values(revoked_s=int(time.time()))
    )
    return result.rowcount > 0


def revoke_all(connection: Connection, idx: int) -> None:
    """Revokes every API key of an account."""
    connection.execute(
        update(API_KEY)
        .where(API_KEY.c.account_idx == idx, API_KEY.c.revoked_s.is_(None))
        .values(revoked_s=int(time.time()))
    )


def store_ceiling(connection: Connection, domain: int, signed: SignedCeiling) -> int:
    """Takes a signed cumulative ceiling and returns it, base units. The one in force again changes nothing.

    Args:
        connection: a writing transaction.
        domain: `settlement_domain` of the contract that charges.
        signed: by the account's session key: the settled one, or the first requested one.

    Raises:
        UnknownAccount: no such account.
        CeilingRejected: other key, wrong signature, lower than before, or past 2^63 − 1.
    """
    row = connection.execute(_FIND, {"account_idx": signed.idx}).one_or_none()
    if row is None:
        raise UnknownAccount(signed.idx)
    account = account_of(row)
    if account.status != Status.OPEN:
        raise CeilingRejected(account.idx, f"the account is {account.status}")
    if account.paused:
        raise CeilingRejected(account.idx, "a new session key waits for its batch; sign with it afterwards")
    if signed.ceiling_base > MAX_CEILING_BASE:
        raise CeilingRejected(account.idx, f"{signed.ceiling_base} is above {MAX_CEILING_BASE}")
    if signed.ceiling_base < account.ceiling_base:
        raise CeilingRejected(
            account.idx, f"{signed.ceiling_base} is below the present {account.ceiling_base}"
        )
    if not verify_ceiling(domain, signed):
        raise CeilingRejected(account.idx, "the signature does not hold")
    if key_commitment(signed.key) != account.usable_key_commit:
        raise CeilingRejected(account.idx, "signed by a key that is not the account's session key")
    if signed.ceiling_base > account.ceiling_base:
        key = {"account_idx": account.idx, "key_commit": account.usable_key_commit.to_bytes(32, "big")}
        connection.execute(delete(CEILING).where(*(CEILING.c[name] == part for name, part in key.items())))
        connection.execute(
            insert(CEILING), key | {"ceiling_base": signed.ceiling_base, "signed": signed.to_json()}
        )
        connection.execute(
            update(ACCOUNT).where(ACCOUNT.c.idx == account.idx).values(ceiling_base=signed.ceiling_base)
        )
    return signed.ceiling_base
