"""Which step out comes next: decided from the contract's record of the account and its leaf alone.

Each run decides anew, so a run may stop or be repeated anywhere.

Source: docs/protocol.md (leaving); contracts/src/base/Leaving.sol.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.chain import Status
from mini_llm.wallet.limits import MAX_AMOUNT_BASE


@dataclass(frozen=True)
class Standing:
    """Where an account is; amounts in base units, times in unix seconds.

    Args:
        now_s: the chain's clock.
        balance_base: in the tree: of the moment of the freeze if it is frozen, else of now.
        others: as in `ISettlement.Account`.
    """

    idx: int
    owner: str
    status: Status
    now_s: int
    balance_base: int
    pending_deposit_base: int
    cancelling_base: int
    cancel_deadline_s: int
    pending_withdrawal_base: int
    withdrawal_deadline_s: int
    pending_key: int
    key_deadline_s: int
    withdrawable_base: int
    frozen_root: int


@dataclass(frozen=True)
class Step:
    """A call of the contract that brings the account further out.

    Args:
        arguments: of the call; the proof of `exit` is still to be made.
        by_owner: True if the contract takes it from the owner only.
        pays_base: what it pays to the owner at once, base units.
    """

    function: str
    arguments: tuple[int, ...]
    by_owner: bool = False
    pays_base: int = 0


@dataclass(frozen=True)
class Wait:
    """Nothing to do until a deadline is over.

    Args:
        until_s: the first second at which the next step is possible.
        what: what happens until then, in words.
    """

    until_s: int
    what: str


def next_step(standing: Standing) -> Step | Wait | None:
    """The next step, a wait, or None if the account has nothing left in the contract."""
    if standing.withdrawable_base:  # first: nothing that may still go wrong has to come before it
        return Step("withdraw", (standing.idx,), pays_base=standing.withdrawable_base)
    if standing.status is Status.FROZEN and standing.balance_base:
        return Step("exit", (standing.idx, standing.balance_base), pays_base=standing.balance_base)
    if standing.status in (Status.UNOPENED, Status.OPEN):
        return _leave(standing)
    return None


def _leave(standing: Standing) -> Step | Wait | None:
    """Deposit and balance at once: if one were asked for alone, money could be moved to the other."""
    left_base = standing.balance_base + standing.pending_deposit_base
    if not left_base:
        return None
    if standing.status is Status.OPEN and _overdue(standing):
        return Step("freeze", (standing.idx,))
    if standing.cancelling_base and standing.now_s > standing.cancel_deadline_s:
        return Step("cancelDeposit", (standing.idx,))
    if standing.pending_deposit_base and not standing.cancelling_base:
        return Step("announceCancelDeposit", (), by_owner=True)
    if not standing.pending_withdrawal_base:
        # All of it: the operator can serve that, or the account can be frozen.
        return Step("requestWithdrawal", (min(left_base, MAX_AMOUNT_BASE),), by_owner=True)
    return Wait(min(_deadlines(standing)) + 1, "the operator has until then to serve what was asked for")


def _overdue(standing: Standing) -> bool:
    """Whether anyone may freeze the account, once it is open."""
    withdrawal = standing.pending_withdrawal_base and standing.now_s > standing.withdrawal_deadline_s
    return bool(withdrawal or (standing.pending_key and standing.now_s > standing.key_deadline_s))


def _deadlines(standing: Standing) -> list[int]:
    """The deadlines after which a step is possible. An account that is not open yet cannot be frozen."""
    found = [standing.cancel_deadline_s] if standing.cancelling_base else []
    if standing.status is Status.OPEN:
        found.append(standing.withdrawal_deadline_s)
        found += [standing.key_deadline_s] if standing.pending_key else []
    return found
