"""A worker that is held up while it renews its leases expires none of its own calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.books import CHAIN_ID, LEASE_S, NOW_S, SETTLEMENT, Books, new_books

from mini_llm.surfaces import CHAT
from mini_llm.wallet.receipt import ReceiptDomain
from router.billing import Billing
from router.config import RouterConfig, Settings
from router.ledger import Renewal
from router.metering import Quote
from router.people.callers import Principal
from router.people.limits import Limiter, Rates

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
QUOTE = Quote(1_000, CHAT.parse(BODY), ())


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 10_000)
        yield books


async def test_calls_live_on_however_long_their_renewal_takes(
    books: Books, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, submit = SimpleNamespace(now_s=NOW_S), books.ledger.submit
    told = SimpleNamespace(time=lambda: clock.now_s, perf_counter_ns=time.perf_counter_ns)
    monkeypatch.setattr("router.billing.time", told)
    domain = ReceiptDomain(CHAIN_ID, SETTLEMENT)
    settings = Settings(RouterConfig(providers={}), Path(), {}, database, domain, b"\1" * 32, lease_s=LEASE_S)
    billing = Billing(books.ledger, settings, None)  # type: ignore[arg-type]

    async def take_call() -> None:
        passage = Limiter().enter(None, Rates())
        await billing.reserve(Principal(1, "k"), passage, "/v1/chat/completions", None, BODY, QUOTE)

    async def slow(operation: Any) -> Any:
        if isinstance(operation, Renewal):
            await take_call()
            clock.now_s += 2 * LEASE_S
        return await submit(operation)

    await take_call()
    monkeypatch.setattr(books.ledger, "submit", slow)
    await billing._look_after()
    assert books.account(1).reserved_base == 2 * QUOTE.quote_base
    await Billing(books.ledger, settings, None)._look_after()  # type: ignore[arg-type]
    assert books.account(1).reserved_base == 0, "to other workers this one is gone"
