"""Sessions of signed-in wallets: opened once per nonce, found by a token, listed, revoked."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from router.ledger.models import ACCOUNT, Status
from router.people.errors import SignInRefused
from router.people.models import USED_NONCE, WALLET_SESSION
from router.people.siwe import CLOCK_SKEW_S, MAX_AGE_S

SESSION_PREFIX: Final = "vs-vibes-"
SESSION_ID_DIGITS: Final = 16
NONCE_KEPT_S: Final = 30 * 86_400
"""A used nonce is forgotten this long after it expired, so a clock that jumps does not bring it back."""
_STAMP_DIGITS, _RANDOM_DIGITS, _SEAL_DIGITS = 10, 22, 32

_FIND: Final = select(WALLET_SESSION).where(WALLET_SESSION.c.token_hash == bindparam("hash"))
_OWNED: Final = (
    select(ACCOUNT.c.idx)
    .where(ACCOUNT.c.owner == bindparam("address"), ACCOUNT.c.status == Status.OPEN)
    .order_by(ACCOUNT.c.idx)
)


@dataclass(frozen=True)
class SessionView:
    """A session without its token; `session_id` names it, times are unix seconds."""

    session_id: str
    address: str
    created_s: int
    expires_s: int
    revoked_s: int | None


class Nonces:
    """Makes nonces that any worker recognises, so that nothing is stored for a visitor who never signs in.

    A nonce is its expiry, 88 random bits and a 128-bit seal over both, all in hex digits.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"VIBES sign-in nonce", "sha256")

    def issue(self, now_s: int) -> tuple[str, int]:
        """A new nonce, and until when it is good."""
        expires_s = now_s + MAX_AGE_S
        head = f"{expires_s:0{_STAMP_DIGITS}x}" + secrets.token_hex(_RANDOM_DIGITS // 2)
        return head + self._seal(head), expires_s

    def check(self, nonce: str, now_s: int) -> int:
        """Until when the nonce is good.

        Raises:
            SignInRefused: it was not issued here, or is too old.
        """
        head, seal = nonce[:-_SEAL_DIGITS], nonce[-_SEAL_DIGITS:]
        if len(head) != _STAMP_DIGITS + _RANDOM_DIGITS or not hmac.compare_digest(seal, self._seal(head)):
            raise SignInRefused("the nonce was not issued by this router")
        expires_s = int(head[:_STAMP_DIGITS], 16)
        if not now_s < expires_s <= now_s + MAX_AGE_S + CLOCK_SKEW_S:
            raise SignInRefused("the nonce has expired: ask for a new one")
        return expires_s

    def _seal(self, head: str) -> str:
        return hmac.digest(self._key, head.encode(), "sha256").hex()[:_SEAL_DIGITS]


def hash_token(token: str) -> str:
    """sha256 of a session token, 64 hex digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def open_session(
    connection: Connection, nonce: str, nonce_expires_s: int, address: str, now_s: int, lasts_s: int
) -> tuple[str, SessionView]:
    """Opens a session and returns its token, at the only time that it can be read.

    Raises:
        SignInRefused: the nonce opened one before.
    """
    connection.execute(delete(USED_NONCE).where(USED_NONCE.c.expires_s < now_s - NONCE_KEPT_S))
    try:
        connection.execute(insert(USED_NONCE), {"nonce": nonce, "expires_s": nonce_expires_s})
    except IntegrityError:
        raise SignInRefused("the nonce was used before: ask for a new one") from None
    token = SESSION_PREFIX + secrets.token_urlsafe(32)
    row = {
        "token_hash": hash_token(token),
        "address": address,
        "created_s": now_s,
        "expires_s": now_s + lasts_s,
        "revoked_s": None,
    }
    connection.execute(insert(WALLET_SESSION), row)
    return token, SessionView(hash_token(token)[:SESSION_ID_DIGITS], address, now_s, now_s + lasts_s, None)


def find_session(connection: Connection, token_hash: str, now_s: int) -> SessionView | None:
    """The session that a token with this sha256 belongs to, None if it is over."""
    row = connection.execute(_FIND, {"hash": token_hash}).one_or_none()
    if row is None or not hmac.compare_digest(row.token_hash, token_hash):
        return None
    return None if row.revoked_s is not None or row.expires_s <= now_s else _view(row)


def sessions_of(connection: Connection, address: str, now_s: int) -> list[SessionView]:
    """The wallet's open sessions, oldest first."""
    query = select(WALLET_SESSION).where(
        WALLET_SESSION.c.address == address,
        WALLET_SESSION.c.revoked_s.is_(None),
        WALLET_SESSION.c.expires_s > now_s,
    )
    return [_view(row) for row in connection.execute(query.order_by(WALLET_SESSION.c.created_s))]


def revoke_session(connection: Connection, address: str, session_id: str, now_s: int) -> bool:
    """Ends a session of this wallet; False if it has none with this id."""
    if len(session_id) != SESSION_ID_DIGITS:
        return False
    ended = connection.execute(
        update(WALLET_SESSION)
        .where(
            WALLET_SESSION.c.address == address,
            WALLET_SESSION.c.token_hash.startswith(session_id, autoescape=True),
            WALLET_SESSION.c.revoked_s.is_(None),
        )
        .values(revoked_s=now_s)
    )
    return ended.rowcount > 0


def accounts_of(connection: Connection, address: str) -> tuple[int, ...]:
    """Indices of the open accounts that a wallet owns."""
    return tuple(connection.execute(_OWNED, {"address": address}).scalars())


def _view(row: Row[Any]) -> SessionView:
    return SessionView(
        row.token_hash[:SESSION_ID_DIGITS], row.address, row.created_s, row.expires_s, row.revoked_s
    )
