"""Which step out comes next: decided from the contract's record of the account and its leaf alone.

Each run decides anew, so a run may stop or be repeated anywhere.

Source: docs/protocol.md (leaving); contracts/src/base/Leaving.sol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mini_llm.wallet.limits import MAX_AMOUNT_BASE


class Status(IntEnum):
    """`ISettlement.Status`."""

    NONE = 0
    UNOPENED = 1
    OPEN = 2
    FROZEN = 3
    EXITED = 4


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
    step = _way_out(standing)
    if standing.withdrawable_base and not isinstance(step, Step):
        return Step("withdraw", (standing.idx,), pays_base=standing.withdrawable_base)
    return step


def _way_out(standing: Standing) -> Step | Wait | None:
    """The next step for everything but what `withdraw` pays."""
    if standing.status is Status.FROZEN and standing.balance_base:
        return Step("exit", (standing.idx, standing.balance_base), pays_base=standing.balance_base)
    if standing.status is Status.OPEN and standing.balance_base + standing.pending_deposit_base:
        return _leave_tree(standing)
    if standing.status is Status.UNOPENED and standing.pending_deposit_base:
        return _take_deposit_back(standing)
    return None


def _take_deposit_back(standing: Standing) -> Step | Wait:
    if not standing.cancelling_base:
        return Step("announceCancelDeposit", (), by_owner=True)
    if standing.now_s > standing.cancel_deadline_s:
        return Step("cancelDeposit", (standing.idx,))
    return Wait(standing.cancel_deadline_s + 1, "the announced deposit can be taken back after its deadline")


def _leave_tree(standing: Standing) -> Step | Wait:
    deadlines = []
    if standing.pending_withdrawal_base:
        deadlines.append(standing.withdrawal_deadline_s)
    if standing.pending_key:
        deadlines.append(standing.key_deadline_s)
    if any(standing.now_s > deadline_s for deadline_s in deadlines):
        return Step("freeze", (standing.idx,))
    if not standing.pending_withdrawal_base:
        # All of it: the operator can serve that, or the account can be frozen.
        wanted_base = min(standing.balance_base + standing.pending_deposit_base, MAX_AMOUNT_BASE)
        return Step("requestWithdrawal", (wanted_base,), by_owner=True)
    return Wait(min(deadlines) + 1, "the operator has until then to serve the request")
