"""What happened on chain, as entries: opened once per reference, taken back when the chain drops it.

A reorganisation never rewrites history: `reverse` posts the opposite of an entry, and the same event, back
in another block, opens the next attempt under the same origin key: credit → reverse → credit, three entries.

Money that the chain takes away may have been spent. What an account then lacks moves to `deficit:{idx}`, in
the entry that takes it, so that the account's balance never falls below what its running calls have reserved;
whatever comes in later pays the deficit back first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from router.ledger import post, settled
from router.ledger.errors import IdempotencyMismatch, UnknownAccount
from router.ledger.models import ACCOUNT, ACCOUNT_CHANGE, CEILING, ENTRY, POSTING, Kind
from router.ledger.post import Leg

_COUNTED: Final = ("pending_base", "settled_base", "written_off_base", "rewarded_base")
"""Running sums of an account that an entry changes by a difference."""

_FIND: Final = select(ACCOUNT).where(ACCOUNT.c.idx == bindparam("account_idx"))
_CHANGE: Final = update(ACCOUNT).where(ACCOUNT.c.idx == bindparam("account_idx"))
_LAST: Final = (
    select(*(ENTRY.c[name] for name in ("number", "id", "account_idx", "state", "body_hash", "attempt")))
    .where(ENTRY.c.origin_key == bindparam("key"))
    .order_by(ENTRY.c.attempt.desc())
    .limit(1)
)
_LEGS: Final = select(POSTING.c.account, POSTING.c.amount_base).where(
    POSTING.c.entry_number == bindparam("number")
)
_CHANGES: Final = select(ACCOUNT_CHANGE).where(ACCOUNT_CHANGE.c.entry_number == bindparam("number"))
_CEILING: Final = select(CEILING.c.ceiling_base).where(
    CEILING.c.account_idx == bindparam("account_idx"), CEILING.c.key_commit == bindparam("key")
)


@dataclass(frozen=True)
class Applied:
    """Outcome of recording something from the chain.

    Args:
        entry_id: the entry, 64 hex digits.
        new: False if the same thing had been recorded before; then nothing changed.
    """

    entry_id: str
    new: bool


@dataclass(frozen=True)
class Happening:
    """Something that happened on chain, with its entry; `kind` is one of `Kind`.

    Args:
        entry_id: the entry, 64 hex digits.
        number: row number of the entry that now waits for its legs, None if it was recorded before.
    """

    entry_id: str
    kind: str
    number: int | None

    @property
    def new(self) -> bool:
        """True if it was not recorded before."""
        return self.number is not None


@dataclass(frozen=True)
class Effect:
    """What a happening does to one account; amounts are differences in base units.

    Args:
        idx: the account.
        money_base: to what the account has, balance less deficit.
        pending_base: to the deposits that no batch has consumed.
        settled_base: to the settled charges.
        written_off_base: to the charges that can never be settled.
        rewarded_base: to the rewards that batches paid.
        values: new values of columns that nothing but the chain changes: owner, status, keys and requests.
    """

    idx: int
    money_base: int = 0
    pending_base: int = 0
    settled_base: int = 0
    written_off_base: int = 0
    rewarded_base: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)


def begin(
    connection: Connection, kind: str, reference: str, account_idx: int | None, content: Sequence[Any]
) -> Happening:
    """Opens an entry for something that happened on chain, unless one stands that no reversal took back.

    Args:
        connection: a writing transaction.
        kind: one of `Kind`.
        reference: what identifies the happening, e.g. `{chain tx hash}:{log index}`.
        account_idx: the account it is about, None for the house.
        content: what happened; the same reference with other content is refused.

    Raises:
        IdempotencyMismatch: if the reference was recorded with other content.
    """
    origin_key = post.content_hash(kind, reference).hex()
    body_hash = post.content_hash(*content)
    attempt = 0
    last = last_attempt(connection, origin_key)
    if last is not None:
        if not _reversed(connection, last):
            if last.body_hash != body_hash:
                raise IdempotencyMismatch(last.id)
            return Happening(last.id, kind, None)
        attempt = last.attempt + 1
    entry_id = post.content_hash(origin_key, attempt).hex()
    number = post.open_entry(connection, entry_id, kind, account_idx, body_hash, origin_key, attempt)
    return Happening(entry_id, kind, number)


def finish(
    connection: Connection, happening: Happening, effects: Iterable[Effect] = (), legs: Iterable[Leg] = ()
) -> Applied:
    """Applies a happening's effects and posts its entry; one that was recorded before changes nothing.

    Args:
        connection: the transaction that began it.
        happening: from `begin`.
        effects: at most one per account.
        legs: the other side of the effects' money, so that all together sum to zero.

    Raises:
        UnknownAccount, UnbalancedEntry.
    """
    if happening.number is None:
        return Applied(happening.entry_id, new=False)
    own = [leg for effect in effects for leg in _apply(connection, happening.number, effect)]
    post.post_entry(connection, happening.number, happening.kind, (*own, *legs))
    return Applied(happening.entry_id, new=True)


def reverse(connection: Connection, happenings: Iterable[tuple[str, str]]) -> int:
    """Takes back what a reorganisation dropped, the latest first, and returns how many entries that were.

    What was never recorded, or was reversed before, is passed over: the bridge may ask twice.

    Args:
        connection: a writing transaction.
        happenings: (kind, reference) of everything behind the last block that the chain kept.
    """
    standing: dict[int, Row[Any]] = {}
    for kind, reference in happenings:
        last = last_attempt(connection, post.content_hash(kind, reference).hex())
        if last is not None and not _reversed(connection, last):
            standing[last.number] = last
    for number in sorted(standing, reverse=True):
        _reverse(connection, standing[number])
    return len(standing)


def cover(connection: Connection, account_idx: int, cause: str) -> None:
    """Pays an account's deficit back with what is no longer reserved; `cause` names what released it."""
    row = account_row(connection, account_idx)
    if not row.deficit_base or row.balance_base == row.reserved_base:
        return
    happening = begin(connection, Kind.COVER, cause, account_idx, (account_idx,))
    finish(connection, happening, (Effect(account_idx),))


