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

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from mini_llm.wallet.receipt import SignedReceipt
from router.entropy import random_bytes
from router.ledger import post
from router.ledger.calls import CallOperation
from router.ledger.errors import (
    AccountClosed,
    AccountInDeficit,
    AccountPaused,
    BudgetExceeded,
    IdempotencyMismatch,
    InFlight,
    InsufficientFunds,
    UnknownEntry,
)
from router.ledger.finished import answer_of, finished_call
from router.ledger.group import Group
from router.ledger.models import State, Status
from router.ledger.sums import AccountSums, CallEntry, Needs
from router.ledger.views import AccountView, StoredAnswer, available_base, is_paused

_ID_BYTES: Final = 32
_CLOCK_BYTES: Final = 6


class Reserved(NamedTuple):
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


@dataclass(frozen=True, slots=True)
class Budget:
    """A spending limit that a call counts against.

    Args:
        code: owner and period, e.g. `key:{id}:day:2026-11-21`; its sums are kept under it.
        limit_base: most that calls under the code may spend and reserve in all, base units.
    """

    code: str
    limit_base: int


@dataclass(frozen=True)
class Reservation(CallOperation[Reserved | Replay]):
    """A request for money before a call: opens a pending entry, or finds the answer of an earlier call.

    Args:
        account_idx: account that pays.
        endpoint: path of the API call, part of the idempotency key.
        client_key: the client's Idempotency-Key, None if it sent none.
        body_hash: sha256 of the request body, 32 bytes.
        quote_base: most that the call can cost, base units, 0 … 2^54 − 1.
        lease_s: seconds that the reservation holds unless it is renewed.
        now_s: unix seconds.
        budgets: limits that must leave room for the quote.
        key_id: the API key that called.
        user_idx: who called, if another account pays.
        origin_idx: account that the client's key belongs to, if not the one that pays: a replay finds
            the call whoever paid for it.
    """

    account_idx: int
    endpoint: str
    client_key: str | None
    body_hash: bytes
    quote_base: int
    lease_s: int
    now_s: int
    budgets: tuple[Budget, ...] = ()
    key_id: str | None = None
    user_idx: int | None = None
    origin_idx: int | None = None

    @cached_property
    def origin_key(self) -> str | None:
        """What binds the client's key to account and endpoint; None without a key."""
        if self.client_key is None:
            return None
        owner = self.account_idx if self.origin_idx is None else self.origin_idx
        return origin_key(owner, self.endpoint, self.client_key)

    @property
    def outlasts_power(self) -> bool:
        """Only if its key may come again: then the provider must not be asked twice.

        Without a key nobody can name the call again. One that a power failure takes along was never charged,
        and what its lease held would have been released.
        """
        return self.client_key is not None

    def declare(self, needs: Needs) -> None:
        """See `CallOperation`."""
        needs.opens += 1
        needs.accounts.add(self.account_idx)
        needs.budgets.update(budget.code for budget in self.budgets)
        if self.origin_key is not None:
            needs.origin_keys.append(self.origin_key)

    def decide(self, group: Group) -> Reserved | Replay:
        """Opens a pending entry for the quoted maximum, or finds the answer of an earlier call.

        Raises:
            UnknownAccount, AccountClosed, AccountInDeficit, AccountPaused, InsufficientFunds: no reservation.
            BudgetExceeded: a spending limit does not leave room for it.
            InFlight, IdempotencyMismatch: the client's key is taken, see the module's rules.
            AmountOutOfRange: a quote outside 0 … 2^54 − 1.
        """
        post.check_amount("quote", self.quote_base, minimum_base=0)
        entry_id, attempt = self.origin_key or _new_id(), 0
        last = group.last_attempt(self.origin_key) if self.origin_key else None
        if last is not None:
            if (earlier := _earlier(group, last, self.body_hash)) is not None:
                return earlier
            attempt = last.attempt + 1
            entry_id = post.content_hash(self.origin_key or "", attempt).hex()
        self.check_account(group.account(self.account_idx))
        self.check_budgets(lambda code: group.budget(code).used_base)
        lease_until_s = self.now_s + self.lease_s
        group.open(
            CallEntry(
                number=0,
                id=entry_id,
                state=State.PENDING,
                account_idx=self.account_idx,
                quote_base=self.quote_base,
                origin_key=self.origin_key,
                attempt=attempt,
                body_hash=self.body_hash,
                budgets=tuple({budget.code: None for budget in self.budgets}),
            ),
            lease_until_s,
            self.now_s,
            self.key_id,
            self.user_idx,
        )
        return Reserved(entry_id, self.quote_base, lease_until_s)

    def check_account(self, account: AccountSums | AccountView) -> None:
        """Raises AccountClosed, AccountInDeficit, AccountPaused or InsufficientFunds unless it may pay."""
        if account.status != Status.OPEN:
            raise AccountClosed(account.idx, account.status)
        if account.deficit_base:
            raise AccountInDeficit(account.idx, account.deficit_base)
        if is_paused(account):
            raise AccountPaused(account.idx)
        free_base = available_base(account)
        if self.quote_base > free_base:
            raise InsufficientFunds(free_base, self.quote_base)

    def check_budgets(self, used_base: Callable[[str], int]) -> None:
        """Raises BudgetExceeded unless the limits leave room, given what counts against each by its code."""
        for budget in self.budgets:
            left_base = budget.limit_base - used_base(budget.code)
            if self.quote_base > left_base:
                raise BudgetExceeded(budget.code, budget.limit_base, max(0, left_base), self.quote_base)


@dataclass(frozen=True)
class Recall(CallOperation[Replay | None]):
    """Asks for the answer of an earlier call only: None if its key has none, and nothing is reserved.

    Args:
        origin_key: from `origin_key`.
        body_hash: sha256 of the request body, 32 bytes.
    """

    origin_key: str
    body_hash: bytes

    @property
    def outlasts_power(self) -> bool:
        """It writes nothing."""
        return False

    def declare(self, needs: Needs) -> None:
        """See `CallOperation`."""
        needs.origin_keys.append(self.origin_key)

    def decide(self, group: Group) -> Replay | None:
        """Raises InFlight, IdempotencyMismatch as a reservation does."""
        last = group.last_attempt(self.origin_key)
        return None if last is None else _earlier(group, last, self.body_hash)


def origin_key(account_idx: int, endpoint: str, client_key: str) -> str:
    """What binds a client's idempotency key to account and endpoint, 64 hex digits."""
    return post.content_hash(account_idx, endpoint, client_key).hex()


def _earlier(group: Group, entry: CallEntry, body_hash: bytes) -> Replay | None:
    """The answer of the last call under a key; None if that call came to nothing."""
    if entry.body_hash != body_hash:
        raise IdempotencyMismatch(entry.id)
    if entry.state == State.PENDING:
        raise InFlight(entry.id)
    if entry.state != State.POSTED:
        return None
    done = finished_call(group, entry)
    if done is None:
        raise UnknownEntry(entry.id)
    return Replay(entry.id, done.charge_base, answer_of(group, entry), done.receipt)


def _new_id() -> str:
    """A random id that begins with the clock: calls made together are neighbours in the index of ids."""
    clock = (time.time_ns() // 1_000_000).to_bytes(_CLOCK_BYTES, "big")
    return (clock + random_bytes(_ID_BYTES - _CLOCK_BYTES)).hex()
