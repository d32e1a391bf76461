"""What happened on chain, brought into the ledger: accounts, deposits, requests, batches, payouts.

The bridge calls these for confirmed events in the order of the chain. Each takes a `reference` that names
the event (`{chain tx hash}:{log index}`) and is applied once; `Applied.new` tells whether this was now.
What a reorganisation drops is taken back by `record.reverse`; how accounts leave is in leaving.py.
"""

from __future__ import annotations

import contextlib

from sqlalchemy import Connection, insert

from mini_llm.wallet.field import P
from mini_llm.wallet.limits import MAX_IDX
from router.ledger import post
from router.ledger.errors import LedgerMismatch, UnknownAccount
from router.ledger.keys import end_arrangements
from router.ledger.models import ACCOUNT, Kind, Status
from router.ledger.post import Leg, check_amount
from router.ledger.record import Applied, Effect, account_row, begin, finish
from router.ledger.releases import expire_running
from router.ledger.settled import BatchFacts, Slot, keep
from router.ledger.views import AccountView, account_of


def open_account(connection: Connection, idx: int, owner: str, reference: str | None = None) -> None:
    """Opens the account of a wallet; opening it again changes nothing.

    An index whose opening was dropped by a reorganisation may come back as another wallet's. That wallet owes
    nothing of what the first one used: those charges are the operator's loss, and since receipts with this
    index exist that are not the new owner's, the account is not served (its withdrawals are). What the
    first one arranged (API keys, teams, provider keys) ends.

    Args:
        connection: a writing transaction.
        idx: index in the account tree, 1 … 2^24 − 1.
        owner: wallet address, checksummed.
        reference: names the event; by default it is the only opening of the index.

    Raises:
        LedgerMismatch: if the index is out of range or belongs to another wallet.
    """
    if not 1 <= idx <= MAX_IDX:
        raise LedgerMismatch("account index", f"1 … {MAX_IDX}", idx)
    account = _find_or_insert(connection, idx, owner)
    if account.status != Status.DROPPED:
        if account.owner != owner:
            raise LedgerMismatch(f"owner of account {idx}", account.owner, owner)
        return
    happening = begin(connection, Kind.ACCOUNT, reference or f"account {idx}", idx, (idx, owner))
    values = {"owner": owner, "status": Status.OPEN}
    if account.owner == owner:
        finish(connection, happening, (Effect(idx, values=values),))
        return
    end_arrangements(connection, idx)
    expire_running(connection, idx, "the index was given to another wallet")
    if account.spent_base:
        values["status"] = Status.REASSIGNED
    lost_base = account.unsettled_base
    effect = Effect(idx, money_base=lost_base, written_off_base=lost_base, values=values)
    finish(connection, happening, (effect,), ((post.LOSS, -lost_base),))


