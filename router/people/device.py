"""Logins of programs without a browser: a device shows a code, a wallet approves it elsewhere, a key is made.

The key is made at the moment that the device asks for it after the approval, in the transaction that marks
the login as taken: it is never stored readable, and there is no second one.

Source: RFC 8628 (device authorization grant).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from router.ledger.grants import Grant
from router.ledger.keys import NewSecret, create_api_key
from router.people.errors import TooManyCodes
from router.people.models import DEVICE_LOGIN, DEVICE_MISS, DeviceState
from router.people.sessions import accounts_of

LIFETIME_S: Final = 600
INTERVAL_S: Final = 5
"""How long a device waits between two questions; each one that comes too early adds as much."""
KEPT_S: Final = 600
"""For so long after its end a login can still be told to have expired."""
MAX_OPEN: Final = 10_000
"""Logins at one time: anybody may begin one. One more ends the oldest that no wallet has decided about."""
MAX_FROM_ONE: Final = 100
"""Logins that one network may begin in ten minutes; see `router.people.doorstep`."""
MAX_MISSES: Final = 10
"""Wrong user codes that a wallet may type within `MISS_WINDOW_S`."""
MISS_WINDOW_S: Final = 600

DEVICE_PREFIX: Final = "dc-vibes-"
USER_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no words come about, and no digits to be mistaken for letters."""
USER_LENGTH: Final = 8
_NOT_IN_A_CODE: Final = re.compile(r"[\s\-]+")

_BY_DEVICE: Final = select(DEVICE_LOGIN).where(DEVICE_LOGIN.c.device_hash == bindparam("hash"))
_BY_USER: Final = select(DEVICE_LOGIN).where(
    DEVICE_LOGIN.c.user_hash == bindparam("hash"),
    DEVICE_LOGIN.c.state == DeviceState.PENDING,
    DEVICE_LOGIN.c.expires_s > bindparam("now"),
)


@dataclass(frozen=True)
class Asking:
    """A login that waits, as its wallet sees it.

    Attributes:
        user_hash: names it.
        client_id: what the program calls itself.
        device_name: what it calls its machine; may be empty.
        scopes: what it asks for.
        expires_s: until when it can be approved, unix seconds.
    """

    user_hash: str
    client_id: str
    device_name: str
    scopes: frozenset[str]
    expires_s: int


@dataclass(frozen=True)
class Handed:
    """The key of an approved login."""

    made: NewSecret
    account_idx: int
    grant: Grant


