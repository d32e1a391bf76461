"""Rewards as accounts, operators and the bridge see them; refunds and referrals, which change them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, case, func, insert, not_, select

from router.ledger.call_models import CALL
from router.ledger.errors import LedgerError, UnknownEntry
from router.ledger.models import ACCOUNT, ENTRY
from router.ledger.post import check_amount
from router.ledger.record import account_row
from router.ledger.reward_epochs import BEFORE_REWARDS
from router.ledger.reward_tables import CALL_SCORE, REFERRAL, REFUND, REWARD, REWARD_EPOCH

_CODE_DIGITS: Final = 6


class RefundRefused(LedgerError):
    """A refund that cannot be recorded; `problem` says why."""

    def __init__(self, entry_id: str, problem: str) -> None:
        super().__init__(f"the refund of call {entry_id} is not recorded: {problem}")
        self.entry_id, self.problem = entry_id, problem


class ReferralRefused(LedgerError):
    """An account cannot name this referrer; `problem` says why."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class RewardView:
    """An account's rewards since ever, base units.

    Attributes:
        earned_base: all rewards, less what refunds took back.
        vesting_base: the part that a refund can still take back.
        paid_base: the part that batches have paid into the balance.
        referrer_idx: who referred the account, None if nobody.
    """

    earned_base: int
    vesting_base: int
    paid_base: int
    referrer_idx: int | None


@dataclass(frozen=True, slots=True)
class EpochView:
    """An epoch that has ended; amounts in base units.

    Attributes:
        number: from 1.
        ended_s: unix seconds.
        shared: False if it was not shared out yet.
        pool_base: what there was to share.
        fees_base: the fees that fill the pool, less refunds.
        accounts: how many earned something.
        earned_base: their rewards when it closed.
        vested_base: what of them has vested; None while they vest.
    """

    number: int
    ended_s: int
    shared: bool
    pool_base: int
    fees_base: int
    accounts: int
    earned_base: int
    vested_base: int | None


@dataclass(frozen=True, slots=True)
class AccountReward:
    """What an account earned in an epoch, base units.

    Attributes:
        epoch: its number.
        ended_s: unix seconds.
        fees_base: the account's charges that count, less refunds.
        earned_base: its reward when the epoch closed.
        vested_base: what of it has vested; None while it vests.
    """

    epoch: int
    ended_s: int
    fees_base: int
    earned_base: int
    vested_base: int | None


@dataclass(frozen=True, slots=True)
class Score:
    """A call's quality, 0 … 100, and the fingerprint by which near-duplicates are found."""

    entry_id: str
    score: int
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Due:
    """Vested rewards that no batch has paid yet, as the ledger knows.

    Attributes:
        vested_base: all that has vested since ever, base units.
        since_s: unix seconds from which on the newest part waits.
    """

    vested_base: int
    since_s: int


def reward_view(connection: Connection, idx: int) -> RewardView:
    """The rewards of one account.

    Raises:
        UnknownAccount: no such account.
    """
    row = account_row(connection, idx)
    still = REWARD.c.vested_base.is_(None)
    query = select(func.coalesce(func.sum(REWARD.c.earned_base), 0))
    vesting_base = int(connection.execute(query.where(still, REWARD.c.account_idx == idx)).scalar_one())
    referrer = select(REFERRAL.c.referrer_idx).where(REFERRAL.c.account_idx == idx)
    return RewardView(
        earned_base=row.vested_base + vesting_base,
        vesting_base=vesting_base,
        paid_base=row.rewarded_base,
        referrer_idx=connection.execute(referrer).scalar_one_or_none(),
    )


def account_rewards(connection: Connection, idx: int, limit: int = 12) -> list[AccountReward]:
    """What an account earned in the last epochs that counted something of it, newest first."""
    amounts = (REWARD.c.fees_base, REWARD.c.earned_base, REWARD.c.vested_base)
    query: Select[Any] = (
        select(REWARD.c.epoch, REWARD_EPOCH.c.ended_s, *amounts)
        .join(REWARD_EPOCH, REWARD_EPOCH.c.number == REWARD.c.epoch)
        .where(REWARD.c.account_idx == idx, REWARD.c.epoch > BEFORE_REWARDS)
        .order_by(REWARD.c.epoch.desc())
        .limit(limit)
    )
    return [AccountReward(**row._mapping) for row in connection.execute(query)]


def last_epoch_s(connection: Connection) -> int | None:
    """When the last epoch ended, unix seconds; None if rewards have not begun."""
    ended_s: int | None = connection.execute(select(func.max(REWARD_EPOCH.c.ended_s))).scalar_one()
    return ended_s


def epochs(connection: Connection, limit: int = 12) -> list[EpochView]:
    """The last epochs, newest first."""
    query: Select[Any] = (
        select(
            REWARD_EPOCH,
            func.coalesce(func.sum(REWARD.c.fees_base), 0),
            func.coalesce(func.sum(case((REWARD.c.earned_base > 0, 1), else_=0)), 0),
            func.coalesce(func.sum(REWARD.c.earned_base), 0),
            func.sum(REWARD.c.vested_base),
        )
        .join(REWARD, REWARD.c.epoch == REWARD_EPOCH.c.number, isouter=True)
        .where(REWARD_EPOCH.c.number > BEFORE_REWARDS)
        .group_by(*REWARD_EPOCH.columns)
        .order_by(REWARD_EPOCH.c.number.desc())
        .limit(limit)
    )
    return [_epoch(row) for row in connection.execute(query)]