def credit_deposit(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Credits a confirmed deposit: the contract holds the tokens, the user owns them.

    Raises:
        UnknownAccount, AmountOutOfRange, IdempotencyMismatch.
    """
    check_amount("deposit", amount_base)
    account_row(connection, idx)
    happening = begin(connection, Kind.DEPOSIT, reference, idx, (idx, amount_base))
    effect = Effect(idx, money_base=amount_base, pending_base=amount_base)
    return finish(connection, happening, (effect,), ((post.CUSTODY, -amount_base),))


def request_key(connection: Connection, idx: int, key_commit: int, reference: str) -> Applied:
    """Notes a requested session key: the first may sign at once, a later one pauses the account for a batch.

    Raises:
        UnknownAccount, IdempotencyMismatch.
        LedgerMismatch: if the commitment is no field element, or another request is outstanding.
    """
    if not 0 < key_commit < P:
        raise LedgerMismatch(f"key of account {idx}", "1 … p − 1", key_commit)
    account = account_of(account_row(connection, idx))
    happening = begin(connection, Kind.KEY_REQUEST, reference, idx, (idx, str(key_commit)))
    if happening.new and account.requested_key_commit not in (None, key_commit):
        raise LedgerMismatch(f"requested key of account {idx}", account.requested_key_commit, key_commit)
    values = {"requested_key_commit": key_commit.to_bytes(32, "big")}
    return finish(connection, happening, (Effect(idx, values=values),))


def request_withdrawal(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Notes a withdrawal request: at once the account may spend that much less.

    Raises:
        UnknownAccount, AmountOutOfRange, IdempotencyMismatch.
        LedgerMismatch: if another withdrawal is outstanding.
    """
    check_amount("withdrawal", amount_base)
    outstanding_base = account_row(connection, idx).withdraw_requested_base
    happening = begin(connection, Kind.WITHDRAWAL_REQUEST, reference, idx, (idx, amount_base))
    if happening.new and outstanding_base:
        raise LedgerMismatch(f"requested withdrawal of account {idx}", outstanding_base, amount_base)
    values = {"withdraw_requested_base": amount_base}
    return finish(connection, happening, (Effect(idx, values=values),))


def settle_batch(connection: Connection, batch: BatchFacts, reference: str) -> Applied:
    """Applies a confirmed batch: rewards, withdrawals set aside, new keys, and the burn taken from custody.

    It is also kept as it was settled, for people to look at.

    Raises:
        UnknownAccount, IdempotencyMismatch.
        LedgerMismatch: if a slot charges more than the ledger posted, serves what nobody requested or is of a
            frozen account, or if the batch before is not known.
    """
    slots = [
        (slot.idx, slot.charge, slot.reward, slot.deposit, slot.withdraw, slot.drain, str(slot.key_commit))
        for slot in batch.slots
    ]
    happening = begin(connection, Kind.BATCH, reference, None, (batch.number, slots, batch.burned_base))
    legs: list[Leg] = [(post.BURN, -batch.burned_base), (post.CUSTODY, batch.burned_base)]
    effects: list[Effect] = []
    if happening.new:
        for slot in batch.slots:
            legs += [(post.POOL, -slot.reward), (post.withdrawable(slot.idx), slot.withdraw)]
        effects += [_slot_effect(account_of(account_row(connection, slot.idx)), slot) for slot in batch.slots]
    applied = finish(connection, happening, effects, legs)
    keep(connection, batch, applied.entry_id)  # also one that an earlier release posted and did not keep
    return applied


def withdrawn(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Records that what was set aside for a user was paid to the owner's wallet."""
    happening = begin(connection, Kind.WITHDRAWN, reference, idx, (idx, amount_base))
    legs = ((post.withdrawable(idx), -amount_base), (post.CUSTODY, amount_base))
    return finish(connection, happening, legs=legs)


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
    happening = begin(connection, kind, reference, None, (receiver, amount_base))
    return finish(connection, happening, legs=((receiver, -amount_base), (post.CUSTODY, amount_base)))


def _find_or_insert(connection: Connection, idx: int, owner: str) -> AccountView:
    """The account; a new row waits, like one whose opening was dropped, for the entry that opens it."""
    with contextlib.suppress(UnknownAccount):
        return account_of(account_row(connection, idx))
    counted = (column.name for column in ACCOUNT.columns if column.name.endswith("_base"))
    blank = {"key_commit": None, "requested_key_commit": None, "sequence": 0, "last_receipt": bytes(32)}
    connection.execute(
        insert(ACCOUNT),
        blank | {"idx": idx, "owner": owner, "status": Status.DROPPED} | dict.fromkeys(counted, 0),
    )
    return account_of(account_row(connection, idx))


def _slot_effect(account: AccountView, slot: Slot) -> Effect:
    """What a slot does to its account, once the ledger agrees that it may."""
    if account.status in (Status.FROZEN, Status.EXITED):
        raise LedgerMismatch(f"state of account {account.idx}", account.status, "settled in a batch")
    for subject, has_base, takes_base in (
        ("unsettled charges", account.unsettled_base, slot.charge),
        ("unconsumed deposits", account.pending_deposit_base, slot.deposit),
        ("requested withdrawal", account.withdraw_requested_base, slot.withdraw),
    ):
        if takes_base > has_base:
            raise LedgerMismatch(f"{subject} of account {account.idx}", has_base, takes_base)
    pending_base = account.pending_deposit_base - slot.deposit
    values: dict[str, object] = {"cancelling_base": min(account.cancelling_base, pending_base)}
    if slot.withdraw or slot.drain:  # served in full, or with all there is: either way the request is done
        values["withdraw_requested_base"] = 0
    if slot.key_commit:
        if account.requested_key_commit != slot.key_commit:
            requested = account.requested_key_commit
            raise LedgerMismatch(f"requested key of account {account.idx}", requested, slot.key_commit)
        values |= {"key_commit": slot.key_commit.to_bytes(32, "big"), "requested_key_commit": None}
    return Effect(
        slot.idx,
        money_base=slot.reward - slot.withdraw,
        pending_base=-slot.deposit,
        settled_base=slot.charge,
        rewarded_base=slot.reward,
        values=values,
    )
