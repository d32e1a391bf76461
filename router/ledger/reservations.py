"""A call's life in the ledger: reserve, then post, void or expire. The provider is called in between.

Rules for a repeated idempotency key (`Entry.id` = hash(account, endpoint, client key)):
  posted             the stored answer comes back; nothing runs or is charged again
  pending            `InFlight`: the first call runs, or its process died and nobody knows what upstream did
  voided or expired  nothing was charged, so the key reserves anew, as the next attempt of one call key
  other body         `IdempotencyMismatch`, whatever became of the first
A lease that its worker no longer renews is expired by the sweeper. If the worker then posts after all, the
charge is the operator's loss: the user's money was released and may be spent.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select, update

from mini_llm.wallet.receipt import SignedReceipt
from router.ledger import post
from router.ledger.charges import call_entry, finished_call, hold
from router.ledger.errors import (
    AccountClosed,
    AccountInDeficit,
    AccountPaused,
    EntryClosed,
    IdempotencyMismatch,
    InFlight,
    InsufficientFunds,
    UnknownEntry,
)
from router.ledger.models import ACCOUNT, ANSWER, ENTRY, Kind, State, Status
from router.ledger.record import account_row, cover, last_attempt
from router.ledger.views import StoredAnswer, account_of, receipt_of

SWEEP_LIMIT: Final = 500
"""Most leases that one sweep expires, so that it never holds up a commit for long."""

_FIND_ANSWER: Final = select(ANSWER).where(ANSWER.c.entry_number == bindparam("number"))
_RENEW: Final = (
    update(ENTRY).where(ENTRY.c.number == bindparam("entry_number")).values(lease_until_s=bindparam("until"))
)
_PENDING: Final = (
    select(ENTRY.c.number, ENTRY.c.id, ENTRY.c.account_idx, ENTRY.c.quote_base, ACCOUNT.c.deficit_base)
    .join(ACCOUNT, ACCOUNT.c.idx == ENTRY.c.account_idx)
    .where(ENTRY.c.state == State.PENDING, ENTRY.c.kind == Kind.CALL)
)
_RUNNING: Final = _PENDING.where(ENTRY.c.account_idx == bindparam("account_idx"))
_LAPSED: Final = (
    _PENDING.where(ENTRY.c.lease_until_s < bindparam("now"))
    .order_by(ENTRY.c.lease_until_s)
    .limit(SWEEP_LIMIT)
)


@dataclass(frozen=True)
class Reservation:
    """A request for money before a call.

    Args:
        account_idx: account that pays.
        endpoint: path of the API call, part of the idempotency key.
        client_key: the client's Idempotency-Key, None if it sent none.
        body_hash: sha256 of the request body, 32 bytes.
        quote_base: most that the call can cost, base units, 0 … 2^54 − 1.
        lease_s: seconds that the reservation holds unless it is renewed.
        now_s: unix seconds.
    """

    account_idx: int
    endpoint: str
    client_key: str | None
    body_hash: bytes
    quote_base: int
    lease_s: int
    now_s: int


@dataclass(frozen=True)
class Reserved:
    """A granted reservation: call the provider, then post or void it; renew it before `lease_until_s`."""

    entry_id: str
    quote_base: int
    lease_until_s: int


@dataclass(frozen=True)
class Replay:
    """The key was used before and its call is done: give the same answer again.

    Args:
        entry_id: the first call's request id.
        charge_base: what it was charged then.
        answer: the stored answer; None if none was kept (the client had gone before it was complete, or it
            was erased).
        receipt: the first call's receipt, None if it cost nothing.
    """

    entry_id: str
    charge_base: int
    answer: StoredAnswer | None
    receipt: SignedReceipt | None


def reserve(connection: Connection, request: Reservation) -> Reserved | Replay:
    """Opens a pending entry for the quoted maximum, or finds the answer of an earlier call.

    Raises:
        UnknownAccount, AccountClosed, AccountInDeficit, AccountPaused, InsufficientFunds: no reservation.
        InFlight, IdempotencyMismatch: the client's key is taken, see the module's rules.
        AmountOutOfRange: a quote outside 0 … 2^54 − 1.
    """
    post.check_amount("quote", request.quote_base, minimum_base=0)
    origin_key, attempt = None, 0
    entry_id = secrets.token_hex(32)
    if request.client_key is not None:
        origin_key = post.content_hash(request.account_idx, request.endpoint, request.client_key).hex()
        entry_id = origin_key
        last = last_attempt(connection, origin_key)
        if last is not None:
            if last.body_hash != request.body_hash:
                raise IdempotencyMismatch(last.id)
            if last.state == State.PENDING:
                raise InFlight(last.id)
            if last.state == State.POSTED:
                return _replay(connection, last.number, last.id)
            attempt = last.attempt + 1
            entry_id = post.content_hash(origin_key, attempt).hex()
    account = account_of(account_row(connection, request.account_idx))
    if account.status != Status.OPEN:
        raise AccountClosed(account.idx, account.status)
    if account.deficit_base:
        raise AccountInDeficit(account.idx, account.deficit_base)
    if account.paused:
        raise AccountPaused(account.idx)
    if request.quote_base > account.available_base:
        raise InsufficientFunds(account.available_base, request.quote_base)
    lease_until_s = request.now_s + request.lease_s
    post.open_entry(
        connection,
        entry_id=entry_id,
        kind=Kind.CALL,
        account_idx=account.idx,
        body_hash=request.body_hash,
        opened_s=request.now_s,
        origin_key=origin_key,
        attempt=attempt,
        quote_base=request.quote_base,
        lease_until_s=lease_until_s,
    )
    hold(connection, account.idx, request.quote_base)
    return Reserved(entry_id, request.quote_base, lease_until_s)


def renew(connection: Connection, entry_id: str, until_s: int) -> None:
    """Moves the end of a lease to `until_s` (unix seconds).

    Raises:
        UnknownEntry, EntryClosed: the lease is lost; a post will charge nothing.
    """
    entry = call_entry(connection, entry_id)
    if entry.state != State.PENDING:
        raise EntryClosed(entry_id, entry.state)
    connection.execute(_RENEW, {"entry_number": entry.number, "until": until_s})


def void(connection: Connection, entry_id: str, reason: str) -> None:
    """Releases a reservation without a charge; voiding again, or after it expired, changes nothing.

    Raises:
        UnknownEntry: no such call.
        EntryClosed: it was posted.
    """
    entry = call_entry(connection, entry_id)
    if entry.state == State.POSTED:
        raise EntryClosed(entry_id, entry.state)
    if entry.state == State.PENDING:
        _release(connection, entry, State.VOIDED, reason)


def expire_lapsed(connection: Connection, now_s: int) -> list[str]:
    """Expires up to `SWEEP_LIMIT` leases that ended before `now_s`, oldest first; returns their entry ids."""
    lapsed = connection.execute(_LAPSED, {"now": now_s}).all()
    for entry in lapsed:
        _release(connection, entry, State.EXPIRED, "lease lapsed")
    return [entry.id for entry in lapsed]


def expire_running(connection: Connection, account_idx: int, reason: str) -> None:
    """Expires every call of an account that still runs: a later post charges nothing."""
    for entry in connection.execute(_RUNNING, {"account_idx": account_idx}).all():
        _release(connection, entry, State.EXPIRED, reason)


def _replay(connection: Connection, number: int, entry_id: str) -> Replay:
    call = finished_call(connection, number)
    if call is None:
        raise UnknownEntry(entry_id)
    kept = connection.execute(_FIND_ANSWER, {"number": number}).one_or_none()
    answer = StoredAnswer(kept.status, kept.content_type, kept.body) if kept else None
    return Replay(entry_id, call.charge_base, answer, receipt_of(call))


def _release(connection: Connection, entry: Row[Any], state: str, reason: str) -> None:
    post.close_entry(connection, entry.number, state, reason)
    hold(connection, entry.account_idx, -entry.quote_base)
    if entry.deficit_base:
        cover(connection, entry.account_idx, entry.id)