def _epoch(row: Any) -> EpochView:
    number, ended_s, shared_s, pool_base, fees_base, accounts, earned_base, vested_base = row
    return EpochView(
        number=number,
        ended_s=ended_s,
        shared=shared_s is not None,
        pool_base=pool_base,
        fees_base=int(fees_base),
        accounts=int(accounts),
        earned_base=int(earned_base),
        vested_base=None if vested_base is None else int(vested_base),
    )


def due(connection: Connection) -> dict[int, Due]:
    """Accounts with vested rewards that no mirrored batch has paid, by index."""
    since_s: int | None = connection.execute(select(func.max(REWARD_EPOCH.c.shared_s))).scalar_one()
    query = select(ACCOUNT.c.idx, ACCOUNT.c.vested_base)
    waiting = query.where(ACCOUNT.c.vested_base > ACCOUNT.c.rewarded_base)
    return {row[0]: Due(row[1], since_s or 0) for row in connection.execute(waiting)}


def store_scores(connection: Connection, scores: Sequence[Score]) -> None:
    """Keeps the scores of calls; the first one of a call stays."""
    by_id = {score.entry_id: score for score in scores}
    known = select(CALL_SCORE.c.entry_number).where(CALL_SCORE.c.entry_number == ENTRY.c.number).exists()
    calls: Select[Any] = select(ENTRY.c.number, ENTRY.c.id).where(ENTRY.c.id.in_(by_id), not_(known))
    rows = [
        {"entry_number": row[0], "score": by_id[row[1]].score, "fingerprint": by_id[row[1]].fingerprint}
        for row in connection.execute(calls)
    ]
    if rows:
        connection.execute(insert(CALL_SCORE), rows)


def record_refund(
    connection: Connection, reference: str, entry_id: str, amount_base: int | None, now_s: int
) -> tuple[int, int]:
    """Records that a call is refunded, once per `reference`: it then earns as if it had cost so much less.

    Args:
        connection: a writing transaction.
        reference: what the refund is for.
        entry_id: the call's request id.
        amount_base: base units; None for all that is left of the charge.
        now_s: unix seconds.

    Returns:
        The account, and the amount that the treasury owes it for this.

    Raises:
        UnknownEntry: no such call.
        RefundRefused: more than its charge, recorded otherwise before, or its rewards have vested.
    """
    columns = (CALL.c.entry_number, CALL.c.account_idx, CALL.c.charge_base, CALL.c.account_total_base)
    found = select(*columns).join(ENTRY, ENTRY.c.number == CALL.c.entry_number)
    call = connection.execute(found.where(ENTRY.c.id == entry_id)).one_or_none()
    if call is None:
        raise UnknownEntry(entry_id)
    known = connection.execute(select(REFUND).where(REFUND.c.reference == reference)).one_or_none()
    if known is not None:
        if known.entry_number != call.entry_number or amount_base not in (None, known.amount_base):
            raise RefundRefused(entry_id, f"{reference!r} was recorded for something else")
        return call.account_idx, known.amount_base
    earlier = select(func.coalesce(func.sum(REFUND.c.amount_base), 0))
    of_call = earlier.where(REFUND.c.entry_number == call.entry_number)
    left_base = call.charge_base - int(connection.execute(of_call).scalar_one())
    amount_base = left_base if amount_base is None else amount_base
    if not left_base or amount_base > left_base:
        raise RefundRefused(entry_id, f"{left_base} base units of its charge are left")
    check_amount("refund", amount_base)
    if _has_vested(connection, call):
        raise RefundRefused(entry_id, "its reward has vested")
    values = {"reference": reference, "entry_number": call.entry_number, "amount_base": amount_base}
    connection.execute(insert(REFUND), values | {"refunded_s": now_s})
    return call.account_idx, amount_base


def _has_vested(connection: Connection, call: Any) -> bool:
    counted = and_(
        REWARD.c.account_idx == call.account_idx,
        REWARD.c.after_total_base < call.account_total_base,
        REWARD.c.upto_total_base >= call.account_total_base,
    )
    vested = REWARD.c.vested_base.is_not(None)
    query = select(REWARD.c.epoch).where(counted, vested, REWARD.c.epoch > BEFORE_REWARDS)
    return connection.execute(query).one_or_none() is not None


def referral_code(idx: int) -> str:
    """What an account gives to those whom it refers: its index, and digits that catch a mistyped one."""
    return f"{idx}-{hashlib.sha256(f'vibes referral {idx}'.encode()).hexdigest()[:_CODE_DIGITS]}"


def name_referrer(connection: Connection, idx: int, code: str, now_s: int) -> int:
    """Names who referred an account, once and before its first charge; returns the referrer.

    Raises:
        UnknownAccount: `idx`.
        ReferralRefused: the code is nobody's or its own, or it is too late.
    """
    spent_base = account_row(connection, idx).spent_base
    digits = code.partition("-")[0]
    referrer = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else 0
    known = select(ACCOUNT.c.idx).where(ACCOUNT.c.idx == referrer)
    if code != referral_code(referrer) or connection.execute(known).one_or_none() is None:
        raise ReferralRefused("no account has this referral code")
    if referrer == idx:
        raise ReferralRefused("an account does not refer itself")
    named = select(REFERRAL.c.referrer_idx).where(REFERRAL.c.account_idx == idx)
    earlier: int | None = connection.execute(named).scalar_one_or_none()
    if earlier is not None:
        if earlier != referrer:
            raise ReferralRefused("this account has named another referrer")
        return referrer
    if spent_base:
        raise ReferralRefused("a referrer is named before the first paid call")
    values = {"account_idx": idx, "referrer_idx": referrer, "named_s": now_s}
    connection.execute(insert(REFERRAL), values)
    return referrer
