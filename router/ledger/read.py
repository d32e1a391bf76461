"""Reading the ledger. Each function takes a connection; several in one transaction see one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, select, tuple_

from mini_llm.wallet.ceiling import SignedCeiling
from mini_llm.wallet.receipt import SignedReceipt
from router.ledger.call_models import BUDGET, CALL
from router.ledger.errors import UnknownAccount
from router.ledger.models import ACCOUNT, CEILING, ENTRY, Status
from router.ledger.views import AccountView, CallView, Unsettled, account_of, call_of, receipt_of

_PAGE_ROWS: Final = 1000

_ACCOUNT: Final = select(ACCOUNT).where(ACCOUNT.c.idx == bindparam("account_idx"))
_CEILING: Final = (
    select(CEILING.c.signed)
    .join(ACCOUNT, ACCOUNT.c.idx == CEILING.c.account_idx)
    .where(
        CEILING.c.account_idx == bindparam("account_idx"),
        CEILING.c.key_commit == func.coalesce(ACCOUNT.c.key_commit, ACCOUNT.c.requested_key_commit),
    )
)
_CALLS: Final[Select[Any]] = select(CALL, ENTRY.c.id).join(ENTRY, ENTRY.c.number == CALL.c.entry_number)
_CALL: Final = _CALLS.where(ENTRY.c.id == bindparam("entry_id"))
_RECEIPTS: Final = _CALLS.where(CALL.c.signature.is_not(None))
_RECEIPTS_BETWEEN: Final = _RECEIPTS.where(
    CALL.c.account_idx == bindparam("account_idx"),
    CALL.c.account_total_base > bindparam("after"),
    CALL.c.account_total_base <= bindparam("upto"),
).order_by(CALL.c.account_sequence)
_LAST_TOTAL: Final = select(func.max(CALL.c.account_total_base)).where(
    CALL.c.account_idx == bindparam("account_idx"),
    CALL.c.account_total_base > bindparam("after"),
    CALL.c.account_total_base <= bindparam("upto"),
)
_FIRST_OF_LATER_PARTNER: Final = select(func.min(CALL.c.account_total_base - CALL.c.charge_base)).where(
    CALL.c.account_idx == bindparam("account_idx"),
    CALL.c.account_total_base > bindparam("after"),
    CALL.c.partner_id >= bindparam("partners"),
)
_OLDEST: Final = (
    select(CALL.c.time_s)
    .where(
        CALL.c.account_idx == bindparam("account_idx"),
        CALL.c.account_total_base > bindparam("settled"),
    )
    .order_by(CALL.c.account_total_base)
    .limit(1)
)


def account_view(connection: Connection, idx: int) -> AccountView:
    """One account.

    Raises:
        UnknownAccount: no such account.
    """
    row = connection.execute(_ACCOUNT, {"account_idx": idx}).one_or_none()
    if row is None:
        raise UnknownAccount(idx)
    return account_of(row)


def accounts(connection: Connection, first_idx: int = 0, limit: int | None = None) -> list[AccountView]:
    """Accounts from an index on, by index; all of them unless a limit is given."""
    query = select(ACCOUNT).where(ACCOUNT.c.idx >= first_idx).order_by(ACCOUNT.c.idx).limit(limit)
    return [account_of(row) for row in connection.execute(query)]


def accounts_of(connection: Connection, owner: str) -> list[int]:
    """Indices of all accounts that the chain has of a wallet (checksummed address)."""
    mine = (ACCOUNT.c.owner == owner, ACCOUNT.c.status != Status.DROPPED)
    return list(connection.execute(select(ACCOUNT.c.idx).where(*mine).order_by(ACCOUNT.c.idx)).scalars())


def posted_accounts(connection: Connection) -> dict[int, int]:
    """All posted charges that are not written off, base units, of each account that has any, by index."""
    billable = (ACCOUNT.c.spent_base - ACCOUNT.c.written_off_base).label("billable")
    query = select(ACCOUNT.c.idx, billable).where(billable > 0).order_by(ACCOUNT.c.idx)
    return {row.idx: row.billable for row in connection.execute(query)}


def deficits(connection: Connection) -> dict[int, int]:
    """What accounts used of money that the chain took away again, base units, by index; none of 0."""
    query = select(ACCOUNT.c.idx, ACCOUNT.c.deficit_base).where(ACCOUNT.c.deficit_base > 0)
    return {row.idx: row.deficit_base for row in connection.execute(query.order_by(ACCOUNT.c.idx))}


def chargeable_base(connection: Connection, idx: int, after_total_base: int, most_base: int) -> int:
    """The account's charges after a total, oldest first, that fit whole into `most_base`; base units.

    A batch takes no more where a dropped deposit or an earlier key's ceiling covers only part of them.
    """
    where = {"account_idx": idx, "after": after_total_base, "upto": after_total_base + most_base}
    last_base: int | None = connection.execute(_LAST_TOTAL, where).scalar_one()
    return 0 if last_base is None else last_base - after_total_base


def charges_of_known_partners_base(
    connection: Connection, idx: int, after_total_base: int, partners: int
) -> int | None:
    """The account's charges after a total and before the first of a partner id of `partners` or above.

    None if there is no such partner among them: then all of them are of partners that the chain knows.
    """
    where = {"account_idx": idx, "after": after_total_base, "partners": partners}
    first_base: int | None = connection.execute(_FIRST_OF_LATER_PARTNER, where).scalar_one()
    return None if first_base is None else first_base - after_total_base


def unsettled(connection: Connection, settled: Mapping[int, int]) -> list[Unsettled]:
    """Accounts whose posted charges exceed what the chain has settled, oldest unsettled charge first.

    Args:
        connection: a reading transaction.
        settled: `spent` on chain by account index, base units; an absent account has 0.
    """
    found = []
    for idx, posted_total_base in posted_accounts(connection).items():
        settled_base = settled.get(idx, 0)
        if posted_total_base > settled_base:
            where = {"account_idx": idx, "settled": settled_base}
            oldest_time_s: int = connection.execute(_OLDEST, where).scalar_one()
            found.append(Unsettled(idx, posted_total_base, oldest_time_s))
    return sorted(found, key=lambda account: (account.oldest_time_s, account.idx))


def receipts_between(
    connection: Connection, idx: int, after_total_base: int, upto_total_base: int, limit: int | None = None
) -> list[SignedReceipt]:
    """An account's first receipts with a total in (`after_total_base`, `upto_total_base`], in order."""
    where = {"account_idx": idx, "after": after_total_base, "upto": upto_total_base}
    return _receipts(connection.execute(_RECEIPTS_BETWEEN.limit(limit), where))


