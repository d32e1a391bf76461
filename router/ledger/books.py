"""Do the books balance? Sums over all history, compared with each other and with the running sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select

from router.ledger import post
from router.ledger.call_models import BUDGET, BUDGET_USE, CALL
from router.ledger.models import ACCOUNT, ACCOUNT_CHANGE, CEILING, ENTRY, POSTING, SHARE, Kind, State
from router.ledger.reward_tables import REWARD
from router.ledger.shares import earned_base

_CHANGES: Final = select(
    ACCOUNT_CHANGE.c.account_idx,
    func.sum(ACCOUNT_CHANGE.c.pending_base),
    func.sum(ACCOUNT_CHANGE.c.settled_base),
    func.sum(ACCOUNT_CHANGE.c.written_off_base),
    func.sum(ACCOUNT_CHANGE.c.rewarded_base),
).group_by(ACCOUNT_CHANGE.c.account_idx)

_VESTED: Final = (
    select(REWARD.c.account_idx, func.sum(REWARD.c.vested_base))
    .where(REWARD.c.vested_base.is_not(None))
    .group_by(REWARD.c.account_idx)
)


@dataclass(frozen=True)
class TrialBalance:
    """Every ledger account's balance, base units, and their sum, which is 0 if the books balance."""

    balances: dict[str, int]
    total_base: int


def trial_balance(connection: Connection) -> TrialBalance:
    """Adds up every posting by ledger account."""
    query = (
        select(POSTING.c.account, func.sum(POSTING.c.amount_base))
        .group_by(POSTING.c.account)
        .order_by(POSTING.c.account)
    )
    balances = _sums(connection, query)
    return TrialBalance(balances, sum(balances.values()))


def ledger_errors(connection: Connection) -> list[str]:
    """Everything in the ledger that contradicts its own history, in words: its books, and who may spend."""
    return [*book_errors(connection), *_ceiling_errors(connection)]


def book_errors(connection: Connection) -> list[str]:
    """What of the ledger's money contradicts its own history, in words; empty if the books balance."""
    trial = trial_balance(connection)
    errors = [f"trial balance is {trial.total_base}, not 0"] if trial.total_base else []
    errors += _unbalanced_entries(connection)
    errors += _account_errors(connection, trial)
    errors += _share_errors(connection)
    errors += _budget_errors(connection)
    errors += _quote_errors(connection)
    for owner, name in ((CALL.c.account_idx, "account"), (CALL.c.partner_id, "partner")):
        errors += _sequence_errors(connection, owner, name)
    return errors


def _sums(connection: Connection, query: Select[Any]) -> dict[Any, int]:
    """{key: sum} of a two-column query; PostgreSQL gives sums of bigint as Decimal."""
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def _unbalanced_entries(connection: Connection) -> Iterator[str]:
    total = func.sum(POSTING.c.amount_base)
    query = (
        select(ENTRY.c.id, ENTRY.c.state, total)
        .join(POSTING, POSTING.c.entry_number == ENTRY.c.number)
        .group_by(ENTRY.c.number, ENTRY.c.id, ENTRY.c.state)
        .having((total != 0) | (ENTRY.c.state != State.POSTED))
    )
    for entry_id, state, total_base in connection.execute(query):
        yield f"entry {entry_id} is {state} with postings that sum to {total_base}"


