"""What owners asked for and were paid, replayed from events: the contract's own record of each account."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.audit.chain import Log
from bridge.audit.checks import Place, Tally
from bridge.rollup.batch import Slot


@dataclass
class AccountRecord:
    """One account as `ISettlement.account` should show it; amounts in base units, 0 if nothing is open."""

    owner: str = ""
    pending_deposit: int = 0
    pending_withdrawal: int = 0
    pending_key: int = 0
    withdrawable: int = 0


@dataclass
class Accounts:
    """All accounts, moved from event to event.

    Args:
        tally: counts the checks.
        records: accounts by index.
        deposited_base: everything ever deposited, base units.
        withdrawn_base: everything ever paid out to owners, base units.
        rewards_base: cumulative rewards by account, base units.
    """

    tally: Tally
    records: dict[int, AccountRecord] = field(default_factory=dict)
    deposited_base: int = 0
    withdrawn_base: int = 0
    rewards_base: dict[int, int] = field(default_factory=dict)

    def record(self, idx: int) -> AccountRecord:
        """The account's record; an empty one if it was never opened."""
        return self.records.setdefault(idx, AccountRecord())

    def opened(self, log: Log) -> None:
        """AccountOpened: indices are given out one by one from 1."""
        place = Place(log.block, subject=f"account {log.args['idx']} opened")
        self.tally.equal("deposits", place, len(self.records) + 1, log.args["idx"])
        self.record(log.args["idx"]).owner = log.args["owner"]

    def deposit(self, log: Log) -> None:
        """Deposited."""
        self.record(log.args["idx"]).pending_deposit += log.args["amount"]
        self.deposited_base += log.args["amount"]

    def key_request(self, log: Log) -> None:
        """SessionKeyRequested: one at a time."""
        record, place = self.record(log.args["idx"]), Place(log.block, subject=f"account {log.args['idx']}")
        self.tally.equal("session keys", place.of(f"{place.subject} open request"), 0, record.pending_key)
        record.pending_key = log.args["keyCommit"]

    def withdrawal_request(self, log: Log) -> None:
        """WithdrawalRequested: one at a time."""
        record, place = self.record(log.args["idx"]), Place(log.block, subject=f"account {log.args['idx']}")
        open_base = record.pending_withdrawal
        self.tally.equal("withdrawal requests", place.of(f"{place.subject} open request"), 0, open_base)
        record.pending_withdrawal = log.args["amount"]

    def withdrawn(self, log: Log) -> None:
        """Withdrawn: pays everything that batches have served, to the owner."""
        idx = log.args["idx"]
        record, place = self.record(idx), Place(log.block, subject=f"account {idx}")
        self.tally.equal(
            "withdrawals paid", place.of(f"amount for account {idx}"), record.withdrawable, log.args["amount"]
        )
        self.tally.equal(
            "withdrawals paid", place.of(f"recipient for account {idx}"), record.owner, log.args["owner"]
        )
        self.withdrawn_base += log.args["amount"]
        record.withdrawable = 0

    def serve(self, slot: Slot, place: Place) -> None:
        """Takes what a settled slot consumed out of its owner's deposits and requests.

        Raises:
            Mismatch: the owner deposited less, or did not ask for it.
        """
        record = self.record(slot.idx)
        self.tally.at_most("deposits", place.of(f"account {slot.idx}"), record.pending_deposit, slot.deposit)
        record.pending_deposit -= slot.deposit
        if slot.key_commit:
            self.tally.equal(
                "session keys", place.of(f"account {slot.idx}"), record.pending_key, slot.key_commit
            )
            record.pending_key = 0
        if slot.withdraw or slot.drain:
            requested = record.pending_withdrawal
            # that the account is empty after a drain is a rule of the rollup, checked there
            served = slot.withdraw == requested or (slot.drain and slot.withdraw < requested)
            self.tally.require(
                "withdrawal requests", place.of(f"account {slot.idx}"), served and requested > 0,
                f"{requested} in full" if requested else "no withdrawal", slot.withdraw,
            )  # fmt: skip
            record.pending_withdrawal = 0
            record.withdrawable += slot.withdraw
        if slot.reward:
            self.rewards_base[slot.idx] = self.rewards_base.get(slot.idx, 0) + slot.reward
