"""Erases what is kept about the owner of an account, beside the books, which must stay as they are."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, update

from router.ledger.access import PROVIDER_KEY, TEAM
from router.ledger.answers import erase_of
from router.ledger.keys import end_arrangements, forget_keys
from router.ledger.mirror_tables import AUTO_CALL, CALL_FEEDBACK, DRAWN_CALL
from router.ledger.models import ENTRY
from router.ledger.record import account_row
from router.people.models import DEVICE_LOGIN, DEVICE_MISS, SESSION_KEY, TEAM_MEMBER, WALLET_SESSION


def erase_owner(connection: Connection, idx: int) -> dict[str, int]:
    """Ends and erases everything that the owner of an account arranged, said or was answered.

    Entries, calls and receipts stay: they are what the account was charged for, and the chain has their sums.
    So do the wallet's address, which the chain tells everybody, and scores, which rewards are computed from.

    Returns:
        How much of each kind there was.

    Raises:
        UnknownAccount: there is no such account.
    """
    owner = account_row(connection, idx).owner
    teams = select(TEAM.c.id).where(TEAM.c.account_idx == idx)
    connection.execute(update(TEAM).where(TEAM.c.account_idx == idx).values(name=""))
    made = select(ENTRY.c.id).where(or_(ENTRY.c.account_idx == idx, ENTRY.c.user_idx == idx))

    def erased(table: Table, *where: ColumnElement[bool]) -> int:
        return connection.execute(delete(table).where(or_(*where))).rowcount

    provider_keys = erased(PROVIDER_KEY, PROVIDER_KEY.c.account_idx == idx)
    end_arrangements(connection, idx)
    return {
        "provider keys": provider_keys,
        "kept answers": erase_of(connection, idx),
        "API keys": forget_keys(connection, idx, owner),
        "places in teams": erased(
            TEAM_MEMBER, TEAM_MEMBER.c.address == owner, TEAM_MEMBER.c.team_id.in_(teams)
        ),
        "sessions": erased(WALLET_SESSION, WALLET_SESSION.c.address == owner),
        "held session keys": erased(SESSION_KEY, SESSION_KEY.c.owner == owner),
        "logins of devices": erased(
            DEVICE_LOGIN, DEVICE_LOGIN.c.address == owner, DEVICE_LOGIN.c.account_idx == idx
        )
        + erased(DEVICE_MISS, DEVICE_MISS.c.address == owner),
        "judgements of answers": erased(CALL_FEEDBACK, CALL_FEEDBACK.c.account_idx == idx)
        + erased(DRAWN_CALL, DRAWN_CALL.c.account_idx == idx)
        + erased(AUTO_CALL, AUTO_CALL.c.entry_id.in_(made)),
    }
