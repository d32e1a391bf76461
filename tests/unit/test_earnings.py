"""Earnings of a period are what a plain recount of every call, posting and try comes to."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from sqlalchemy import Connection
from support.books import NOW_S, SIGNER, TERMS, Books, facts, new_books

from router.ledger import Charge, Release
from router.ledger.earnings import DAY_S, KEYS, Earnings, earnings, unsettled_base
from router.ledger.group import AttemptFacts

SHARES = {"fee": "fee_base", "burn": "burn_base", "pool": "pool_base", "treasury": "treasury_base"}


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as opened:
        yield opened


@pytest.fixture
def filled(books: Books) -> Books:
    """Sixty calls over two days: tiers, models, partners, failed tries; some came to nothing."""
    rng = random.Random(7)
    books.fund(1, 10**9)
    for number in range(60):
        at_s = NOW_S + rng.randrange(2 * DAY_S)
        held = books.reserve(1, rng.randrange(5_000, 50_000), now_s=at_s - rng.randrange(60))
        tries = (AttemptFacts("other/x", "UpstreamTimeout", 5, rng.choice((0, 0, 77))),)
        if number % 10 == 0:
            books.ledger.run(Release(held.entry_id, "UpstreamFailed", attempts=tries))
            continue
        actual_base = rng.choice((0, 1, 999, 12_345, 80_000))  # the last is more than any quote
        used = facts(
            actual_base, time_s=at_s, model=rng.choice(("terse-1", "verbose-2")), attempts=tries
        )._replace(
            tier=rng.choice(("simple", "developer", "")),
            retail_base=actual_base * 2,
            wholesale_base=rng.choice((actual_base // 2, actual_base)),
        )
        partner = rng.choice((0, 1, 2))
        terms = replace(TERMS, partner_id=partner, partner_bps=TERMS.partner_bps if partner else 0)
        books.ledger.run(Charge(held.entry_id, used, terms, SIGNER))
    return books


def rows(connection: Connection, table: str) -> list[Any]:
    return list(connection.exec_driver_sql(f"SELECT * FROM {table}"))


def recount(connection: Connection, since_s: int, until_s: int, by: tuple[str, ...]) -> dict[Any, Earnings]:
    """The same, one row after the other."""
    found: dict[Any, Earnings] = defaultdict(Earnings)
    calls = {row.entry_number: row for row in rows(connection, '"call"')}
    opened = {row.number: row.opened_s for row in rows(connection, "entry")}

    def key(call: Any) -> tuple[Any, ...]:
        return tuple(
            None if call is None else call.time_s // DAY_S if name == "day" else getattr(call, name)
            for name in by
        )

    for call in calls.values():
        if since_s <= call.time_s < until_s:
            found[key(call)] += Earnings(
                1, call.retail_base, call.charge_base, call.lost_base, call.wholesale_base
            )
    for leg in rows(connection, "posting"):
        call = calls.get(leg.entry_number)
        if call is not None and since_s <= call.time_s < until_s and not leg.account.startswith("user:"):
            name = "partners_base" if leg.account.startswith("partner:") else SHARES[leg.account]
            found[key(call)] += replace(Earnings(), **{name: leg.amount_base})
    for attempt in rows(connection, "attempt"):
        call = calls.get(attempt.entry_number)
        at_s = opened[attempt.entry_number] if call is None else call.time_s
        if since_s <= at_s < until_s and attempt.cost_base:
            found[key(call)] += Earnings(attempts_base=attempt.cost_base)
    return found


@pytest.mark.parametrize("by", [(), ("tier", "model"), ("partner_id",), ("day",), tuple(KEYS)], ids=len)
def test_sums_are_those_of_a_recount(filled: Books, by: tuple[str, ...]) -> None:
    for since_s, until_s in ((0, 2**40), (NOW_S + 1_000, NOW_S + DAY_S), (5, 6)):

        def both(connection: Connection, s: int = since_s, u: int = until_s) -> Any:
            return earnings(connection, s, u, by), recount(connection, s, u, by)

        found, expected = filled.ledger.read(both)
        assert found == expected
        assert bool(found) is (until_s != 6)


def test_parts_of_a_period_add_up_to_it(filled: Books) -> None:
    whole = filled.ledger.read(lambda c: earnings(c, 0, 2**40))[()]
    cut = NOW_S + DAY_S // 3
    parts = [filled.ledger.read(lambda c, a=a, b=b: earnings(c, a, b)) for a, b in ((0, cut), (cut, 2**40))]
    assert sum((part[()] for part in parts), Earnings()) == whole
    shares = (whole.partners_base, whole.fee_base, whole.burn_base, whole.pool_base, whole.treasury_base)
    assert sum(shares) == whole.charged_base == filled.ledger.read(unsettled_base)
    assert all(getattr(whole, one.name) > 0 for one in fields(Earnings))


def test_the_margin_is_what_is_kept_less_what_providers_bill() -> None:
    sums = Earnings(1, 200, 100, 0, 90, 5, 30, 15, 5, 10, 40)
    assert (sums.kept_base, sums.cost_base, sums.margin_base) == (85, 95, -10)
