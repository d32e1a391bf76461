"""What became of a finished call: from the group that finished it, or from the database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import bindparam, select

from router.ledger.call_models import ANSWER, CALL
from router.ledger.group import CALL_COLUMNS, Group
from router.ledger.sums import CallEntry
from router.ledger.views import CallView, StoredAnswer, call_of

_CALL: Final = select(CALL).where(CALL.c.entry_number == bindparam("number"))
_ANSWER: Final = select(ANSWER).where(ANSWER.c.entry_number == bindparam("number"))


def finished_call(group: Group, entry: CallEntry) -> CallView | None:
    """The call of an entry, None if it has not finished."""
    kept = group.call(entry.number)
    if kept is None:
        row = group.connection.execute(_CALL, {"number": entry.number}).one_or_none()
        if row is None:
            return None
        columns = row._asdict()
    else:
        columns = dict(zip(CALL_COLUMNS, kept, strict=True))
    return call_of(SimpleNamespace(**columns, id=entry.id))


def answer_of(group: Group, entry: CallEntry) -> StoredAnswer | None:
    """The answer that was kept for replays of a call, None if none was."""
    kept: Any = group.answer(entry.number)
    if kept is None:
        kept = group.connection.execute(_ANSWER, {"number": entry.number}).one_or_none()
    return StoredAnswer(kept.status, kept.content_type, kept.body) if kept else None
