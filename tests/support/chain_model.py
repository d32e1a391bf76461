"""A small model of what the contract does to accounts, whose every event can be dropped again."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection

from router.ledger import BatchFacts, chain, leaving, reverse
from router.ledger.models import Kind
from support.books import batch_facts, owner, session_commit, slot


@dataclass
class ModelAccount:
    """As contract and tree have it, base units. key: requested. written_off: charges that never settle."""

    owner: str
    leaf: int = 0
    settled: int = 0
    pending: int = 0
    cancelling: int = 0
    withdrawal: int = 0
    withdrawable: int = 0
    key: bool = False
    in_tree: bool = False
    status: str = "open"
    written_off: int = 0


@dataclass
class Model:
    """accounts by index; tokens: what the contract holds; batches: settled so far, in their order."""

    accounts: dict[int, ModelAccount] = field(default_factory=dict)
    tokens: int = 0
    batches: list[BatchFacts] = field(default_factory=list)


Post = Callable[[Connection, str], Any]


@dataclass
class Event:
    """kind, and how the ledger takes it; before: the model without it."""

    kind: str
    post: Post
    before: Model
    after: Model


class ModelChain:
    """Appends events; the reference of an event is its place, so that of a dropped one is used again."""

    def __init__(self) -> None:
        self.model = Model()
        self.events: list[Event] = []

    def append(self, connection: Connection, kind: str, change: Callable[[Model], None], post: Post) -> None:
        before = deepcopy(self.model)
        change(self.model)
        self.add(connection, Event(kind, post, before, deepcopy(self.model)))

    def add(self, connection: Connection, event: Event) -> None:
        """Also an event that was dropped and comes back."""
        self.model = deepcopy(event.after)
        self.events.append(event)
        event.post(connection, f"event {len(self.events)}")

    def rewind(self, connection: Connection, count: int) -> list[Event]:
        """Drops the last events and returns them in their order."""
        keep = max(0, len(self.events) - count)
        dropped = self.events[keep:]
        named = [(event.kind, f"event {keep + at}") for at, event in enumerate(dropped, 1)]
        assert reverse(connection, named) == len(dropped)
        assert reverse(connection, named) == 0
        del self.events[keep:]
        if dropped:
            self.model = deepcopy(dropped[0].before)
        return dropped

    # -- what owners and operator can do; each does nothing where the contract would refuse

    def open(self, connection: Connection, idx: int, wallet: int, spent: int, row_owner: str | None) -> None:
        """spent, row_owner: what the ledger knows of an earlier life of the index."""
        if idx in self.model.accounts or idx - 1 not in {0, *self.model.accounts}:
            return
        account = ModelAccount(owner(wallet))
        if row_owner not in (None, account.owner) and spent:
            account.status, account.written_off = "reassigned", spent

        def change(model: Model) -> None:
            model.accounts[idx] = account

        self.append(
            connection, Kind.ACCOUNT, change, lambda c, ref: chain.open_account(c, idx, account.owner, ref)
        )
        key = session_commit(idx)

        def request(model: Model) -> None:
            model.accounts[idx].key = True

        self.append(connection, Kind.KEY_REQUEST, request, lambda c, ref: chain.request_key(c, idx, key, ref))

    def deposit(self, connection: Connection, idx: int, amount: int) -> None:
        if self._status(idx) not in ("open", "reassigned"):
            return

        def change(model: Model) -> None:
            model.accounts[idx].pending += amount
            model.tokens += amount

        post: Post = lambda c, ref: chain.credit_deposit(c, idx, amount, ref)  # noqa: E731
        self.append(connection, Kind.DEPOSIT, change, post)

    def request_withdrawal(self, connection: Connection, idx: int, amount: int) -> None:
        if self._status(idx) not in ("open", "reassigned") or self.model.accounts[idx].withdrawal:
            return

        def change(model: Model) -> None:
            model.accounts[idx].withdrawal = amount

        post: Post = lambda c, ref: chain.request_withdrawal(c, idx, amount, ref)  # noqa: E731
        self.append(connection, Kind.WITHDRAWAL_REQUEST, change, post)

    def announce_cancel(self, connection: Connection, idx: int) -> None:
        if self._status(idx) not in ("open", "reassigned"):
            return
        amount = self.model.accounts[idx].pending
        if not amount or self.model.accounts[idx].cancelling:
            return

        def change(model: Model) -> None:
            model.accounts[idx].cancelling = amount

        post: Post = lambda c, ref: leaving.announce_cancel(c, idx, amount, ref)  # noqa: E731
        self.append(connection, Kind.CANCEL_ANNOUNCED, change, post)

    def cancel(self, connection: Connection, idx: int) -> None:
        if idx not in self.model.accounts or not self.model.accounts[idx].cancelling:
            return
        amount = self.model.accounts[idx].cancelling

        def change(model: Model) -> None:
            account = model.accounts[idx]
            account.pending -= amount
            account.withdrawable += amount
            account.cancelling = 0

        post: Post = lambda c, ref: leaving.cancel_deposit(c, idx, amount, ref)  # noqa: E731
        self.append(connection, Kind.CANCELLED, change, post)

    def withdraw(self, connection: Connection, idx: int) -> None:
        if idx not in self.model.accounts or not self.model.accounts[idx].withdrawable:
            return
        amount = self.model.accounts[idx].withdrawable

        def change(model: Model) -> None:
            model.accounts[idx].withdrawable = 0
            model.tokens -= amount

        self.append(connection, Kind.WITHDRAWN, change, lambda c, ref: chain.withdrawn(c, idx, amount, ref))

    def freeze(self, connection: Connection, idx: int, spent: int) -> None:
        """spent: all charges that the ledger posted for the account."""
        if self._status(idx) not in ("open", "reassigned") or not self.model.accounts[idx].in_tree:
            return
        refund = self.model.accounts[idx].pending

        def change(model: Model) -> None:
            account = model.accounts[idx]
            account.status, account.written_off = "frozen", spent - account.settled
            account.withdrawable += refund
            account.pending = account.cancelling = account.withdrawal = 0

        post: Post = lambda c, ref: leaving.freeze_account(c, idx, refund, ref)  # noqa: E731
        self.append(connection, Kind.FREEZE, change, post)

    def exit(self, connection: Connection, idx: int) -> None:
        if self._status(idx) != "frozen":
            return
        amount = self.model.accounts[idx].leaf

        def change(model: Model) -> None:
            account = model.accounts[idx]
            account.status, account.leaf = "exited", 0
            model.tokens -= amount

        self.append(connection, Kind.EXIT, change, lambda c, ref: leaving.exit_account(c, idx, amount, ref))

    def settle(self, connection: Connection, charges: dict[int, int], part: int) -> None:
        """charges: what to settle by account; part: percent of the pending deposits to consume at least."""
        slots = [
            self._slot(idx, charges.get(idx, 0), part)
            for idx, account in sorted(self.model.accounts.items())
            if account.status in ("open", "reassigned") and account.key
        ]
        burned = sum(one.charge for one in slots) // 20
        facts = batch_facts(len(self.model.batches) + 1, slots, burned)

        def change(model: Model) -> None:
            model.batches.append(facts)
            model.tokens -= burned
            for one in slots:
                account = model.accounts[one.idx]
                account.leaf += one.deposit - one.charge - one.withdraw
                account.settled += one.charge
                account.pending -= one.deposit
                account.cancelling = min(account.cancelling, account.pending)
                account.withdrawable += one.withdraw
                account.withdrawal = 0 if one.withdraw else account.withdrawal
                account.in_tree = True

        self.append(connection, Kind.BATCH, change, lambda c, ref: chain.settle_batch(c, facts, ref))

    def _slot(self, idx: int, charge: int, part: int) -> SimpleNamespace:
        account = self.model.accounts[idx]
        deposit = max(account.pending * part // 100, min(account.pending, max(0, charge - account.leaf)))
        left = account.leaf + deposit - charge
        withdraw = account.withdrawal if account.withdrawal <= left else 0
        key = 0 if account.in_tree else session_commit(idx)
        return slot(idx, charge=charge, deposit=deposit, withdraw=withdraw, key_commit=key)

    def _status(self, idx: int) -> str:
        return self.model.accounts[idx].status if idx in self.model.accounts else "none"
