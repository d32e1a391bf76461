"""What owners asked for and were paid, replayed from events: the contract's own record of each account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.audit.chain import Log
from bridge.audit.checks import Place, Tally
from bridge.chain import Status
from bridge.rollup.batch import Slot


@dataclass
class Due:
    """Something that the operator has to do, or the owner to wait for, until a deadline.

    Args:
        value: an amount in base units, or a key commitment; 0 if nothing is open.
        deadline_s: unix seconds, 0 if nothing is open.
        block: where it was asked for.
    """

    value: int = 0
    deadline_s: int = 0
    block: int = 0


@dataclass
class AccountRecord:
    """One account as `ISettlement.account` should show it; amounts in base units, 0 if nothing is open.

    Args:
        frozen_balance_base: what the tree held for it at the freeze.
    """

    owner: str = ""
    status: Status = Status.NONE
    pending_deposit: int = 0
    withdrawable: int = 0
    withdrawal: Due = field(default_factory=Due)
    key: Due = field(default_factory=Due)
    cancelling: Due = field(default_factory=Due)
    frozen_root: int = 0
    frozen_balance_base: int = 0


@dataclass
class Accounts:
    """All accounts, moved from event to event.

    Args:
        tally: counts the checks.
        service_deadline_s: seconds between a request and its deadline.
        time_s: unix seconds of a block.
        records: accounts by index.
        paused: True while deposits and batches are stopped.
        rewards_base: cumulative rewards by account, base units.
    """

    tally: Tally
    service_deadline_s: int
    time_s: Callable[[int], int]
    records: dict[int, AccountRecord] = field(default_factory=dict)
    paused: bool = False
    rewards_base: dict[int, int] = field(default_factory=dict)

    def record(self, idx: int) -> AccountRecord:
        """The account's record; an empty one if it was never opened."""
        return self.records.setdefault(idx, AccountRecord())

    def opened(self, log: Log) -> None:
        """AccountOpened: indices are given out one by one from 1."""
        place = Place(log.block, subject=f"account {log.args['idx']} opened")
        self.tally.equal("deposits", place, len(self.records) + 1, log.args["idx"])
        record = self.record(log.args["idx"])
        record.owner, record.status = log.args["owner"], Status.UNOPENED

    def deposit(self, log: Log) -> None:
        """Deposited: not while deposits are paused, and not to an account that has left."""
        record = self._living(log)
        self.require_running(Place(log.block, subject=f"deposit to account {log.args['idx']}"))
        record.pending_deposit += log.args["amount"]

    def key_request(self, log: Log) -> None:
        """SessionKeyRequested: one at a time."""
        self._ask(log, self._living(log).key, "session keys", log.args["keyCommit"])

    def withdrawal_request(self, log: Log) -> None:
        """WithdrawalRequested: one at a time."""
        self._ask(log, self._living(log).withdrawal, "withdrawal requests", log.args["amount"])

    def cancel_announced(self, log: Log) -> None:
        """DepositCancelAnnounced: of the whole pending deposit, one at a time."""
        record, place = self._living(log), _place(log)
        self.tally.equal("cancelled deposits", place, record.pending_deposit, log.args["amount"])
        self._ask(log, record.cancelling, "cancelled deposits", log.args["amount"])

    def cancelled(self, log: Log) -> None:
        """DepositCancelled: what was announced and not consumed since, after the deadline."""
        record, place = self.record(log.args["idx"]), _place(log)
        due = record.cancelling
        self.tally.equal("cancelled deposits", place, due.value, log.args["amount"])
        self._require_overdue(log, [due])
        record.pending_deposit -= due.value
        record.withdrawable += due.value
        record.cancelling = Due()

    def frozen(self, log: Log, root: int, balance_base: int) -> None:
        """AccountFrozen: an open account with an overdue request, at the present root.

        Args:
            log: the event.
            root: of the replayed tree at this moment.
            balance_base: what that tree holds for the account, base units.

        Raises:
            Mismatch: nothing was overdue, or the event says something else than the replay.
        """
        args, record, place = log.args, self.record(log.args["idx"]), _place(log)
        equal = self.tally.equal
        equal("freezes", place.of(f"{place.subject}, status"), Status.OPEN.name, record.status.name)
        self._require_overdue(log, [record.withdrawal, record.key])
        equal("freezes", place.of(f"{place.subject}, root"), root, args["root"])
        subject = place.of(f"{place.subject}, refunded deposit")
        equal("freezes", subject, record.pending_deposit, args["refundedDeposit"])
        subject = place.of(f"{place.subject}, voided withdrawal")
        equal("freezes", subject, record.withdrawal.value, args["voidedWithdrawal"])
        record.status, record.frozen_root, record.frozen_balance_base = (
            Status.FROZEN,
            root,
            balance_base,
        )
        record.withdrawable += record.pending_deposit
        record.pending_deposit = 0
        record.withdrawal, record.key, record.cancelling = Due(), Due(), Due()

    def exited(self, log: Log) -> None:
        """AccountExited: a frozen account, once, with its balance at the freeze, to its owner."""
        args, record, place = log.args, self.record(log.args["idx"]), _place(log)
        equal = self.tally.equal
        equal("exits", place.of(f"{place.subject}, status"), Status.FROZEN.name, record.status.name)
        equal("exits", place.of(f"{place.subject}, amount"), record.frozen_balance_base, args["amount"])
        equal("exits", place.of(f"{place.subject}, recipient"), record.owner, args["owner"])
        record.status = Status.EXITED

    def withdrawn(self, log: Log) -> None:
        """Withdrawn: pays everything that is withdrawable, to the owner."""
        record, place = self.record(log.args["idx"]), _place(log)
        subject = place.of(f"amount for {place.subject}")
        self.tally.equal("withdrawals paid", subject, record.withdrawable, log.args["amount"])
        subject = place.of(f"recipient for {place.subject}")
        self.tally.equal("withdrawals paid", subject, record.owner, log.args["owner"])
        record.withdrawable = 0

    def serve(self, slot: Slot, place: Place) -> None:
        """Takes what a settled slot consumed out of its owner's deposits and requests.

        Raises:
            Mismatch: the account has left, its owner deposited less, or did not ask for it.
        """
        record, place = self.record(slot.idx), place.of(f"account {slot.idx}")
        left = record.status in (Status.FROZEN, Status.EXITED)
        self.tally.require("frozen accounts", place, not left, "no slot", record.status.name)
        self.tally.at_most("deposits", place, record.pending_deposit, slot.deposit)
        record.pending_deposit -= slot.deposit
        record.cancelling.value = min(record.cancelling.value, record.pending_deposit)
        if slot.key_commit:
            self.tally.equal("session keys", place, record.key.value, slot.key_commit)
            record.key, record.status = Due(), Status.OPEN
        if slot.withdraw or slot.drain:
            requested = record.withdrawal.value
            # that the account is empty after a drain is a rule of the rollup, checked there
            served = slot.withdraw == requested or (slot.drain and slot.withdraw < requested)
            self.tally.require(
                "withdrawal requests", place, served and requested > 0,
                f"{requested} in full" if requested else "no withdrawal", slot.withdraw,
            )  # fmt: skip
            record.withdrawal = Due()
            record.withdrawable += slot.withdraw
        if slot.reward:
            self.rewards_base[slot.idx] = self.rewards_base.get(slot.idx, 0) + slot.reward

    def require_running(self, place: Place) -> None:
        """Deposits and batches are not paused. Raises Mismatch if they are."""
        self.tally.require("pauses", place, not self.paused, "nothing while paused", place.subject)

    def _living(self, log: Log) -> AccountRecord:
        """The event's account, which must not have left."""
        record = self.record(log.args["idx"])
        left = record.status in (Status.FROZEN, Status.EXITED)
        self.tally.require("frozen accounts", _place(log), not left, f"no {log.name}", record.status.name)
        return record

    def _ask(self, log: Log, due: Due, check: str, value: int) -> None:
        place = _place(log)
        self.tally.equal(check, place.of(f"{place.subject} open request"), 0, due.value)
        due.value, due.deadline_s, due.block = value, log.args["deadline"], log.block

    def _require_overdue(self, log: Log, dues: list[Due]) -> None:
        """One of these was asked for long enough before. Deadlines are checked where they are used."""
        place, now_s = _place(log), self.time_s(log.block)
        opened = [due for due in dues if due.value]
        for due in opened:
            deadline_s = self.time_s(due.block) + self.service_deadline_s
            subject = place.of(f"{place.subject}, deadline")
            self.tally.equal("deadlines", subject, deadline_s, due.deadline_s)
        overdue = any(now_s > due.deadline_s for due in opened)
        self.tally.require("deadlines", place, overdue, "an overdue request", f"none at {now_s}")


def _place(log: Log) -> Place:
    return Place(log.block, subject=f"account {log.args['idx']}")