def account_row(connection: Connection, idx: int) -> Row[Any]:
    """The account's row.

    Raises:
        UnknownAccount: no such account.
    """
    row = connection.execute(_FIND, {"account_idx": idx}).one_or_none()
    if row is None:
        raise UnknownAccount(idx)
    return row


def last_attempt(connection: Connection, origin_key: str) -> Row[Any] | None:
    """The newest entry of one origin, a call's or an event's; None if there was none."""
    return connection.execute(_LAST, {"key": origin_key}).one_or_none()


def _reversed(connection: Connection, entry: Row[Any]) -> bool:
    return last_attempt(connection, entry.id) is not None


def _reverse(connection: Connection, entry: Row[Any]) -> None:
    """The opposite of an entry's legs, counts and values, at what the accounts have now."""
    entry_id = post.content_hash(entry.id, Kind.REVERSAL).hex()
    body_hash = post.content_hash(entry.id)
    number = post.open_entry(connection, entry_id, Kind.REVERSAL, entry.account_idx, body_hash, entry.id)
    legs = connection.execute(_LEGS, {"number": entry.number}).all()
    effects, own = [], set()
    for change in connection.execute(_CHANGES, {"number": entry.number}).all():
        money = {post.user(change.account_idx), post.deficit(change.account_idx)}
        own |= money
        effects.append(
            Effect(
                change.account_idx,
                money_base=-sum(leg.amount_base for leg in legs if leg.account in money),
                **{name: -getattr(change, name) for name in _COUNTED},
                values=_unpacked(change.before),
            )
        )
    house = [(leg.account, -leg.amount_base) for leg in legs if leg.account not in own]
    finish(connection, Happening(entry_id, Kind.REVERSAL, number), effects, house)
    settled.drop(connection, entry.number)


def _apply(connection: Connection, number: int, effect: Effect) -> list[Leg]:
    """Writes an effect down and into the account's row; returns the legs of its money."""
    row = account_row(connection, effect.idx)
    before = {name: getattr(row, name) for name in effect.values}
    connection.execute(
        insert(ACCOUNT_CHANGE),
        {"entry_number": number, "account_idx": effect.idx, "before": _packed(before)}
        | {name: getattr(effect, name) for name in _COUNTED},
    )
    has_base = row.balance_base - row.deficit_base + effect.money_base
    balance_base = max(has_base, row.reserved_base)
    deficit_base = balance_base - has_base
    changed = {
        "balance_base": balance_base,
        "deficit_base": deficit_base,
        "pending_deposit_base": row.pending_deposit_base + effect.pending_base,
        "settled_spent_base": row.settled_spent_base + effect.settled_base,
        "written_off_base": row.written_off_base + effect.written_off_base,
        "rewarded_base": row.rewarded_base + effect.rewarded_base,
        **effect.values,
    }
    after = row._asdict() | changed
    if _usable_key(after) != _usable_key(row._asdict()):
        changed["ceiling_base"] = _ceiling_base(connection, effect.idx, _usable_key(after))
    connection.execute(_CHANGE.values(changed), {"account_idx": effect.idx})
    return [
        (post.user(effect.idx), balance_base - row.balance_base),
        (post.deficit(effect.idx), row.deficit_base - deficit_base),
    ]


def _packed(values: Mapping[str, Any]) -> str:
    plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}
    return json.dumps(plain)


def _unpacked(packed: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(packed)
    for name in ("key_commit", "requested_key_commit"):
        if values.get(name) is not None:
            values[name] = bytes.fromhex(values[name])
    return values


def _usable_key(account: Mapping[str, Any]) -> bytes | None:
    """The key whose ceilings count, as in `AccountView.usable_key_commit`."""
    settled: bytes | None = account["key_commit"]
    requested: bytes | None = account["requested_key_commit"]
    return settled if settled is not None else requested


def _ceiling_base(connection: Connection, idx: int, key_commit: bytes | None) -> int:
    """What the key has signed for, 0 if nothing."""
    found = connection.execute(_CEILING, {"account_idx": idx, "key": key_commit}).scalar_one_or_none()
    return found or 0
