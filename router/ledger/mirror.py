"""What mirror learning keeps: outcomes are counted once, by any worker, in the order of the commits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from router.ledger.call_models import CALL
from router.ledger.errors import LedgerError
from router.ledger.mirror_tables import AUTO_CALL, CALL_FEEDBACK, OUTCOME_COUNT
from router.ledger.models import ACCOUNT, ENTRY, State
from router.mirror.standing import DAY_S, Weighing
from router.mirror.tally import Cell, Count, Kind, weight_of

FEEDBACK_S: Final = 7 * DAY_S
"""How long after its end a call may be judged, seconds."""
MOST_A_DAY: Final = 1_000
"""Verdicts of one account in any day."""


class UnknownCall(LedgerError):
    """The account has no finished call of this id; whether another has is not told."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"you have no finished call {entry_id}")
        self.entry_id = entry_id


class FeedbackTooLate(LedgerError):
    """The call ended too long ago."""

    def __init__(self, entry_id: str, age_s: int) -> None:
        super().__init__(f"call {entry_id} ended {age_s} s ago: it can be judged for {FEEDBACK_S} s")
        self.entry_id, self.age_s = entry_id, age_s


class TooMuchFeedback(LedgerError):
    """The account has said enough for a day."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"{MOST_A_DAY} verdicts a day are taken: wait {wait_s} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Answered:
    """A call whose model was left to us.

    Attributes:
        entry_id: its request id.
        model: that answered.
        form: of the prompt, see `mini_llm.auto.predictor.Prediction`.
        step: the model's predicted quality, see `router.mirror.tally.step_of`.
        chance: with which the model was asked, above 0..1.
    """

    entry_id: str
    model: str
    form: str
    step: int
    chance: float

    def cell(self, kind: Kind) -> Cell:
        """Where its outcome of a kind is counted."""
        return Cell(self.model, self.form, kind, self.step)


@dataclass(frozen=True, slots=True)
class Seen:
    """An outcome that nobody had to tell.

    Attributes:
        cell: where it is counted.
        value: 0 (bad) .. 1 (good).
        chance: with which the model was asked, above 0..1.
        account_idx: whose call it was.
        share: what it counts beside others of the account, see `Weighing.share`.
    """

    cell: Cell
    value: float
    chance: float
    account_idx: int
    share: float


@dataclass(frozen=True, slots=True)
class _Verdict:
    account_idx: int
    value: float
    told_s: int


@dataclass(frozen=True, slots=True)
class _Change:
    cell: Cell
    weight: float
    good: float


def record(
    connection: Connection, calls: Sequence[Answered], seen: Sequence[Seen], now_s: int, weighing: Weighing
) -> None:
    """Keeps calls until they are judged, and counts outcomes; what was said of a call before counts now.

    Args:
        connection: a writing transaction.
        calls: each for the first time.
        seen: outcomes.
        now_s: unix seconds.
        weighing: what each counts.
    """
    standing = _standing(connection, {one.account_idx for one in seen}, weighing)
    changes = [
        _change(one.cell, one.value, one.chance, one.share * standing[one.account_idx]) for one in seen
    ]
    if calls:
        connection.execute(
            insert(AUTO_CALL),
            [{name: getattr(one, name) for name in one.__slots__} | {"made_s": now_s} for one in calls],
        )
        by_id = {one.entry_id: one for one in calls}
        told: Select[Any] = select(CALL_FEEDBACK).where(CALL_FEEDBACK.c.entry_id.in_(by_id))
        said = connection.execute(told.order_by(CALL_FEEDBACK.c.told_s)).all()
        for at, row in enumerate(said):
            verdict = _Verdict(row.account_idx, row.value, row.told_s)
            besides = [later.entry_id for later in said[at:]]
            changes.append(_judged(connection, by_id[row.entry_id], verdict, weighing, besides))
    connection.execute(delete(AUTO_CALL).where(AUTO_CALL.c.made_s < now_s - FEEDBACK_S - DAY_S))
    _count(connection, changes, now_s, weighing.half_life_s)


def give_feedback(
    connection: Connection, account_idx: int, entry_id: str, value: float, now_s: int, weighing: Weighing
) -> None:
    """Keeps what an account says of one of its calls, and counts it; the last word takes the place of others.

    Args:
        connection: a writing transaction.
        account_idx: who says it: who made the call, or paid for it.
        entry_id: request id of the call.
        value: 0 (bad) .. 1 (good).
        now_s: unix seconds.
        weighing: what it counts.

    Raises:
        UnknownCall: the account has no such call, or it has not ended.
        FeedbackTooLate: it ended too long ago.
        TooMuchFeedback: the account said enough for a day.
    """
    ended: Select[Any] = select(CALL.c.time_s).join(ENTRY, ENTRY.c.number == CALL.c.entry_number)
    own = or_(CALL.c.account_idx == account_idx, ENTRY.c.user_idx == account_idx)
    posted = and_(ENTRY.c.id == entry_id, ENTRY.c.state == State.POSTED)
    finished = connection.execute(ended.where(posted, own)).one_or_none()
    if finished is None:
        raise UnknownCall(entry_id)
    if now_s - finished.time_s > FEEDBACK_S:
        raise FeedbackTooLate(entry_id, now_s - finished.time_s)
    mine = CALL_FEEDBACK.c.entry_id == entry_id
    before = connection.execute(
        select(CALL_FEEDBACK.c.value, CALL_FEEDBACK.c.told_s).where(mine)
    ).one_or_none()
    if before is None:
        _admit(connection, account_idx, now_s)
        row = {"entry_id": entry_id, "account_idx": account_idx, "value": value, "told_s": now_s}
        connection.execute(insert(CALL_FEEDBACK), row)
    else:
        connection.execute(update(CALL_FEEDBACK).where(mine).values(value=value))
    found = connection.execute(select(AUTO_CALL).where(AUTO_CALL.c.entry_id == entry_id)).one_or_none()
    if found is None:  # its model was named, or the worker that served it has not told of it yet
        return
    call = Answered(found.entry_id, found.model, found.form, found.step, found.chance)
    told_s = now_s if before is None else before.told_s
    change = _judged(connection, call, _Verdict(account_idx, value, told_s), weighing, (entry_id,))
    if before is not None:
        left = change.weight * 0.5 ** ((now_s - max(told_s, found.made_s)) / weighing.half_life_s)
        change = _Change(change.cell, 0.0, left * (value - before.value))
    _count(connection, [change], now_s, weighing.half_life_s)


def counts(connection: Connection) -> dict[Cell, Count]:
    """All that was counted, each as of its own time."""
    return {
        Cell(row.model, row.form, Kind(row.kind), row.step): Count(row.weight, row.good, row.at_s)
        for row in connection.execute(select(OUTCOME_COUNT))
    }


def forget(connection: Connection, model: str | None) -> int:
    """Drops what was counted of a model, of all if None: the shipped predictor alone is believed again.

    Returns:
        How many counts were dropped.
    """
    dropped = delete(OUTCOME_COUNT)
    if model is not None:
        dropped = dropped.where(OUTCOME_COUNT.c.model == model)
    return connection.execute(dropped).rowcount


def _admit(connection: Connection, account_idx: int, now_s: int) -> None:
    day = and_(CALL_FEEDBACK.c.account_idx == account_idx, CALL_FEEDBACK.c.told_s > now_s - DAY_S)
    said = select(func.count().label("verdicts"), func.min(CALL_FEEDBACK.c.told_s).label("first_s"))
    found = connection.execute(said.where(day)).one()
    if found.verdicts >= MOST_A_DAY:
        raise TooMuchFeedback(max(1, found.first_s + DAY_S - now_s))


def _judged(
    connection: Connection, call: Answered, said: _Verdict, weighing: Weighing, besides: Sequence[str]
) -> _Change:
    """A verdict, for what it counts after those on the same model that the account gave in the day before,
    besides its own and others that are not counted yet.
    """
    earlier = and_(
        CALL_FEEDBACK.c.account_idx == said.account_idx,
        CALL_FEEDBACK.c.told_s > said.told_s - DAY_S,
        CALL_FEEDBACK.c.told_s <= said.told_s,
        CALL_FEEDBACK.c.entry_id.not_in(besides),
        AUTO_CALL.c.model == call.model,
    )
    both = CALL_FEEDBACK.join(AUTO_CALL, AUTO_CALL.c.entry_id == CALL_FEEDBACK.c.entry_id)
    had = connection.execute(select(func.count()).select_from(both).where(earlier)).scalar_one()
    standing = _standing(connection, {said.account_idx}, weighing)[said.account_idx]
    return _change(call.cell(Kind.FEEDBACK), said.value, call.chance, weighing.share(had) * standing)


def _standing(connection: Connection, accounts: Collection[int], weighing: Weighing) -> dict[int, float]:
    """What outcomes of each account count, by what it has paid."""
    query = select(ACCOUNT.c.idx, ACCOUNT.c.spent_base).where(ACCOUNT.c.idx.in_(accounts))
    spent = {row.idx: row.spent_base for row in connection.execute(query)} if accounts else {}
    return {idx: weighing.standing(spent.get(idx, 0)) for idx in accounts}


def _change(cell: Cell, value: float, chance: float, share: float) -> _Change:
    weight = weight_of(cell.kind, chance) * share
    return _Change(cell, weight, weight * value)


def _count(connection: Connection, changes: Iterable[_Change], now_s: int, half_life_s: int) -> None:
    """Each count is read and written in this transaction, and only one writes at a time."""
    table = OUTCOME_COUNT.c
    for change in sorted(changes, key=lambda one: one.cell):
        cell = change.cell
        key = and_(
            table.model == cell.model,
            table.form == cell.form,
            table.kind == cell.kind,
            table.step == cell.step,
        )
        row = connection.execute(select(table.weight, table.good, table.at_s).where(key)).one_or_none()
        old = Count(0.0, 0.0, now_s) if row is None else Count(row.weight, row.good, row.at_s)
        moved = old.moved(change.weight, change.good, now_s, half_life_s)
        new = {"weight": moved.weight, "good": moved.good, "at_s": round(moved.at_s)}
        if row is not None:
            connection.execute(update(OUTCOME_COUNT).where(key).values(**new))
        elif change.weight:
            name = {"model": cell.model, "form": cell.form, "kind": cell.kind, "step": cell.step}
            connection.execute(insert(OUTCOME_COUNT), name | new)