def _account_errors(connection: Connection, trial: TrialBalance) -> Iterator[str]:
    pending = (
        select(ENTRY.c.account_idx, func.sum(ENTRY.c.quote_base))
        .where(ENTRY.c.state == State.PENDING, ENTRY.c.kind == Kind.CALL)
        .group_by(ENTRY.c.account_idx)
    )
    reserved = _sums(connection, pending)
    charged = select(
        CALL.c.account_idx, func.sum(CALL.c.charge_base), func.count(CALL.c.account_sequence)
    ).group_by(CALL.c.account_idx)
    spent: dict[int, tuple[int, int]] = {row[0]: (int(row[1]), row[2]) for row in connection.execute(charged)}
    vested = _sums(connection, _VESTED)
    changes = {row[0]: tuple(map(int, row[1:])) for row in connection.execute(_CHANGES)}
    for row in connection.execute(select(ACCOUNT).order_by(ACCOUNT.c.idx)):
        pending_base, settled_base, written_off_base, rewarded_base = changes.get(row.idx, (0, 0, 0, 0))
        spent_base, receipts = spent.get(row.idx, (0, 0))
        for name, kept, added_up in (
            ("balance", row.balance_base, trial.balances.get(post.user(row.idx), 0)),
            ("deficit", row.deficit_base, -trial.balances.get(post.deficit(row.idx), 0)),
            ("pending deposit", row.pending_deposit_base, pending_base),
            ("settled", row.settled_spent_base, settled_base),
            ("written off", row.written_off_base, written_off_base),
            ("rewarded", row.rewarded_base, rewarded_base),
            ("vested", row.vested_base, vested.get(row.idx, 0)),
            ("reserved", row.reserved_base, reserved.get(row.idx, 0)),
            ("spent", row.spent_base, spent_base),
            ("receipts", row.sequence, receipts),
        ):
            if kept != added_up:
                yield f"account {row.idx}: {name} is {kept}, its history says {added_up}"
        if row.deficit_base and row.balance_base != row.reserved_base:
            yield f"account {row.idx}: deficit {row.deficit_base} beside a balance of {row.balance_base}"


def _ceiling_errors(connection: Connection) -> Iterator[str]:
    """Accounts whose ceiling is not what their key signed for, or that spent more than any key did."""
    query = select(CEILING.c.account_idx, CEILING.c.key_commit, CEILING.c.ceiling_base)
    signed: dict[tuple[int, bytes], int] = {(row[0], row[1]): row[2] for row in connection.execute(query)}
    most: dict[int, int] = {}
    for (idx, _), ceiling_base in signed.items():
        most[idx] = max(ceiling_base, most.get(idx, 0))
    for row in connection.execute(select(ACCOUNT).order_by(ACCOUNT.c.idx)):
        usable = row.key_commit if row.key_commit is not None else row.requested_key_commit
        usable_base, most_base = signed.get((row.idx, usable), 0), most.get(row.idx, 0)
        if row.ceiling_base != usable_base:
            yield f"account {row.idx}: ceiling is {row.ceiling_base}, its history says {usable_base}"
        if row.spent_base > most_base:
            yield f"account {row.idx}: spent {row.spent_base}, its keys signed for {most_base}"


def _share_errors(connection: Connection) -> Iterator[str]:
    """Earned = postings of calls, gross = charges, for whoever has a row or a posting."""
    posted = _posted_by_calls(connection)
    by_partner = select(CALL.c.partner_id, func.sum(CALL.c.charge_base)).group_by(CALL.c.partner_id)
    charged = {post.partner(idx): base for idx, base in _sums(connection, by_partner).items()}
    charged |= dict.fromkeys((post.FEE, post.BURN, post.POOL), sum(charged.values()))
    rows = {row.code: row for row in connection.execute(select(SHARE))}
    receivers = {code for code in posted if not code.startswith(post.user(0)[:-1]) and code != post.TREASURY}
    for code in sorted(rows.keys() | receivers | charged.keys()):
        row, gross_base, earned = rows.get(code), 0, 0
        if row is not None:
            gross_base = row.gross_base
            earned = earned_base(gross_base, row.checkpoint_gross_base, row.accrued_base, row.bps)
        if earned != posted.get(code, 0):
            yield f"{code}: earned {earned}, its postings say {posted.get(code, 0)}"
        if gross_base != charged.get(code, 0):
            yield f"{code}: gross is {gross_base}, its calls say {charged.get(code, 0)}"


