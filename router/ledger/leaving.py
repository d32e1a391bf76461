"""How money leaves against the operator's will or without it: cancelled deposits, frozen accounts, exits.

Source: contracts/src/interfaces/ISettlement.sol (announceCancelDeposit, cancelDeposit, freeze, exit).
"""

from __future__ import annotations

from sqlalchemy import Connection

from router.ledger import post
from router.ledger.errors import LedgerMismatch
from router.ledger.models import Kind, Status
from router.ledger.post import check_amount
from router.ledger.record import Applied, Effect, account_row, begin, finish
from router.ledger.releases import expire_running
from router.ledger.views import account_of


def announce_cancel(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Stops counting deposits that their owner takes back: nothing may be spent against them from now on.

    Raises:
        UnknownAccount, AmountOutOfRange, IdempotencyMismatch.
        LedgerMismatch: if it is more than batches have left of the account's deposits.
    """
    check_amount("cancelled deposit", amount_base)
    pending_base = account_row(connection, idx).pending_deposit_base
    happening = begin(connection, Kind.CANCEL_ANNOUNCED, reference, idx, (idx, amount_base))
    if happening.new and amount_base > pending_base:
        raise LedgerMismatch(f"unconsumed deposits of account {idx}", pending_base, amount_base)
    return finish(connection, happening, (Effect(idx, values={"cancelling_base": amount_base}),))


def cancel_deposit(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Sets aside for the owner's wallet what batches left of an announced deposit.

    Calls that were charged against it before the announcement, and that no batch settled in time, leave the
    account with a deficit.

    Raises:
        UnknownAccount, AmountOutOfRange, IdempotencyMismatch.
        LedgerMismatch: if another amount was announced.
    """
    check_amount("cancelled deposit", amount_base)
    cancelling_base = account_row(connection, idx).cancelling_base
    happening = begin(connection, Kind.CANCELLED, reference, idx, (idx, amount_base))
    if happening.new and amount_base != cancelling_base:
        raise LedgerMismatch(f"cancelled deposit of account {idx}", cancelling_base, amount_base)
    effect = Effect(idx, money_base=-amount_base, pending_base=-amount_base, values={"cancelling_base": 0})
    return finish(connection, happening, (effect,), ((post.withdrawable(idx), amount_base),))


def freeze_account(connection: Connection, idx: int, refunded_base: int, reference: str) -> Applied:
    """Closes a frozen account: its leaf cannot change any more, so what is not settled never will be.

    Calls that still run are released and cost nothing; posted charges that no batch settled are the
    operator's loss; deposits that no batch consumed are set aside for the wallet; open requests are void.
    The account then has exactly what its leaf says, for `exit_account` to pay.

    Raises:
        UnknownAccount, IdempotencyMismatch.
        LedgerMismatch: if the contract refunds another amount than batches left of the deposits.
    """
    pending_base = account_row(connection, idx).pending_deposit_base
    happening = begin(connection, Kind.FREEZE, reference, idx, (idx, refunded_base))
    if not happening.new:
        return finish(connection, happening)
    if refunded_base != pending_base:
        raise LedgerMismatch(f"unconsumed deposits of account {idx}", pending_base, refunded_base)
    expire_running(connection, idx, "account frozen")
    lost_base = account_of(account_row(connection, idx)).unsettled_base
    effect = Effect(
        idx,
        money_base=lost_base - refunded_base,
        pending_base=-refunded_base,
        written_off_base=lost_base,
        values={
            "status": Status.FROZEN,
            "cancelling_base": 0,
            "withdraw_requested_base": 0,
            "requested_key_commit": None,
        },
    )
    legs = ((post.LOSS, -lost_base), (post.withdrawable(idx), refunded_base))
    return finish(connection, happening, (effect,), legs)


def exit_account(connection: Connection, idx: int, amount_base: int, reference: str) -> Applied:
    """Records that a frozen account's balance was proved and paid to its owner.

    Raises:
        UnknownAccount, IdempotencyMismatch.
        LedgerMismatch: if the account is not frozen or has another balance.
    """
    account = account_of(account_row(connection, idx))
    happening = begin(connection, Kind.EXIT, reference, idx, (idx, amount_base))
    if happening.new:
        if account.status != Status.FROZEN:
            raise LedgerMismatch(f"state of account {idx}", account.status, "exited")
        has_base = account.balance_base - account.deficit_base
        if has_base != amount_base:
            raise LedgerMismatch(f"balance of frozen account {idx}", has_base, amount_base)
    effect = Effect(idx, money_base=-amount_base, values={"status": Status.EXITED})
    return finish(connection, happening, (effect,), ((post.CUSTODY, amount_base),))
