"""API keys: made, found by their secret, rotated, revoked. A secret is stored as its sha256 only."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, or_, select, update

from router.ledger.access import API_KEY, API_SECRET, PROVIDER_KEY, TEAM
from router.ledger.errors import InvalidGrant, UnknownKey
from router.ledger.grants import Grant
from router.ledger.record import account_row

API_KEY_PREFIX: Final = "sk-vibes-"
KEY_ID_DIGITS: Final = 16
"""A key's id: this many hex digits of the sha256 of its first secret."""
MAX_LABEL: Final = 100
MAX_GRACE_S: Final = 30 * 86_400
"""Longest time that a rotated secret still works, seconds."""


@dataclass(frozen=True)
class ApiKeyView:
    """An API key without its secrets.

    Attributes:
        key_id: 16 hex digits; names it in lists, for rotating and revoking.
        account_idx: account that pays for its calls.
        team_id: the team that it belongs to, None for a key of the account itself.
        member: wallet address of the team's member whose key it is.
        label: the name that its maker gave it.
        grant: what it may do.
        created_s: unix seconds.
        revoked_s: unix seconds, None while it is valid.
        retired: it was found by a secret that a newer one replaced, which works for its grace only.
    """

    key_id: str
    account_idx: int
    team_id: int | None
    member: str | None
    label: str
    grant: Grant
    created_s: int
    revoked_s: int | None
    retired: bool = False


@dataclass(frozen=True)
class NewSecret:
    """A key's secret, at the only time that it can be read."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"NewSecret({self.key_id})"


_FIND: Final = (
    select(API_KEY, API_SECRET.c.secret_hash, API_SECRET.c.until_s)
    .join(API_SECRET, API_SECRET.c.key_id == API_KEY.c.key_id)
    .where(API_SECRET.c.secret_hash == bindparam("hash"))
)


def hash_api_key(api_key: str) -> str:
    """sha256 of a secret, 64 hex digits; secrets are random, so no salt is needed."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def create_api_key(
    connection: Connection,
    idx: int,
    label: str,
    *,
    grant: Grant | None = None,
    team: tuple[int, str] | None = None,
) -> NewSecret:
    """Makes an API key for an account.

    Args:
        connection: a writing transaction.
        idx: account that pays.
        label: a name to find it by, at most 100 characters.
        grant: what it may do, by default call and look without a limit.
        team: the team and the wallet address of its member, if the key is a member's.

    Raises:
        UnknownAccount: no such account.
        InvalidGrant: the label is too long.
    """
    account_row(connection, idx)
    secret = API_KEY_PREFIX + secrets.token_urlsafe(32)
    key_id = hash_api_key(secret)[:KEY_ID_DIGITS]
    values = _granted(label, grant or Grant()) | {
        "key_id": key_id,
        "account_idx": idx,
        "team_id": team and team[0],
        "member": team and team[1],
        "created_s": _now_s(),
        "revoked_s": None,
    }
    connection.execute(insert(API_KEY), values)
    _add_secret(connection, key_id, secret)
    return NewSecret(key_id, secret)


def change_api_key(connection: Connection, key_id: str, label: str, grant: Grant) -> ApiKeyView:
    """Gives a key another label and grant; its secrets stay.

    A spending limit that is new counts from now on: sums are not kept for keys without one.

    Raises:
        UnknownKey: no such key, or it is revoked.
        InvalidGrant: the label is too long.
    """
    if api_key(connection, key_id).revoked_s is not None:
        raise UnknownKey(key_id)
    changed = update(API_KEY).where(API_KEY.c.key_id == key_id).values(_granted(label, grant))
    connection.execute(changed)
    return api_key(connection, key_id)


def rotate_api_key(connection: Connection, key_id: str, grace_s: int) -> NewSecret:
    """Gives a key a new secret; those it has work for another `grace_s` seconds, never longer than before.

    Raises:
        UnknownKey: no such key, or it is revoked.
        InvalidGrant: a grace below 0 or above 30 days.
    """
    if not 0 <= grace_s <= MAX_GRACE_S:
        raise InvalidGrant("grace_s", f"{grace_s} is not in 0 … {MAX_GRACE_S}")
    if api_key(connection, key_id).revoked_s is not None:
        raise UnknownKey(key_id)
    until_s = _now_s() + grace_s
    connection.execute(
        update(API_SECRET)
        .where(
            API_SECRET.c.key_id == key_id,
            API_SECRET.c.until_s.is_(None) | (API_SECRET.c.until_s > until_s),
        )
        .values(until_s=until_s)
    )
    secret = API_KEY_PREFIX + secrets.token_urlsafe(32)
    _add_secret(connection, key_id, secret)
    return NewSecret(key_id, secret)


