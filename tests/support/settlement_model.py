"""The settlement contract in plain Python, after docs/protocol.md: what a call does, or which error it gives.

Nothing of the project's own contract code is used; the account tree is the executable specification's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from bridge.rollup.batch import Slot
from bridge.rollup.transition import UNUSED, AccountState, Authorisation, BatchWitness, RollupState
from mini_llm.wallet.limits import BPS, MAX_AMOUNT_BASE

TREASURY_RESERVE_BASE = 1_000_000


class Status(IntEnum):
    """`ISettlement.Status`."""

    NONE = 0
    UNOPENED = 1
    OPEN = 2
    FROZEN = 3
    EXITED = 4


class Refused(Exception):
    """The contract must revert with this error."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass
class Record:
    """`ISettlement.Account`; amounts in base units, times in unix seconds."""

    owner: str
    pending_deposit: int = 0
    pending_withdrawal: int = 0
    withdrawable: int = 0
    withdrawal_deadline: int = 0
    key_deadline: int = 0
    pending_key: int = 0
    cancelling: int = 0
    cancel_deadline: int = 0
    status: Status = Status.UNOPENED
    frozen_root: int = 0


@dataclass
class Partner:
    """A partner's ledger; `bps` is what was applied last, None before the first batch."""

    gross: int = 0
    checkpoint: int = 0
    accrued: int = 0
    paid: int = 0
    bps: int | None = None

    @property
    def earned(self) -> int:
        return self.accrued + (self.gross - self.checkpoint) * (self.bps or 0) // BPS

    def apply(self, bps: int) -> None:
        self.accrued, self.checkpoint, self.bps = self.earned, self.gross, bps


@dataclass(frozen=True)
class Policy:
    """What the deployment fixed: shares in basis points, seconds, base units."""

    fee_bps: int = 1_500
    burn_bps: int = 500
    pool_bps: int = 1_000
    deadline_s: int = 86_400
    min_first_deposit: int = 1_000_000


