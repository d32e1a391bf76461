"""A group of operations decides as its operations would one by one, however they mix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select
from support.books import LEASE_S, NOW_S, SIGNER, TERMS, facts, funded, reservation
from support.databases import new_database

from router.db import open_database
from router.db_sessions import writing
from router.ledger import (
    AttemptFacts,
    Budget,
    Charge,
    Release,
    Renewal,
    Reserved,
    StoredAnswer,
    book_errors,
    expire_lapsed,
    reservations,
    reverse,
)
from router.ledger.call_models import ANSWER, ATTEMPT, BUDGET, BUDGET_USE, CALL
from router.ledger.calls import CallOperation, run_calls
from router.ledger.models import ACCOUNT, ENTRY, POSTING, SHARE, Kind
from router.ledger.sums import Sums

TABLES = (ACCOUNT, ENTRY, POSTING, SHARE, CALL, ANSWER, ATTEMPT, BUDGET, BUDGET_USE)
DEPOSIT_BASE = 6000
ANSWERED = StoredAnswer(200, "text/plain", b"a")
FAILED = AttemptFacts("east/x", "UpstreamTimeout", 30, 7)

key = st.sampled_from((None, None, "k1", "k2"))
budgets = st.sampled_from(((), (Budget("day", 3000),), (Budget("day", 3000), Budget("month", 2500))))
handle = st.integers(0, 11)
step = st.one_of(
    st.tuples(st.just("reserve"), st.integers(1, 3), st.integers(-1, 3000), key, st.booleans(), budgets),
    st.tuples(st.just("charge"), handle, st.integers(-1, 3500), st.integers(1, 2), st.integers(0, 3000)),
    st.tuples(st.just("release"), handle, st.booleans()),
    st.tuples(st.just("renew"), handle),
)


class World:
    """A database with two accounts, of which the second may owe money; entry ids are counted, not drawn."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch, in_deficit: bool) -> None:
        self.engine, self.counted = engine, 0
        monkeypatch.setattr(reservations, "_new_id", self.next_id)
        self.held: list[str] = []
        with writing(engine).begin() as connection:
            for idx in (1, 2):
                funded(connection, idx, DEPOSIT_BASE)
            connection.execute(ACCOUNT.update().values(ceiling_base=10**6))
            for number in range(6):
                held = run_one(connection, reservation(1 + number % 2, 900))
                assert isinstance(held, Reserved)
                self.held.append(held.entry_id)
            if in_deficit:
                reverse(connection, [(Kind.DEPOSIT, "deposit-2")])
            expired = replace(reservation(1, 100), lease_s=-LEASE_S)
            self.held.append(run_one(connection, expired).entry_id)
            expire_lapsed(connection, NOW_S - 1)

    def next_id(self) -> str:
        self.counted += 1
        return f"{self.counted:064x}"

    def operation(self, made: Sequence[Any]) -> CallOperation[Any]:
        kind, *rest = made
        if kind == "reserve":
            idx, quote_base, client_key, same_body, limits = rest
            body = b"b" * 32 if same_body else b"c" * 32
            return replace(reservation(idx, quote_base, client_key, body=body), budgets=limits)
        entry_id = self.id_of(rest[0])
        if kind == "charge":
            used = facts(rest[1], answer=ANSWERED, attempts=(FAILED,))
            return Charge(entry_id, used, replace(TERMS, partner_id=rest[2], partner_bps=rest[3]), SIGNER)
        if kind == "release":
            return Release(entry_id, "no", attempts=(FAILED,) if rest[1] else ())
        return Renewal(entry_id, NOW_S + 10 * LEASE_S)

    def id_of(self, number: int) -> str:
        """Entries from before, entries that the group itself opens, or none at all."""
        if number < len(self.held):
            return self.held[number]
        if number < 9:
            return f"{7 + number - len(self.held) + 1:064x}"
        return replace(reservation(1, 0, "k1")).origin_key or "" if number == 9 else "f" * 64

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        with self.engine.begin() as connection:
            assert book_errors(connection) == []
            return {
                table.name: [
                    tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
                ]
                for table in TABLES
            }


def run_one(connection: Connection, operation: CallOperation[Any]) -> Any:
    (outcome,) = run_calls(connection, [operation])
    assert outcome.error is None
    return outcome.result


def told(outcomes: list[Any]) -> list[Any]:
    return [one.result if one.error is None else (type(one.error), vars(one.error)) for one in outcomes]


def outcome_of(
    dialect: str, steps: list[Any], groups: list[int], in_deficit: bool
) -> tuple[list[Any], dict[str, list[tuple[Any, ...]]]]:
    """What happens if the steps come in groups of these sizes, the rest one by one."""
    with new_database(dialect) as url, pytest.MonkeyPatch.context() as monkeypatch:
        # the clock of what a deficit's repayment is dated by
        monkeypatch.setattr("router.ledger.post.time.time", lambda: float(NOW_S))
        engine = open_database(url)
        world = World(engine, monkeypatch, in_deficit)
        found: list[Any] = []
        sizes = iter(groups)
        waiting = [world.operation(made) for made in steps]
        sums = Sums()  # kept from group to group, as the writer does
        with writing(engine).connect() as connection:
            while waiting:
                size = next(sizes, 1)
                with connection.begin():
                    found += told(run_calls(connection, waiting[:size], sums if groups else None))
                waiting = waiting[size:]
        rows = world.rows()
        engine.dispose()
        return found, rows


@settings(max_examples=40, deadline=None)
@example("sqlite", [("renew", 0), ("release", 0, False)], [2], False)
@given(
    dialect=st.sampled_from(("sqlite",) * 7 + ("postgresql",)),
    steps=st.lists(step, min_size=2, max_size=14),
    groups=st.lists(st.integers(2, 14), max_size=3),
    in_deficit=st.booleans(),
)
def test_groups_decide_as_single_operations_do(
    dialect: str, steps: list[Any], groups: list[int], in_deficit: bool
) -> None:
    grouped, rows = outcome_of(dialect, steps, groups or [len(steps)], in_deficit)
    single, single_rows = outcome_of(dialect, steps, [], in_deficit)
    assert grouped == single
    assert without_numbers(rows) == without_numbers(single_rows)


def without_numbers(rows: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Row numbers as ranks: PostgreSQL leaves gaps where a reservation was refused."""
    ranks = {row[0]: rank for rank, row in enumerate(rows[ENTRY.name])}
    keyed = {ENTRY.name, POSTING.name, CALL.name, ANSWER.name, ATTEMPT.name, BUDGET_USE.name}
    return {
        name: [(ranks[row[0]], *row[1:]) for row in found] if name in keyed else found
        for name, found in rows.items()
    }


def test_a_deposit_that_went_away_leaves_a_deficit_in_these_worlds() -> None:
    _, rows = outcome_of("sqlite", [("renew", 0)], [], in_deficit=True)
    deficit = list(ACCOUNT.columns.keys()).index("deficit_base")
    assert [row[deficit] > 0 for row in rows[ACCOUNT.name]] == [False, True]