def iter_receipts(connection: Connection) -> Iterator[SignedReceipt]:
    """Every receipt, by account and sequence, in bounded memory."""
    place = tuple_(CALL.c.account_idx, CALL.c.account_sequence)
    query = _RECEIPTS.order_by(*place).limit(_PAGE_ROWS)
    after = (-1, 0)
    while True:
        # pages go on from a mark in an index: a cursor over all of them may hold all of them
        page = _receipts(connection.execute(query.where(place > after)))
        yield from page
        if len(page) < _PAGE_ROWS:
            return
        after = (page[-1].receipt.account, page[-1].receipt.account_sequence)


def find_call(connection: Connection, entry_id: str) -> CallView | None:
    """A finished call by its request id, None if there is none."""
    row = connection.execute(_CALL, {"entry_id": entry_id}).one_or_none()
    return None if row is None else call_of(row)


def receipt(connection: Connection, entry_id: str) -> SignedReceipt | None:
    """The receipt of a call, None if there is none (unknown, still running or free of charge)."""
    call = find_call(connection, entry_id)
    return None if call is None else call.receipt


def ceiling(connection: Connection, idx: int) -> SignedCeiling | None:
    """The signed ceiling in force, None if the account's present key has signed none."""
    signed = connection.execute(_CEILING, {"account_idx": idx}).scalar_one_or_none()
    return None if signed is None else SignedCeiling.from_json(signed)


def calls_of(connection: Connection, idx: int, limit: int = 100) -> list[CallView]:
    """The latest calls of an account, newest first."""
    query = _CALLS.where(CALL.c.account_idx == idx).order_by(CALL.c.entry_number.desc()).limit(limit)
    return [call_of(row) for row in connection.execute(query)]


def lost_base(connection: Connection) -> int:
    """What was used and never charged since ever, base units: the operator's loss."""
    return int(connection.execute(select(func.coalesce(func.sum(CALL.c.lost_base), 0))).scalar_one())


def budget_used_base(connection: Connection, code: str) -> int:
    """What counts against a spending limit's period, spent or reserved, base units."""
    used = select(BUDGET.c.spent_base + BUDGET.c.reserved_base).where(BUDGET.c.code == code)
    return connection.execute(used).scalar_one_or_none() or 0


def written_off_base(connection: Connection) -> int:
    """Posted charges that no batch can ever settle, because their accounts left: the operator's loss."""
    total = select(func.coalesce(func.sum(ACCOUNT.c.written_off_base), 0))
    return int(connection.execute(total).scalar_one())


def _receipts(rows: Any) -> list[SignedReceipt]:
    return [signed for row in rows if (signed := receipt_of(row)) is not None]
