"""What happened on chain, brought into the ledger: accounts, deposits, requests, batches, payouts.

The bridge calls these for confirmed events in the order of the chain. Each takes a `reference` that names
the event (`{chain tx hash}:{log index}`) and is applied once; `Applied.new` tells whether this was now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mini_llm.wallet.field import P
from mini_llm.wallet.limits import MAX_IDX
from router.ledger import post
from router.ledger.errors import LedgerMismatch, UnknownAccount
from router.ledger.models import ACCOUNT, CEILING, Kind
from router.ledger.post import Applied, Leg, check_amount, record
from router.ledger.views import AccountView, account_of

_FIND: Final = select(ACCOUNT).where(ACCOUNT.c.idx == bindparam("account_idx"))
_CHANGE: Final = update(ACCOUNT).where(ACCOUNT.c.idx == bindparam("account_idx"))
_CREDIT: Final = _CHANGE.values(balance_base=ACCOUNT.c.balance_base + bindparam("amount"))
_REQUEST_KEY: Final = _CHANGE.values(requested_key_commit=bindparam("commit"))
_REQUEST_WITHDRAWAL: Final = _CHANGE.values(withdraw_requested_base=bindparam("amount"))
_SETTLE: Final = _CHANGE.values(
    balance_base=ACCOUNT.c.balance_base + bindparam("credit"),
    settled_spent_base=ACCOUNT.c.settled_spent_base + bindparam("settled"),
    withdraw_requested_base=bindparam("still_requested"),
)
_SETTLE_KEY: Final = _CHANGE.values(
    key_commit=bindparam("commit"), requested_key_commit=None, ceiling_base=bindparam("ceiling")
)
_DROP_CEILING: Final = delete(CEILING).where(CEILING.c.account_idx == bindparam("account_idx"))


class SettledSlot(Protocol):
    """One account's update in a settled batch, amounts in base units (`bridge.rollup.batch.Slot` is one)."""

    @property
    def idx(self) -> int: ...
    @property
    def charge(self) -> int: ...
    @property
    def reward(self) -> int: ...
    @property
    def deposit(self) -> int: ...
    @property
    def withdraw(self) -> int: ...
    @property
    def drain(self) -> bool: ...
    @property
    def key_commit(self) -> int: ...


@dataclass(frozen=True)
class BatchFacts:
    """A batch as the chain settled it.

    Args:
        number: batch number, from 1.
        slots: the account updates, without padding.
        burned_base: tokens that the batch burned.
    """

    number: int
    slots: Sequence[SettledSlot]
    burned_base: int


def open_account(connection: Connection, idx: int, owner: str) -> None:
    """Opens the account of a wallet; opening it again changes nothing.

    Args:
        connection: a writing transaction.
        idx: index in the account tree, 1 … 2^24 − 1.
        owner: wallet address, checksummed.

    Raises:
        LedgerMismatch: if the index is out of range or belongs to another wallet.
    """
    if not 1 <= idx <= MAX_IDX:
        raise LedgerMismatch("account index", f"1 … {MAX_IDX}", idx)
    row = connection.execute(_FIND, {"account_idx": idx}).one_or_none()
    if row is not None:
        if row.owner != owner:
            raise LedgerMismatch(f"owner of account {idx}", row.owner, owner)
        return
    amounts = ("balance", "reserved", "withdraw_requested", "ceiling", "spent", "settled_spent")
    connection.execute(
        insert(ACCOUNT),
        {
            "idx": idx,
            "owner": owner,
            "key_commit": None,
            "requested_key_commit": None,
            "sequence": 0,
            "last_receipt": bytes(32),
            **{f"{name}_base": 0 for name in amounts},
        },
    )