def _budget_errors(connection: Connection) -> Iterator[str]:
    """Reserved = quotes of the pending calls that use it, spent = charges of the posted ones."""
    uses = select(BUDGET_USE.c.code, func.sum(ENTRY.c.quote_base)).group_by(BUDGET_USE.c.code)
    pending = uses.join(ENTRY, ENTRY.c.number == BUDGET_USE.c.entry_number)
    reserved = _sums(connection, pending.where(ENTRY.c.state == State.PENDING))
    charges = select(BUDGET_USE.c.code, func.sum(CALL.c.charge_base)).group_by(BUDGET_USE.c.code)
    spent = _sums(connection, charges.join(CALL, CALL.c.entry_number == BUDGET_USE.c.entry_number))
    rows = {row.code: row for row in connection.execute(select(BUDGET))}
    for code in sorted(rows.keys() | reserved.keys() | spent.keys()):
        row = rows.get(code)
        for name, kept, added_up in (
            ("reserved", row.reserved_base if row else 0, reserved.get(code, 0)),
            ("spent", row.spent_base if row else 0, spent.get(code, 0)),
        ):
            if kept != added_up:
                yield f"budget {code}: {name} is {kept}, its calls say {added_up}"


def _quote_errors(connection: Connection) -> Iterator[str]:
    """No charge above what was reserved, and nothing lost while some of that is left."""
    charge, lost, quote = CALL.c.charge_base, CALL.c.lost_base, ENTRY.c.quote_base
    left_over = (ENTRY.c.state == State.POSTED) & (lost > 0) & (charge < quote)
    query = select(ENTRY.c.id, charge, lost, quote).join(CALL, CALL.c.entry_number == ENTRY.c.number)
    for row in connection.execute(query.where((charge > quote) | left_over)):
        yield f"call {row[0]}: charged {row[1]} and lost {row[2]} of {row[3]} reserved"


def _sequence_errors(connection: Connection, owner: ColumnElement[int], name: str) -> Iterator[str]:
    """The receipts of one account, or partner, count from 1, and each total is the sum until then."""
    sequence, total = CALL.c[f"{name}_sequence"], CALL.c[f"{name}_total_base"]
    added = func.sum(CALL.c.charge_base).over(partition_by=owner, order_by=sequence).label("added_base")
    nth = func.row_number().over(partition_by=owner, order_by=sequence).label("nth")
    rows = select(owner.label("owner"), sequence.label("sequence"), total.label("total"), added, nth)
    found = rows.where(sequence.is_not(None)).subquery()
    wrong = (found.c.sequence != found.c.nth) | (found.c.total != found.c.added_base)
    first = select(found.c.owner, func.min(found.c.nth), func.count()).where(wrong).group_by(found.c.owner)
    for idx, at, count in connection.execute(first.order_by(found.c.owner)):
        yield f"{name} {idx}: numbers or totals of {count} receipts are wrong, the first is its {at}."


@dataclass(frozen=True)
class Flow:
    """What a receiver of charges had; base units.

    Args:
        gross_base: the charges that its share is of; None for the treasury, which gets the rest.
        paid_base: what left its ledger account again: claimed, burned, given as rewards.
    """

    gross_base: int | None
    paid_base: int


def flows(connection: Connection) -> dict[str, Flow]:
    """Each receiver of charges by ledger account, the treasury included."""
    earned = _posted_by_calls(connection)
    balances = trial_balance(connection).balances
    found = {
        row.code: Flow(row.gross_base, earned.get(row.code, 0) - balances.get(row.code, 0))
        for row in connection.execute(select(SHARE).order_by(SHARE.c.code))
    }
    paid_base = earned.get(post.TREASURY, 0) - balances.get(post.TREASURY, 0)
    return found | {post.TREASURY: Flow(None, paid_base)}


def open_gross(connection: Connection) -> dict[int, int]:
    """Charges that no batch has settled, written-off ones included, by partner; base units."""
    query = (
        select(CALL.c.partner_id, func.sum(CALL.c.charge_base))
        .join(ACCOUNT, ACCOUNT.c.idx == CALL.c.account_idx)
        .where(CALL.c.account_total_base > ACCOUNT.c.settled_spent_base)
        .group_by(CALL.c.partner_id)
    )
    return _sums(connection, query)


def _posted_by_calls(connection: Connection) -> dict[str, int]:
    calls_only = (
        select(POSTING.c.account, func.sum(POSTING.c.amount_base))
        .join(ENTRY, ENTRY.c.number == POSTING.c.entry_number)
        .where(ENTRY.c.kind == Kind.CALL)
        .group_by(POSTING.c.account)
    )
    return _sums(connection, calls_only)
