"""The log of chances that models were chosen with, and the share of accounts that follow what was learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select

from router.ledger.mirror import FEEDBACK_S
from router.ledger.mirror_tables import CALL_FEEDBACK, DRAWN_CALL, LEARNING_STEP
from router.ledger.models import ACCOUNT
from router.mirror.evaluate import Logged
from router.mirror.standing import DAY_S

MOST_LOGGED: Final = 800
"""Calls, the last ones, that a decision rests on."""
MOST_OF_ONE: Final = MOST_LOGGED // 10
"""Of one account: else the last to say a lot would be the only one who is heard."""
MOST_LOOKED_AT: Final = 20_000
"""Calls that these are taken from."""


@dataclass(frozen=True, slots=True)
class DrawnFacts:
    """A row of the log: see `mini_llm.routing.mirroring.Drawn`, and who made the call."""

    entry_id: str
    account_idx: int
    served: str
    shipped: str
    learned: str
    shipped_quality: float
    learned_quality: float
    shipped_chance: float
    learned_chance: float
    shipped_base: int
    learned_base: int


@dataclass(frozen=True, slots=True)
class Share:
    """The share of accounts that follow.

    Attributes:
        number: of the step that set it, 0 for none.
        at_s: when, unix seconds.
        percent: of accounts.
        reason: in words.
    """

    number: int = 0
    at_s: int = 0
    percent: int = 0
    reason: str = "nobody has followed yet"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the log says since the share last changed.

    Attributes:
        share: that is in force.
        rows: judged calls.
        saved: part of the shipped predictor's cost that the learned one saves in them.
    """

    share: Share
    rows: tuple[Logged, ...]
    saved: float


def log(connection: Connection, calls: Sequence[DrawnFacts], now_s: int) -> None:
    """Keeps the chances of calls until they cannot be judged any more."""
    if calls:
        connection.execute(insert(DRAWN_CALL), [asdict(one) | {"made_s": now_s} for one in calls])
        connection.execute(delete(DRAWN_CALL).where(DRAWN_CALL.c.made_s < now_s - FEEDBACK_S - DAY_S))


def shares(connection: Connection, limit: int | None = None) -> list[Share]:
    """The steps, the last one first."""
    query = select(LEARNING_STEP).order_by(LEARNING_STEP.c.number.desc()).limit(limit)
    return [Share(row.number, row.at_s, row.percent, row.reason) for row in connection.execute(query)]


def in_force(connection: Connection) -> Share:
    """The share that is in force."""
    return next(iter(shares(connection, 1)), Share())


def evidence(connection: Connection, proven_base: int) -> Evidence:
    """What is known for the next step, by accounts that have paid `proven_base` for calls."""
    share = in_force(connection)
    judged = (
        select(DRAWN_CALL, CALL_FEEDBACK.c.value)
        .join(CALL_FEEDBACK, CALL_FEEDBACK.c.entry_id == DRAWN_CALL.c.entry_id)
        .join(ACCOUNT, ACCOUNT.c.idx == DRAWN_CALL.c.account_idx)
        .where(DRAWN_CALL.c.made_s >= share.at_s, ACCOUNT.c.spent_base >= proven_base)
        .order_by(DRAWN_CALL.c.made_s.desc())
        .limit(MOST_LOOKED_AT)
    )
    found = list(islice(_of_many(connection.execute(judged.execution_options(yield_per=1000))), MOST_LOGGED))
    shipped_base = sum(row.shipped_base for row in found)
    learned_base = sum(row.learned_base for row in found)
    millionths = (shipped_base - learned_base) * 1_000_000 // max(1, shipped_base)
    return Evidence(share, tuple(map(_logged, found)), millionths / 1_000_000)


def _of_many(rows: Iterable[Any]) -> Iterator[Any]:
    """The rows without what is beyond `MOST_OF_ONE` of an account."""
    had: Counter[int] = Counter()
    for row in rows:
        had[row.account_idx] += 1
        if had[row.account_idx] <= MOST_OF_ONE:
            yield row


def take(connection: Connection, before: Share, percent: int, reason: str, now_s: int) -> bool:
    """Changes the share, unless somebody else has done so meanwhile."""
    if in_force(connection).number != before.number:
        return False
    connection.execute(insert(LEARNING_STEP), {"at_s": now_s, "percent": percent, "reason": reason})
    return True


def _logged(row: Any) -> Logged:
    return Logged(
        row.account_idx,
        row.value,
        row.served,
        row.shipped,
        row.learned,
        row.shipped_quality,
        row.learned_quality,
        row.shipped_chance,
        row.learned_chance,
    )