def credit_deposit(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Credits a confirmed deposit: the contract holds the tokens, the user owns them.

    Raises:
        UnknownAccount, AmountOutOfRange, IdempotencyMismatch.
    """
    check_amount("deposit", amount_base)
    _account(connection, idx)
    legs = ((post.CUSTODY, -amount_base), (post.user(idx), amount_base))
    applied = record(connection, Kind.DEPOSIT, reference, idx, (idx, amount_base), legs)
    if applied.new:
        connection.execute(_CREDIT, {"account_idx": idx, "amount": amount_base})
    return applied


def request_key(connection: Connection, idx: int, key_commit: int, reference: str) -> Applied:
    """Notes a requested session key: the first may sign at once, a later one pauses the account for a batch.

    Raises:
        UnknownAccount, IdempotencyMismatch.
        LedgerMismatch: if the commitment is no field element, or another request is outstanding.
    """
    if not 0 < key_commit < P:
        raise LedgerMismatch(f"key of account {idx}", "1 … p − 1", key_commit)
    account = _account(connection, idx)
    applied = record(connection, Kind.KEY_REQUEST, reference, idx, (idx, str(key_commit)), ())
    if applied.new:
        if account.requested_key_commit not in (None, key_commit):
            raise LedgerMismatch(f"requested key of account {idx}", account.requested_key_commit, key_commit)
        connection.execute(_REQUEST_KEY, {"account_idx": idx, "commit": key_commit.to_bytes(32, "big")})
    return applied


def request_withdrawal(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Notes a withdrawal request: at once the account may spend that much less.

    Raises:
        UnknownAccount, AmountOutOfRange, IdempotencyMismatch.
        LedgerMismatch: if another withdrawal is outstanding.
    """
    check_amount("withdrawal", amount_base)
    account = _account(connection, idx)
    applied = record(connection, Kind.WITHDRAWAL_REQUEST, reference, idx, (idx, amount_base), ())
    if applied.new:
        if account.withdraw_requested_base:
            outstanding_base = account.withdraw_requested_base
            raise LedgerMismatch(f"requested withdrawal of account {idx}", outstanding_base, amount_base)
        connection.execute(_REQUEST_WITHDRAWAL, {"account_idx": idx, "amount": amount_base})
    return applied


def settle_batch(connection: Connection, batch: BatchFacts, reference: str) -> Applied:
    """Applies a confirmed batch: rewards, withdrawals set aside, new keys, and the burn taken from custody.

    Raises:
        UnknownAccount, IdempotencyMismatch.
        LedgerMismatch: if a slot charges more than the ledger posted, or serves what nobody requested.
    """
    slots = [
        (slot.idx, slot.charge, slot.reward, slot.deposit, slot.withdraw, slot.drain, str(slot.key_commit))
        for slot in batch.slots
    ]
    legs: list[Leg] = [(post.BURN, -batch.burned_base), (post.CUSTODY, batch.burned_base)]
    for slot in batch.slots:
        legs += [(post.POOL, -slot.reward), (post.user(slot.idx), slot.reward - slot.withdraw)]
        legs.append((post.withdrawable(slot.idx), slot.withdraw))
    content = (batch.number, slots, batch.burned_base)
    applied = record(connection, Kind.BATCH, reference, None, content, legs)
    if applied.new:
        for slot in batch.slots:
            _settle_slot(connection, slot)
    return applied


def withdrawn(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Records that a processed withdrawal was paid to the owner's wallet."""
    legs = ((post.withdrawable(idx), -amount_base), (post.CUSTODY, amount_base))
    return record(connection, Kind.WITHDRAWN, reference, idx, (idx, amount_base), legs)


def partner_claimed(connection: Connection, partner_id: int, amount_base: int, reference: str) -> Applied:
    """Records a payout to a partner."""
    return _paid_out(connection, Kind.PARTNER_CLAIM, post.partner(partner_id), amount_base, reference)


def fee_claimed(connection: Connection, amount_base: int, reference: str) -> Applied:
    """Records a payout of the protocol fee."""
    return _paid_out(connection, Kind.FEE_CLAIM, post.FEE, amount_base, reference)


def treasury_claimed(connection: Connection, amount_base: int, reference: str) -> Applied:
    """Records a payout of the treasury's share."""
    return _paid_out(connection, Kind.TREASURY_CLAIM, post.TREASURY, amount_base, reference)


def _paid_out(connection: Connection, kind: str, receiver: str, amount_base: int, reference: str) -> Applied:
    legs = ((receiver, -amount_base), (post.CUSTODY, amount_base))
    return record(connection, kind, reference, None, (receiver, amount_base), legs)


def _account(connection: Connection, idx: int) -> AccountView:
    row = connection.execute(_FIND, {"account_idx": idx}).one_or_none()
    if row is None:
        raise UnknownAccount(idx)
    return account_of(row)


def _settle_slot(connection: Connection, slot: SettledSlot) -> None:
    account = _account(connection, slot.idx)
    unsettled_base = account.spent_base - account.settled_spent_base
    if slot.charge > unsettled_base:
        raise LedgerMismatch(f"unsettled charges of account {slot.idx}", unsettled_base, slot.charge)
    if slot.withdraw > account.withdraw_requested_base:
        requested_base = account.withdraw_requested_base
        raise LedgerMismatch(f"requested withdrawal of account {slot.idx}", requested_base, slot.withdraw)
    # a withdrawal is served in full, or with all there is (drain): either way the request is done
    served = slot.withdraw > 0 or slot.drain
    connection.execute(
        _SETTLE,
        {
            "account_idx": slot.idx,
            "credit": slot.reward - slot.withdraw,
            "settled": slot.charge,
            "still_requested": 0 if served else account.withdraw_requested_base,
        },
    )
    if slot.key_commit:
        _settle_key(connection, account, slot.key_commit)


def _settle_key(connection: Connection, account: AccountView, key_commit: int) -> None:
    if account.requested_key_commit != key_commit:
        raise LedgerMismatch(
            f"requested key of account {account.idx}", account.requested_key_commit, key_commit
        )
    replaced = account.key_commit is not None
    if replaced:  # what the old key signed opens nothing under the new one
        connection.execute(_DROP_CEILING, {"account_idx": account.idx})
    connection.execute(
        _SETTLE_KEY,
        {
            "account_idx": account.idx,
            "commit": key_commit.to_bytes(32, "big"),
            "ceiling": 0 if replaced else account.ceiling_base,
        },
    )
