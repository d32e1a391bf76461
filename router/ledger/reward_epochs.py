"""Closing an epoch of rewards, in three steps that each happened or did not.

    end      which settled calls the epoch counts is fixed
    reckon   its pool is shared out, and the one before it once more, with the refunds that came meanwhile:
             reading only, beside running calls
    share    the epoch's rewards begin to vest, those of the one before have vested

A process that dies between two steps leaves an epoch that has ended and is not shared out; whoever closes
next goes on with it. Several may try at once: each step is taken once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    String,
    and_,
    bindparam,
    cast,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    update,
)

from router.ledger.call_models import CALL
from router.ledger.models import ACCOUNT
from router.ledger.offers import PROMO_GRANT
from router.ledger.reward_shares import Epoch, PaidCall, Rates, Total, after, share_out, vested
from router.ledger.reward_tables import CALL_SCORE, REFERRAL, REFUND, REWARD, REWARD_EPOCH

BEFORE_REWARDS: Final = 0
"""Number of the epoch that stands for all calls from before rewards began; it shares out nothing."""

_CHUNK_ROWS: Final = 1000
_LAST: Final = select(REWARD_EPOCH).order_by(REWARD_EPOCH.c.number.desc()).limit(1)
_OF_ACCOUNT: Final = (
    update(REWARD)
    .where(REWARD.c.epoch == bindparam("number"), REWARD.c.account_idx == bindparam("idx"))
)  # fmt: skip
_NOT_YET: Final = cast(None, REWARD.c.vested_base.type)
_VESTED: Final = (
    select(func.coalesce(func.sum(REWARD.c.vested_base), 0))
    .where(REWARD.c.account_idx == ACCOUNT.c.idx)
    .scalar_subquery()
)


@dataclass(frozen=True)
class Excluded:
    """Whose calls earn nothing and fill no pool.

    Args:
        houses: accounts of the operator: they pay for promotional calls and for calls without an account.
        own: accounts of each partner, whose calls to it do not count.
    """

    houses: Collection[int] = ()
    own: Mapping[int, Collection[int]] | None = None


@dataclass(frozen=True)
class Reckoned:
    """An epoch as it is to be shared out.

    Args:
        number: the epoch.
        epoch: its rewards, which begin to vest.
        before: what of the rewards of the epoch before it vests.
        refunds: how many refunds were known.
    """

    number: int
    epoch: Epoch
    before: Epoch
    refunds: int


def end(connection: Connection, now_s: int, epoch_s: int | None) -> int | None:
    """Ends the running epoch if it is time; the number of the one to be shared out, None if there is none.

    The first time, rewards begin: calls from before earn nothing.

    Args:
        connection: a writing transaction.
        now_s: unix seconds.
        epoch_s: length of an epoch; None to end it whatever the clock says.
    """
    last = connection.execute(_LAST).one_or_none()
    if last is not None and last.shared_s is None:
        return int(last.number)
    if last is not None and epoch_s is not None and now_s - last.ended_s < epoch_s:
        return None
    number = BEFORE_REWARDS if last is None else last.number + 1
    shared_s = now_s if last is None else None
    row = {"number": number, "ended_s": now_s, "shared_s": shared_s, "pool_base": 0}
    connection.execute(insert(REWARD_EPOCH), row)
    upto_base = ACCOUNT.c.spent_base if last is None else ACCOUNT.c.settled_spent_base
    vested_base = literal(0) if last is None else _NOT_YET
    counted = select(
        literal(number), ACCOUNT.c.idx, ACCOUNT.c.counted_base, upto_base, literal(0), literal(0), vested_base
    ).where(upto_base > ACCOUNT.c.counted_base)
    connection.execute(insert(REWARD).from_select(REWARD.columns.keys(), counted))
    connection.execute(
        update(ACCOUNT).where(upto_base > ACCOUNT.c.counted_base).values(counted_base=upto_base)
    )
    return None if last is None else number


def reckon(connection: Connection, number: int, excluded: Excluded, rates: Rates) -> Reckoned:
    """Shares out an epoch that has ended, and its predecessor once more; writes nothing."""
    totals = _totals(connection, number - 1)
    referrers = {row[0]: row[1] for row in connection.execute(select(REFERRAL))}
    previous = Epoch(0)
    if number - 1 > BEFORE_REWARDS:
        query = select(REWARD.c.account_idx, REWARD.c.earned_base).where(REWARD.c.epoch == number - 1)
        earned_base = {row[0]: row[1] for row in connection.execute(query)}
        again = share_out(_calls(connection, number - 1, excluded), totals, referrers, rates)
        previous = vested(Epoch(again.pool_base, {}, earned_base), again)
        totals = after(totals, previous)
    epoch = share_out(_calls(connection, number, excluded), totals, referrers, rates)
    return Reckoned(number, epoch, previous, _refunds(connection))


def share(connection: Connection, reckoned: Reckoned, now_s: int) -> bool:
    """Writes down an epoch that was reckoned, once; False if a refund came since: then reckon again.

    Args:
        connection: a writing transaction.
        reckoned: from `reckon`.
        now_s: unix seconds.
    """
    last = connection.execute(_LAST).one()
    if last.number != reckoned.number or last.shared_s is not None:
        return True
    if _refunds(connection) != reckoned.refunds:
        return False
    if reckoned.number - 1 > BEFORE_REWARDS:
        _vest(connection, reckoned.number - 1, reckoned.before)
    _earn(connection, reckoned.number, reckoned.epoch)
    values = {"shared_s": now_s, "pool_base": reckoned.epoch.pool_base}
    connection.execute(update(REWARD_EPOCH).where(REWARD_EPOCH.c.number == reckoned.number).values(values))
    return True


def _vest(connection: Connection, number: int, epoch: Epoch) -> None:
    _write(connection, number, _of_epoch(connection, number), epoch, "vested_base")
    touched = select(REWARD.c.account_idx).where(REWARD.c.epoch == number)
    connection.execute(update(ACCOUNT).where(ACCOUNT.c.idx.in_(touched)).values(vested_base=_VESTED))


def _earn(connection: Connection, number: int, epoch: Epoch) -> None:
    without = epoch.rewards_base.keys() - _of_epoch(connection, number)
    if without:  # referrers who made no call of their own
        counted = ACCOUNT.c.counted_base
        row = select(
            literal(number), ACCOUNT.c.idx, counted, counted, literal(0), literal(0), _NOT_YET
        ).where(ACCOUNT.c.idx == bindparam("idx"))  # fmt: skip
        inserted = insert(REWARD).from_select(REWARD.columns.keys(), row)
        connection.execute(inserted, [{"idx": idx} for idx in sorted(without)])
    _write(connection, number, epoch.fees_base.keys() | epoch.rewards_base.keys(), epoch, "earned_base")


def _of_epoch(connection: Connection, number: int) -> set[int]:
    """The accounts that have a row for an epoch."""
    query = select(REWARD.c.account_idx).where(REWARD.c.epoch == number)
    return set(connection.execute(query).scalars())


def _write(connection: Connection, number: int, idxs: Collection[int], epoch: Epoch, column: str) -> None:
    """Writes fees and rewards into an epoch's rows; `column` takes the rewards."""
    rows = [
        {
            "number": number,
            "idx": idx,
            "fees": epoch.fees_base.get(idx, 0),
            "amount": epoch.rewards_base.get(idx, 0),
        }
        for idx in sorted(idxs)
    ]
    if rows:
        values: dict[str, Any] = {"fees_base": bindparam("fees"), column: bindparam("amount")}
        connection.execute(_OF_ACCOUNT.values(values), rows)