def revoke_api_key(connection: Connection, key_id: str) -> bool:
    """Revokes the key with this id; False if there is none that is valid."""
    return _revoke(connection, API_KEY.c.key_id == key_id) > 0


def end_arrangements(connection: Connection, idx: int) -> None:
    """Ends what the wallet that had an account arranged: its API keys, its teams, its own provider keys."""
    _revoke(connection, API_KEY.c.account_idx == idx)
    open_teams = (TEAM.c.account_idx == idx, TEAM.c.closed_s.is_(None))
    connection.execute(update(TEAM).where(*open_teams).values(closed_s=_now_s()))
    connection.execute(delete(PROVIDER_KEY).where(PROVIDER_KEY.c.account_idx == idx))


def forget_keys(connection: Connection, idx: int, owner: str) -> int:
    """Revokes the API keys of an account and those that its owner has in others' teams, and erases what tells
    whose they were: labels, secrets' hashes, the member's address. Returns how many there are."""
    theirs = or_(API_KEY.c.account_idx == idx, API_KEY.c.member == owner)
    _revoke(connection, theirs)
    ids = select(API_KEY.c.key_id).where(theirs)
    connection.execute(delete(API_SECRET).where(API_SECRET.c.key_id.in_(ids)))
    found = connection.execute(update(API_KEY).where(theirs).values(label="")).rowcount
    connection.execute(update(API_KEY).where(API_KEY.c.member == owner).values(member=""))
    return found


def revoke_of_member(connection: Connection, team_id: int, member: str | None) -> int:
    """Revokes the keys of a team's member, or with None of all members; returns how many."""
    where = [API_KEY.c.team_id == team_id]
    if member is not None:
        where.append(API_KEY.c.member == member)
    return _revoke(connection, *where)


def find_api_key(connection: Connection, key_hash: str) -> ApiKeyView | None:
    """The valid key that a secret with this sha256 speaks for, None if it is void or unknown."""
    row = connection.execute(_FIND, {"hash": key_hash}).one_or_none()
    # the index lookup compares hashes, not keys; the final word is a comparison in constant time
    if row is None or not hmac.compare_digest(row.secret_hash, key_hash):
        return None
    over = any(end_s is not None and end_s <= _now_s() for end_s in (row.until_s, row.expires_s))
    return None if over or row.revoked_s is not None else _view(row, retired=row.until_s is not None)


def api_key(connection: Connection, key_id: str) -> ApiKeyView:
    """One key, revoked or not.

    Raises:
        UnknownKey: no such key.
    """
    row = connection.execute(select(API_KEY).where(API_KEY.c.key_id == key_id)).one_or_none()
    if row is None:
        raise UnknownKey(key_id)
    return _view(row)


def api_keys(connection: Connection, idx: int | None = None, team_id: int | None = None) -> list[ApiKeyView]:
    """API keys, oldest first, revoked ones included; of one account or team, or all."""
    query: Select[Any] = select(API_KEY).order_by(API_KEY.c.created_s, API_KEY.c.key_id)
    if idx is not None:
        query = query.where(API_KEY.c.account_idx == idx)
    if team_id is not None:
        query = query.where(API_KEY.c.team_id == team_id)
    return [_view(row) for row in connection.execute(query)]


def _granted(label: str, grant: Grant) -> dict[str, Any]:
    """The columns of what a key's maker chose."""
    if len(label) > MAX_LABEL or not label.isprintable():
        raise InvalidGrant("label", f"at most {MAX_LABEL} printable characters")
    return vars(grant) | {
        "label": label,
        "scopes": " ".join(sorted(grant.scopes)),
        "models": None if grant.models is None else json.dumps(grant.models),
    }


def _add_secret(connection: Connection, key_id: str, secret: str) -> None:
    row = {"secret_hash": hash_api_key(secret), "key_id": key_id, "created_s": _now_s(), "until_s": None}
    connection.execute(insert(API_SECRET), row)


def _revoke(connection: Connection, *where: Any) -> int:
    revoked = update(API_KEY).where(API_KEY.c.revoked_s.is_(None), *where).values(revoked_s=_now_s())
    return connection.execute(revoked).rowcount


def _view(row: Row[Any], retired: bool = False) -> ApiKeyView:
    amounts = ("day_limit_base", "month_limit_base", "auto_day_base", "auto_month_base")
    rates = ("requests_per_minute", "tokens_per_minute", "parallel")
    grant = Grant(
        scopes=frozenset(row.scopes.split()),
        models=None if row.models is None else tuple(json.loads(row.models)),
        expires_s=row.expires_s,
        **{name: getattr(row, name) for name in (*amounts, *rates)},
    )
    whose = (row.key_id, row.account_idx, row.team_id, row.member)
    return ApiKeyView(*whose, row.label, grant, row.created_s, row.revoked_s, retired)


def _now_s() -> int:
    return int(time.time())
