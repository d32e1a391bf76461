"""An account's finished calls as a list, newest first, and one of them with all that is kept of it.

A list goes on from a mark, never from an offset, and looks at a bounded number of calls: a filter that few
calls pass gives a short page and the mark to go on from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, select, tuple_

from router.ledger.call_models import ATTEMPT, CALL
from router.ledger.mirror_tables import AUTO_CALL
from router.ledger.models import ENTRY
from router.ledger.views import CallView, call_of
from router.mirror.tally import STEPS_PER_UNIT

DAY_S: Final = 86_400
LOOKED_THROUGH: Final = 10_000
"""Most calls that one page of a filtered list looks at."""
_MARK: Final = re.compile(r"([0-9]{1,12})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a list goes on: after the call of this time (unix seconds) and entry number."""

    time_s: int
    number: int

    def __str__(self) -> str:
        return f"{self.time_s}-{self.number}"

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """What `str` wrote, None if it is something else."""
        found = _MARK.fullmatch(text)
        return None if found is None else cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Asked:
    """Which calls of an account a list shows.

    Attributes:
        idx: the account.
        by_others: those that its owner made and others paid for, instead of those that it paid for.
        model: only those to this model.
        key_id: only those with this API key.
        day: only those of this UTC day, days since 1970.
        after: goes on from here.
    """

    idx: int
    by_others: bool = False
    model: str | None = None
    key_id: str | None = None
    day: int | None = None
    after: Mark | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A call of a list; `key_id` is None for one of a wallet's session."""

    call: CallView
    key_id: str | None


@dataclass(frozen=True, slots=True)
class Attempted:
    """A try at a deployment that failed: how, and after how many milliseconds."""

    deployment: str
    outcome: str
    ms: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """How a model was chosen that was left to the router.

    Attributes:
        log_odds: its predicted quality: that the answer is good, in log odds, to half a unit.
        chance: with which it was asked, above 0..1.
        form: of the prompt, "choice" or "open".
    """

    log_odds: float
    chance: float
    form: str


@dataclass(frozen=True, slots=True)
class Detail:
    """All that is kept of a call.

    Attributes:
        call: usage, charge and receipt.
        deployment: who served it.
        key_id: the API key that called, None for a wallet's session.
        user_idx: the account of the one who called, if another paid.
        parts: tokens by kind that are parts of the totals: cached, cache write, audio read, reasoning,
            audio written.
        opened_s: unix seconds at which it began.
        attempts: who failed before.
        chosen: None if the call named its model, or a week has passed.
    """

    call: CallView
    deployment: str
    key_id: str | None
    user_idx: int | None
    parts: dict[str, int]
    opened_s: int
    attempts: tuple[Attempted, ...]
    chosen: Chosen | None


_ROW: Final = (CALL, ENTRY.c.id, ENTRY.c.key_id, ENTRY.c.user_idx, ENTRY.c.opened_s)
_CALLS: Final[Select[Any]] = select(*_ROW).join(ENTRY, ENTRY.c.number == CALL.c.entry_number)
_PARTS: Final = {
    "cached": "cached_tokens",
    "written to the cache": "cache_write_tokens",
    "sound read": "audio_prompt_tokens",
    "reasoning": "reasoning_tokens",
    "sound written": "audio_completion_tokens",
}


def requests(connection: Connection, asked: Asked, limit: int) -> tuple[list[Listed], Mark | None]:
    """A page of finished calls, newest first, and where the next one goes on; None after the last."""
    time_s, number = (
        (ENTRY.c.opened_s, ENTRY.c.number) if asked.by_others else (CALL.c.time_s, CALL.c.entry_number)
    )
    where = _where(asked, time_s, number)
    last = None
    if asked.model is not None or asked.key_id is not None:
        last = _mark(connection.execute(_place(time_s, number, where)).one_or_none())
        where += _passing(asked)
        if last is not None:
            where.append(tuple_(time_s, number) >= tuple_(last.time_s, last.number))
    query = _CALLS.where(*where).order_by(time_s.desc(), number.desc()).limit(limit + 1)
    rows = connection.execute(query.add_columns(time_s.label("listed_s"), number.label("listed"))).all()
    found = [Listed(call_of(row), row.key_id) for row in rows[:limit]]
    return found, Mark(rows[limit - 1].listed_s, rows[limit - 1].listed) if len(rows) > limit else last


def detail(connection: Connection, idx: int, entry_id: str) -> Detail | None:
    """A finished call that an account paid for or whose owner made; None if there is none such."""
    row = connection.execute(_CALLS.where(ENTRY.c.id == entry_id)).one_or_none()
    if row is None or idx not in (row.account_idx, row.user_idx):
        return None
    tries: Select[Any] = select(ATTEMPT.c.deployment, ATTEMPT.c.outcome, ATTEMPT.c.ms)
    tries = tries.where(ATTEMPT.c.entry_number == row.entry_number).order_by(ATTEMPT.c.position)
    chosen = connection.execute(select(AUTO_CALL).where(AUTO_CALL.c.entry_id == entry_id)).one_or_none()
    return Detail(
        call=call_of(row),
        deployment=row.deployment,
        key_id=row.key_id,
        user_idx=row.user_idx,
        parts={name: count for name, column in _PARTS.items() if (count := getattr(row, column))},
        opened_s=row.opened_s,
        attempts=tuple(Attempted(one.deployment, one.outcome, one.ms) for one in connection.execute(tries)),
        chosen=None if chosen is None else Chosen(chosen.step / STEPS_PER_UNIT, chosen.chance, chosen.form),
    )


def _where(asked: Asked, time_s: Any, number: Any) -> list[ColumnElement[bool]]:
    """Which calls are looked at."""
    where: list[ColumnElement[bool]] = [
        ENTRY.c.user_idx == asked.idx if asked.by_others else CALL.c.account_idx == asked.idx
    ]
    if asked.after is not None:
        where.append(tuple_(time_s, number) < tuple_(asked.after.time_s, asked.after.number))
    if asked.day is not None:
        where += [time_s >= asked.day * DAY_S, time_s < (asked.day + 1) * DAY_S]
    return where


def _passing(asked: Asked) -> list[ColumnElement[bool]]:
    """Which of those that are looked at are shown."""
    wanted = ((CALL.c.model, asked.model), (ENTRY.c.key_id, asked.key_id))
    return [column == value for column, value in wanted if value is not None]


def _place(time_s: Any, number: Any, where: list[ColumnElement[bool]]) -> Select[Any]:
    """The place of the last call that a filtered page looks at; an index alone answers."""
    places = select(time_s, number).where(*where).order_by(time_s.desc(), number.desc())
    return places.offset(LOOKED_THROUGH - 1).limit(1)


def _mark(place: Any) -> Mark | None:
    return None if place is None else Mark(*place)