@dataclass
class SettlementModel:
    """All that the contract knows. `now` is the time of the block that the next call is mined in.

    terms: the registry's basis points by partner id.
    """

    domain: int
    terms: dict[int, int]
    policy: Policy = field(default_factory=Policy)
    now: int = 0
    paused: bool = False
    batches: int = 0
    gross: int = 0
    rewards: int = 0
    fee_paid: int = 0
    treasury_paid: int = 0
    paid_out: int = 0
    deposited: int = 0
    records: dict[int, Record] = field(default_factory=dict)
    partners: dict[int, Partner] = field(default_factory=dict)
    rollup: RollupState = field(init=False)

    def __post_init__(self) -> None:
        self.rollup = RollupState(self.domain)

    # -- owners

    def index_of(self, owner: str) -> int:
        return next((idx for idx, record in self.records.items() if record.owner == owner), 0)

    def deposit(self, owner: str, amount: int, key_commit: int) -> int:
        self._not_paused()
        idx = self.index_of(owner)
        if idx:
            if key_commit:
                raise Refused("InvalidKeyCommit")
            self._add(idx, amount)
            return idx
        if amount < self.policy.min_first_deposit:
            raise Refused("DepositTooSmall")
        if not key_commit:
            raise Refused("InvalidKeyCommit")
        if amount > MAX_AMOUNT_BASE:
            raise Refused("InvalidAmount")
        idx = len(self.records) + 1
        self.records[idx] = Record(
            owner, pending_key=key_commit, key_deadline=self.now + self.policy.deadline_s
        )
        self._add(idx, amount)
        return idx

    def deposit_for(self, idx: int, amount: int) -> None:
        self._not_paused()
        if idx not in self.records:
            raise Refused("UnknownAccount")
        self._add(idx, amount)

    def request_withdrawal(self, owner: str, amount: int) -> None:
        record = self._of_owner(owner)
        if not 0 < amount <= MAX_AMOUNT_BASE:
            raise Refused("InvalidAmount")
        if record.pending_withdrawal:
            raise Refused("WithdrawalOutstanding")
        record.pending_withdrawal = amount
        record.withdrawal_deadline = self.now + self.policy.deadline_s

    def set_session_key(self, owner: str, key_commit: int) -> None:
        record = self._of_owner(owner)
        if record.pending_key:
            raise Refused("KeyRequestOutstanding")
        record.pending_key, record.key_deadline = key_commit, self.now + self.policy.deadline_s

    def announce_cancel(self, owner: str) -> None:
        record = self._of_owner(owner)
        if record.cancelling:
            raise Refused("CancelOutstanding")
        if not record.pending_deposit:
            raise Refused("NothingToPay")
        record.cancelling = record.pending_deposit
        record.cancel_deadline = self.now + self.policy.deadline_s

    def cancel_deposit(self, idx: int) -> None:
        record = self.records.get(idx)
        if record is None or not record.cancelling:
            raise Refused("NothingToPay")
        if self.now <= record.cancel_deadline:
            raise Refused("CancelNotDue")
        record.pending_deposit -= record.cancelling
        record.withdrawable += record.cancelling
        record.cancelling = record.cancel_deadline = 0

    def freeze(self, idx: int) -> None:
        record = self.records.get(idx)
        if record is None:
            raise Refused("UnknownAccount")
        if record.status is not Status.OPEN:
            raise Refused("AccountNotOpened" if record.status is Status.UNOPENED else "AccountIsFrozen")
        overdue = (record.pending_withdrawal and self.now > record.withdrawal_deadline) or (
            record.pending_key and self.now > record.key_deadline
        )
        if not overdue:
            raise Refused("NothingOverdue")
        record.withdrawable += record.pending_deposit
        record.pending_deposit = record.cancelling = record.cancel_deadline = 0
        record.pending_withdrawal = record.withdrawal_deadline = 0
        record.pending_key = record.key_deadline = 0
        record.status, record.frozen_root = Status.FROZEN, self.rollup.root

    def exit(self, idx: int, balance: int, proof_holds: bool) -> None:
        record = self.records.get(idx)
        if record is None or record.status is not Status.FROZEN:
            raise Refused("AccountNotFrozen")
        if not proof_holds:
            raise Refused("InvalidProof")
        record.status = Status.EXITED
        self.paid_out += balance

    def withdraw(self, idx: int) -> None:
        record = self.records.get(idx)
        if record is None or not record.withdrawable:
            raise Refused("NothingToPay")
        self.paid_out += record.withdrawable
        record.withdrawable = 0

    # -- operator, partners, treasury

    def settle(
        self,
        slots: Sequence[Slot],
        auths: Mapping[int, Authorisation],
        partner_gross: Mapping[int, int],
        receipts_total: int,
        size: int,
    ) -> BatchWitness:
        """Checks the batch as circuit and contract together do, in the contract's order, and applies it."""
        self._not_paused()
        after = self.rollup.copy()
        witness = after.prove_inputs(self.batches + 1, slots, auths, size)
        if any(self._record(slot).status >= Status.FROZEN for slot in slots):
            raise Refused("AccountIsFrozen")
        for slot in slots:
            self._check_slot(slot)
        rewards = sum(slot.reward for slot in slots)
        if rewards > self.gross * self.policy.pool_bps // BPS - self.rewards:
            raise Refused("RewardsExceedPool")
        charges = sum(slot.charge for slot in slots)
        if not charges == sum(partner_gross.values()) == receipts_total:
            raise Refused("GrossMismatch")
        for slot in slots:
            self._serve(slot)
        for partner_id, gross in partner_gross.items():
            partner = self.partners.setdefault(partner_id, Partner())
            if partner.bps is None:
                partner.apply(self.terms[partner_id])
            partner.gross += gross
        self.gross, self.rewards = self.gross + charges, self.rewards + rewards
        self.batches, self.rollup = self.batches + 1, after
        return witness

    def apply_terms(self, partner_id: int) -> None:
        partner = self.partners.setdefault(partner_id, Partner())
        if partner.bps != self.terms[partner_id]:
            partner.apply(self.terms[partner_id])

    def claim_partner(self, partner_id: int) -> None:
        partner = self.partners.get(partner_id, Partner())
        if partner.earned == partner.paid:
            raise Refused("NothingToPay")
        self.paid_out += partner.earned - partner.paid
        partner.paid = partner.earned

    def claim_fee(self) -> None:
        due = self.part(self.policy.fee_bps) - self.fee_paid
        if not due:
            raise Refused("NothingToPay")
        self.fee_paid, self.paid_out = self.fee_paid + due, self.paid_out + due

    def claim_treasury(self) -> None:
        due = self.treasury - self.treasury_paid - TREASURY_RESERVE_BASE
        if due <= 0:
            raise Refused("NothingToPay")
        self.treasury_paid, self.paid_out = self.treasury_paid + due, self.paid_out + due

    # -- sums

    def part(self, bps: int) -> int:
        return self.gross * bps // BPS

    @property
    def treasury(self) -> int:
        policy = self.policy
        parts = self.part(policy.burn_bps) + self.part(policy.fee_bps) + self.part(policy.pool_bps)
        return self.gross - parts - sum(partner.earned for partner in self.partners.values())

    def account(self, idx: int) -> AccountState:
        return self.rollup.accounts.get(idx, UNUSED)

    def liabilities(self) -> int:
        """All that the contract owes, base units."""
        owed = sum(record.pending_deposit + record.withdrawable for record in self.records.values())
        owed += sum(
            state.balance
            for idx, state in self.rollup.accounts.items()
            if self.records[idx].status is not Status.EXITED
        )
        owed += sum(partner.earned - partner.paid for partner in self.partners.values())
        owed += self.part(self.policy.fee_bps) - self.fee_paid + self.treasury - self.treasury_paid
        return owed + self.part(self.policy.pool_bps) - self.rewards

    def held(self) -> int:
        """The tokens that the contract must hold, by what came in and went out."""
        return self.deposited - self.paid_out - self.part(self.policy.burn_bps)

    # -- parts of the above

    def _not_paused(self) -> None:
        if self.paused:
            raise Refused("IsPaused")

    def _of_owner(self, owner: str) -> Record:
        idx = self.index_of(owner)
        if not idx:
            raise Refused("NotOwner")
        record = self.records[idx]
        if record.status >= Status.FROZEN:
            raise Refused("AccountIsFrozen")
        return record

    def _add(self, idx: int, amount: int) -> None:
        record = self.records[idx]
        if record.status >= Status.FROZEN:
            raise Refused("AccountIsFrozen")
        if not 0 < amount <= MAX_AMOUNT_BASE or record.pending_deposit + amount > MAX_AMOUNT_BASE:
            raise Refused("InvalidAmount")
        record.pending_deposit += amount
        self.deposited += amount

    def _record(self, slot: Slot) -> Record:
        return self.records.get(slot.idx, Record(""))

    def _check_slot(self, slot: Slot) -> None:
        record = self._record(slot)
        if slot.deposit > record.pending_deposit:
            raise Refused("UnpendingDeposit")
        if slot.withdraw or slot.drain:
            requested = record.pending_withdrawal
            served = requested and slot.withdraw <= requested if slot.drain else slot.withdraw == requested
            if not served:
                raise Refused("UnrequestedWithdrawal")
        if slot.key_commit and slot.key_commit != record.pending_key:
            raise Refused("UnrequestedKey")

    def _serve(self, slot: Slot) -> None:
        record = self.records[slot.idx]
        record.pending_deposit -= slot.deposit
        record.cancelling = min(record.cancelling, record.pending_deposit)
        if slot.withdraw or slot.drain:
            record.pending_withdrawal = record.withdrawal_deadline = 0
            record.withdrawable += slot.withdraw
        if slot.key_commit:
            record.pending_key = record.key_deadline = 0
            record.status = Status.OPEN
