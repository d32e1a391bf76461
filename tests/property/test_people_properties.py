"""Spending limits and nonces, wherever the clock jumps."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.books import ENDPOINT, LEASE_S, new_books, owner
from support.databases import new_database

from router.ledger import Grant, create_api_key, keys
from router.ledger.errors import BudgetExceeded
from router.ledger.reservations import Reservation
from router.people import models as models
from router.people.budgets import key_budgets
from router.people.errors import SignInRefused
from router.people.sessions import Nonces, open_session

START_S = int(time.time()) // 86_400 * 86_400
DAY_LIMIT_BASE, MONTH_LIMIT_BASE = 100, 250

jumps = st.integers(-3 * 86_400, 40 * 86_400)
calls = st.lists(st.tuples(jumps, st.integers(0, 60), st.integers(0, 60), st.booleans()), max_size=15)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(calls)
def test_in_no_day_or_month_more_is_spent_than_allowed(
    history: list[tuple[int, int, int, bool]],
) -> None:
    """Each call: how far the clock jumps, its quote, its price, and whether it is ever charged."""
    with new_database("sqlite") as url, new_books(url) as books:
        books.fund(1, 10**6)
        grant = Grant(day_limit_base=DAY_LIMIT_BASE, month_limit_base=MONTH_LIMIT_BASE)
        made = books.ledger.run(lambda c: create_api_key(c, 1, "x", grant=grant))
        key = books.ledger.read(lambda c: keys.api_key(c, made.key_id))
        taken: dict[str, int] = defaultdict(int)
        now_s = START_S
        for jump_s, quote_base, price_base, charged in history:
            now_s += jump_s
            budgets = key_budgets(key, now_s)
            fits = all(taken[one.code] + quote_base <= one.limit_base for one in budgets)
            request = Reservation(1, ENDPOINT, None, b"b" * 32, quote_base, LEASE_S, now_s, budgets)
            if not fits:
                with pytest.raises(BudgetExceeded):
                    books.ledger.run(request)
                continue
            held = books.ledger.run(request)
            cost_base = quote_base
            if charged:
                cost_base = books.post(held.entry_id, price_base, time_s=now_s).charge_base  # type: ignore[union-attr]
            for one in budgets:
                taken[one.code] += cost_base
        for code, spent_base in taken.items():
            assert spent_base <= (DAY_LIMIT_BASE if ":day:" in code else MONTH_LIMIT_BASE)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(-29 * 86_400, 29 * 86_400), max_size=8))
def test_a_nonce_opens_one_session_wherever_the_clock_is(offsets: list[int]) -> None:
    """Up to 29 days off: a used nonce is kept for 30."""
    with new_database("sqlite") as url, new_books(url) as books:
        nonces = Nonces(b"secret")
        nonce, _ = nonces.issue(START_S)

        def opens(one: str, at_s: int) -> bool:
            try:
                until_s = nonces.check(one, at_s)
                books.ledger.run(lambda c: open_session(c, one, until_s, owner(1), at_s, 60))
            except SignInRefused:
                return False
            return True

        opened = opens(nonce, START_S)
        for offset_s in offsets:
            now_s = START_S + offset_s
            assert opens(nonces.issue(now_s)[0], now_s)  # somebody signs in, which sweeps old nonces
            opened += opens(nonce, now_s) + opens(nonce, START_S)
        assert opened == 1