class UserCodes:
    """Makes user codes and hashes them under a secret that the database does not have.

    A user code is short enough to be found from a plain hash by trying all of them.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"VIBES device login", "sha256")

    def issue(self) -> str:
        """A new one, such as ``WDJB-MJHT``: 20^8, about 2^34.6 of them."""
        half = USER_LENGTH // 2
        code = "".join(secrets.choice(USER_ALPHABET) for _ in range(USER_LENGTH))
        return f"{code[:half]}-{code[half:]}"

    def hash(self, typed: str) -> str:
        """64 hex digits; case, spaces and dashes do not matter."""
        code = _NOT_IN_A_CODE.sub("", typed).upper()
        return hmac.digest(self._key, code.encode(), "sha256").hex()


def new_device_code() -> str:
    """What the device keeps to itself: 256 random bits."""
    return DEVICE_PREFIX + secrets.token_urlsafe(32)


def hash_device_code(code: str) -> str:
    """sha256, 64 hex digits."""
    return hashlib.sha256(code.encode()).hexdigest()


def begin(connection: Connection, device_hash: str, asking: Asking, now_s: int) -> None:
    """Writes a login down; if too many are open, the oldest makes room, of those that wait if any does."""
    connection.execute(delete(DEVICE_LOGIN).where(DEVICE_LOGIN.c.expires_s < now_s - KEPT_S))
    open_now = select(func.count()).select_from(DEVICE_LOGIN).where(DEVICE_LOGIN.c.expires_s > now_s)
    if connection.execute(open_now).scalar_one() >= MAX_OPEN:
        oldest = (
            select(DEVICE_LOGIN.c.device_hash)
            .order_by(DEVICE_LOGIN.c.state != DeviceState.PENDING, DEVICE_LOGIN.c.created_s)
            .limit(1)
        )
        connection.execute(delete(DEVICE_LOGIN).where(DEVICE_LOGIN.c.device_hash.in_(oldest)))
    row = {
        "device_hash": device_hash,
        "user_hash": asking.user_hash,
        "client_id": asking.client_id,
        "device_name": asking.device_name,
        "scopes": " ".join(sorted(asking.scopes)),
        "created_s": now_s,
        "expires_s": asking.expires_s,
        "interval_s": INTERVAL_S,
        "state": DeviceState.PENDING,
    }
    connection.execute(insert(DEVICE_LOGIN), row)


def find_asking(connection: Connection, address: str, user_hash: str, now_s: int) -> Asking | None:
    """The login that waits under a user code; None if there is none, which counts against the wallet.

    Raises:
        TooManyCodes: the wallet may not guess on.
    """
    connection.execute(delete(DEVICE_MISS).where(DEVICE_MISS.c.at_s <= now_s - MISS_WINDOW_S))
    misses = select(DEVICE_MISS.c.at_s).where(DEVICE_MISS.c.address == address).order_by(DEVICE_MISS.c.at_s)
    times: Sequence[int] = connection.execute(misses).scalars().all()
    if len(times) >= MAX_MISSES:
        raise TooManyCodes(max(1, times[-MAX_MISSES] + MISS_WINDOW_S - now_s))
    row = connection.execute(_BY_USER, {"hash": user_hash, "now": now_s}).one_or_none()
    if row is None:
        connection.execute(insert(DEVICE_MISS), {"address": address, "at_s": now_s})
        return None
    scopes = frozenset(row.scopes.split())
    return Asking(row.user_hash, row.client_id, row.device_name, scopes, row.expires_s)


def approve(connection: Connection, asking: Asking, address: str, account_idx: int, grant: Grant) -> bool:
    """Lets the device have a key of this account; False if the login no longer waits."""
    granted = vars(grant) | {"scopes": sorted(grant.scopes), "models": grant.models and list(grant.models)}
    changes = {"account_idx": account_idx, "granted": json.dumps(granted)}
    return _decide(connection, asking, DeviceState.APPROVED, address, **changes)


def deny(connection: Connection, asking: Asking, address: str) -> bool:
    """Refuses the device; False if the login no longer waits."""
    return _decide(connection, asking, DeviceState.DENIED, address)


def redeem(connection: Connection, device_hash: str, client_id: str, now_s: int) -> Handed | str:
    """What a device that asks gets: the key, once, or an error code of RFC 8628 or RFC 6749.

    Args:
        connection: a writing transaction. Errors are returned, since raising would take back the time of
            this question, by which the next one is judged.
        device_hash: of the device code.
        client_id: must be the one that began the login.
        now_s: unix seconds.
    """
    row = connection.execute(_BY_DEVICE, {"hash": device_hash}).one_or_none()
    if row is None or row.client_id != client_id or row.state == DeviceState.TAKEN:
        return "invalid_grant"
    if row.state == DeviceState.DENIED:
        return "access_denied"
    if row.expires_s <= now_s:
        return "expired_token"
    early = row.polled_s is not None and now_s - row.polled_s < row.interval_s
    _update(connection, device_hash, polled_s=now_s, interval_s=row.interval_s + early * INTERVAL_S)
    if early:
        return "slow_down"
    return "authorization_pending" if row.state == DeviceState.PENDING else _hand_over(connection, row)


def _hand_over(connection: Connection, row: Row[Any]) -> Handed | str:
    taken = (
        update(DEVICE_LOGIN)
        .where(DEVICE_LOGIN.c.device_hash == row.device_hash, DEVICE_LOGIN.c.state == DeviceState.APPROVED)
        .values(state=DeviceState.TAKEN)
    )
    if connection.execute(taken).rowcount != 1:  # another worker was first
        return "invalid_grant"
    if row.account_idx not in accounts_of(connection, row.address):  # it changed hands since the approval
        return "access_denied"
    fields = json.loads(row.granted)
    models = None if fields["models"] is None else tuple(fields["models"])
    grant = Grant(**fields | {"scopes": frozenset(fields["scopes"]), "models": models})
    label = f"{row.client_id} on {row.device_name}" if row.device_name else row.client_id
    return Handed(create_api_key(connection, row.account_idx, label, grant=grant), row.account_idx, grant)


def _decide(connection: Connection, asking: Asking, state: str, address: str, **changes: Any) -> bool:
    decided = (
        update(DEVICE_LOGIN)
        .where(DEVICE_LOGIN.c.user_hash == asking.user_hash, DEVICE_LOGIN.c.state == DeviceState.PENDING)
        .values(state=state, address=address, **changes)
    )
    return connection.execute(decided).rowcount == 1


def _update(connection: Connection, device_hash: str, **changes: Any) -> None:
    connection.execute(update(DEVICE_LOGIN).where(DEVICE_LOGIN.c.device_hash == device_hash).values(changes))