def _refunds(connection: Connection) -> int:
    count: int = connection.execute(select(func.count()).select_from(REFUND)).scalar_one()
    return count


def _totals(connection: Connection, below: int) -> dict[int, Total]:
    """Sums of the epochs before one; all of them have vested."""
    query = (
        select(REWARD.c.account_idx, func.sum(REWARD.c.fees_base), func.sum(REWARD.c.vested_base))
        .where(REWARD.c.epoch < below)
        .group_by(REWARD.c.account_idx)
    )
    return {row[0]: Total(int(row[1]), int(row[2])) for row in connection.execute(query)}


def _calls(connection: Connection, number: int, excluded: Excluded) -> Iterator[PaidCall]:
    """The calls that an epoch counts, in the order in which they were made."""
    refunded = (
        select(REFUND.c.entry_number, func.sum(REFUND.c.amount_base).label("amount_base"))
        .group_by(REFUND.c.entry_number)
        .subquery()
    )
    query: Select[Any] = (
        select(
            CALL.c.account_idx,
            CALL.c.charge_base - func.coalesce(refunded.c.amount_base, 0),
            CALL_SCORE.c.score,
            CALL_SCORE.c.fingerprint,
        )
        .join(
            REWARD,
            and_(
                REWARD.c.account_idx == CALL.c.account_idx,
                REWARD.c.after_total_base < CALL.c.account_total_base,
                REWARD.c.upto_total_base >= CALL.c.account_total_base,
            ),
        )
        .join(CALL_SCORE, CALL_SCORE.c.entry_number == CALL.c.entry_number, isouter=True)
        .join(refunded, refunded.c.entry_number == CALL.c.entry_number, isouter=True)
        .where(REWARD.c.epoch == number, not_(_uncounted(excluded)))
        .order_by(CALL.c.entry_number)
    )
    # of a driver's own cursor PostgreSQL sends all rows before the first is read
    for row in connection.execute(query.execution_options(yield_per=_CHUNK_ROWS)):
        yield PaidCall(row[0], int(row[1]), row[2], row[3])


def _uncounted(excluded: Excluded) -> Any:
    """Calls of the operator's own accounts, on the user's own provider key, and of partners to themselves."""
    own_key = CALL.c.deployment.like(literal("%@").concat(cast(CALL.c.account_idx, String)))
    own_partner = [
        and_(CALL.c.partner_id == partner, CALL.c.account_idx.in_(tuple(accounts)))
        for partner, accounts in (excluded.own or {}).items()
    ]
    houses = CALL.c.account_idx.in_(tuple(excluded.houses))
    sponsors = CALL.c.account_idx.in_(select(PROMO_GRANT.c.sponsor_idx))
    return or_(own_key, houses, sponsors, *own_partner)
