"""What a wallet signs and believes: ceilings in small steps, a cap a day, and no router that overcharges."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.cheating_router import ACCOUNT, DOMAIN, CheatingRouter, cheating_router

from mini_llm.deployment import Deployment
from mini_llm.http_transport import HttpTransport
from mini_llm.price import Price
from mini_llm.request import Request, encode
from mini_llm.surfaces import SURFACES
from mini_llm.wallet.book import Book
from mini_llm.wallet.ceiling import settlement_domain, verify_ceiling
from mini_llm.wallet.checker import RULES
from mini_llm.wallet.config import WalletConfig
from mini_llm.wallet.errors import (
    BookFailed,
    CapReached,
    Overcharged,
    RouterUnreachable,
    WalletNotSetUp,
    WrongSessionKey,
)
from mini_llm.wallet.guard import Guard
from mini_llm.wallet.provider import NAME, WalletProvider, make_wallet_provider
from mini_llm.wallet.router_api import RouterApi

DEPLOYMENT = Deployment("wallet/m", "m", NAME, "m", 0, Price(0, 0), 8192, None)
CALL_BASE = 11 * 1000 + 13 * 2000
BOOK_NAME = f"{DOMAIN.chain_id}:{DOMAIN.settlement}:{ACCOUNT}"
DAY_S = 86_400


def ask(stream: bool = False, text: str = "who carries calls?") -> Request:
    fields = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}
    return SURFACES["chat"].parse(encode(fields))


@pytest.fixture
def router() -> Iterator[CheatingRouter]:
    with cheating_router() as running:
        yield running


class Clock:
    """Unix seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 20_000.5 * DAY_S

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def wallet(
    router: CheatingRouter, folder: Path, clock: Clock | None = None, **changes: object
) -> AsyncIterator[WalletProvider]:
    fields = {
        "endpoint": router.url,
        "chain_id": DOMAIN.chain_id,
        "settlement": DOMAIN.settlement,
        "session_key": "0x1092",
        "daily_cap_usd": "5",
        "step_usd": "0.01",
    }
    config = WalletConfig.model_validate(fields | changes)
    http = HttpTransport()
    guard = Guard(config, RouterApi(NAME, str(config.base_url), {}, http), folder, clock or Clock())
    provider = WalletProvider(str(config.base_url), http, {}, guard)
    try:
        yield provider
    finally:
        await provider.aclose()
        await http.aclose()


async def call(provider: WalletProvider, stream: bool = False) -> int:
    """One call to its end; what it cost."""
    if not stream:
        completion = await provider.complete(ask(), DEPLOYMENT)
        billed = completion.billed
    else:
        opened = await provider.open_stream(ask(stream=True), DEPLOYMENT)
        try:
            async for _ in opened.batches():
                pass
        finally:
            await opened.aclose()
        billed = opened.billed
    assert billed is not None
    assert billed.receipt is not None
    return billed.charge_base


async def call_often(provider: WalletProvider) -> None:
    for _ in range(400):
        await call(provider)


def sequence_in(folder: Path) -> int:
    book = Book(folder / "wallet.db", BOOK_NAME)
    page = book.page()
    book.close()
    assert page is not None
    return page.sequence


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_calls_are_paid_in_small_steps(router: CheatingRouter, tmp_path: Path, stream: bool) -> None:
    async with wallet(router, tmp_path) as provider:
        for _ in range(30):
            assert await call(provider, stream) == CALL_BASE
    assert sequence_in(tmp_path) == 30
    domain = settlement_domain(DOMAIN.chain_id, DOMAIN.settlement)
    assert all(verify_ceiling(domain, signed) for signed in router.ceilings)
    rising = [0, *(signed.ceiling_base for signed in router.ceilings)]
    assert len(rising) > 3
    most_of_a_call_base = 10**6
    steps = [later - before for before, later in itertools.pairwise(rising)]
    assert all(0 < step <= 10**6 + most_of_a_call_base for step in steps)
    assert rising[-1] <= router.total_base + 10**6 + most_of_a_call_base
    assert router.quotes == 1


CHEATS = {
    "total": "total",
    "impossible total": "total",
    "impossible number": "sequence",
    "signature": "signature",
    "replay": "sequence",
    "same number": "sequence",
    "prompt tokens": "prompt tokens",
    "completion tokens": "completion tokens",
    "price": "price",
    "charge": "charge",
    "header": "charge",
    "call": "call",
    "account": "account",
    "previous receipt": "previous receipt",
    "receipt": "receipt",
}


@pytest.mark.parametrize("cheat", CHEATS)
async def test_a_router_that_cheats_is_stopped_before_anything_more_is_signed(
    router: CheatingRouter, tmp_path: Path, cheat: str
) -> None:
    async with wallet(router, tmp_path) as provider:
        await call(provider)
        await call(provider)
        router.cheat = cheat
        with pytest.raises(Overcharged) as caught:
            await call(provider)
        assert caught.value.rule == CHEATS[cheat]
        assert caught.value.rule in RULES
        router.cheat = ""
        signed, calls = len(router.ceilings), router.calls
        with pytest.raises(Overcharged, match=caught.value.rule):
            await call(provider)
    async with wallet(router, tmp_path) as another:
        with pytest.raises(Overcharged):
            await call(another)
    assert (len(router.ceilings), router.calls) == (signed, calls)


async def test_who_goes_on_all_the_same_begins_at_the_last_receipt(
    router: CheatingRouter, tmp_path: Path
) -> None:
    async with wallet(router, tmp_path) as provider:
        await call(provider)
        router.cheat = "price"
        with pytest.raises(Overcharged):
            await call(provider)
        router.cheat = ""
    book = Book(tmp_path / "wallet.db", BOOK_NAME)
    book.resume()
    book.close()
    async with wallet(router, tmp_path) as provider:
        await call(provider)
    assert sequence_in(tmp_path) == 3


@pytest.mark.parametrize("cheat", ["total", "signature", "completion tokens", "price"])
async def test_the_end_of_a_stream_is_held_back_until_its_receipt_is_checked(
    router: CheatingRouter, tmp_path: Path, cheat: str
) -> None:
    async with wallet(router, tmp_path) as provider:
        await call(provider, stream=True)
        router.cheat = cheat
        opened = await provider.open_stream(ask(stream=True), DEPLOYMENT)
        text = bytearray()

        async def read() -> None:
            async for batch in opened.batches():
                text.extend(b"".join(event.raw for event in batch))

        with pytest.raises(Overcharged) as caught:
            await read()
        await opened.aclose()
        assert caught.value.rule == CHEATS[cheat]
        assert b"provider" in text
        assert b"[DONE]" not in text


@pytest.mark.parametrize("alone", [False, True])
async def test_a_receipt_in_a_stream_is_not_passed_on(
    router: CheatingRouter, tmp_path: Path, alone: bool
) -> None:
    router.receipt_alone = alone
    async with wallet(router, tmp_path) as provider:
        opened = await provider.open_stream(ask(stream=True), DEPLOYMENT)
        text = b"".join([event.raw async for batch in opened.batches() for event in batch])
        await opened.aclose()
    assert opened.billed is not None
    assert opened.billed.receipt is not None
    assert b"receipt" not in text
    assert text.endswith(b"\n\ndata: [DONE]\n\n")


async def test_a_number_that_is_skipped_is_asked_for_before_the_next_signature(
    router: CheatingRouter, tmp_path: Path
) -> None:
    async with wallet(router, tmp_path, step_usd="0.1") as provider:
        await call(provider)
        router.cheat = "sequence"
        await call(provider)  # it might be another program's call
        router.cheat = ""
        signed = len(router.ceilings)
        with pytest.raises(Overcharged) as caught:
            await call_often(provider)
        assert caught.value.rule == "sequence"
        assert len(router.ceilings) == signed


async def test_answers_of_parallel_calls_come_in_any_order(router: CheatingRouter, tmp_path: Path) -> None:
    router.slowest_first = True
    async with wallet(router, tmp_path) as provider:
        costs = await asyncio.gather(*(call(provider, stream=n % 2 == 0) for n in range(24)))
    assert costs == [CALL_BASE] * 24
    assert sequence_in(tmp_path) == 24


async def test_two_programs_share_an_account_and_what_they_know_of_it(
    router: CheatingRouter, tmp_path: Path
) -> None:
    router.slowest_first = True
    async with wallet(router, tmp_path) as one, wallet(router, tmp_path) as two:
        await asyncio.gather(*(call(provider) for _ in range(12) for provider in (one, two)))
    assert sequence_in(tmp_path) == 24


async def test_charges_made_elsewhere_are_fetched_and_told(router: CheatingRouter, tmp_path: Path) -> None:
    async with wallet(router, tmp_path / "here") as here, wallet(router, tmp_path / "there") as there:
        await call(here)
        await call(there)
        await call(here)
        await here._guard._checker.fill_gaps()  # type: ignore[union-attr]
    book = Book(tmp_path / "here" / "wallet.db", BOOK_NAME)
    assert book.elsewhere_base() == CALL_BASE
    book.close()


async def test_receipts_that_nobody_asked_for_are_not_taken(router: CheatingRouter, tmp_path: Path) -> None:
    async with wallet(router, tmp_path / "here") as here, wallet(router, tmp_path / "there") as there:
        await call(here)
        await call(there)
        await call(here)
        router.cheat = "unasked"
        with pytest.raises(RouterUnreachable, match="not asked for"):
            await here._guard._checker.fill_gaps()  # type: ignore[union-attr]


async def test_the_cap_of_a_day_holds_through_restarts_and_ends_with_the_day(
    router: CheatingRouter, tmp_path: Path
) -> None:
    clock = Clock()
    cap_base = 10**6
    for _ in range(2):
        async with wallet(router, tmp_path, clock, daily_cap_usd="0.01") as provider:
            with pytest.raises(CapReached) as caught:
                await call_often(provider)
            assert caught.value.cap_base == cap_base
            assert router.ceiling_base <= cap_base
    clock.now_s -= 3 * DAY_S  # a clock that goes back begins no new day
    async with wallet(router, tmp_path, clock, daily_cap_usd="0.01") as provider:
        with pytest.raises(CapReached):
            await call(provider)
    clock.now_s += 4 * DAY_S
    spent_base = router.total_base
    async with wallet(router, tmp_path, clock, daily_cap_usd="0.01") as provider:
        await call(provider)
    assert spent_base < router.ceiling_base <= spent_base + cap_base


async def test_what_was_signed_yesterday_is_no_more_to_spend_today(
    router: CheatingRouter, tmp_path: Path
) -> None:
    clock, limits = Clock(), {"daily_cap_usd": "0.1", "step_usd": "0.1"}
    cap_base = 10**7
    async with wallet(router, tmp_path, clock, **limits) as provider:
        await call(provider)
        spent_base = router.total_base
        assert router.ceiling_base == cap_base
        clock.now_s += DAY_S
        with pytest.raises(CapReached):
            await call_often(provider)
    assert cap_base // 2 < router.total_base - spent_base <= cap_base


async def test_a_lower_cap_holds_for_what_was_signed_under_a_higher_one(
    router: CheatingRouter, tmp_path: Path
) -> None:
    async with wallet(router, tmp_path, daily_cap_usd="0.1", step_usd="0.1") as provider:
        await call(provider)
    assert router.ceiling_base == 10**7
    async with wallet(router, tmp_path, daily_cap_usd="0.05") as provider:
        with pytest.raises(CapReached):
            await call_often(provider)
    assert 10**7 // 4 < router.total_base <= 10**7 // 2


def _raise_all(path: Path, cap_base: int, raised: list[int]) -> None:
    book = Book(path, BOOK_NAME)
    ceiling_base = 0
    while True:
        try:
            found = book.raise_ceiling(ceiling_base + 10, ceiling_base + 10, cap_base)
        except CapReached:
            return
        if found is not None:
            raised.append(found)
        ceiling_base += 10


def test_processes_never_sign_past_the_cap_together(tmp_path: Path) -> None:
    book = Book(tmp_path / "wallet.db", BOOK_NAME)
    book.open_page(None, None, 0)
    with multiprocessing.Manager() as manager:
        raised = manager.list()
        workers = [
            multiprocessing.Process(target=_raise_all, args=(tmp_path / "wallet.db", 500, raised))
            for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        assert sorted(raised) == list(range(10, 501, 10))  # each ceiling once
    book.close()


def in_a_child(guard: Guard) -> tuple[bool, bool]:
    """Whether a guard is open in a forked child, and whether a book is."""
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        files = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        os._exit(int(guard._is_open()) + 2 * any("wallet.db" in name for name in files))
    told = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return bool(told & 1), bool(told & 2)


async def test_a_fork_copies_no_open_book(router: CheatingRouter, tmp_path: Path) -> None:
    """SQLite's connections do not bear it: a child would write where nobody reads any more."""
    async with wallet(router, tmp_path) as app:
        await call(app)
        before = sequence_in(tmp_path)
        assert app._guard is not None
        assert in_a_child(app._guard) == (False, False)
        assert app._guard._is_open()
        await call(app)
    assert sequence_in(tmp_path) == before + 1


def test_the_book_is_for_its_owner_only(tmp_path: Path) -> None:
    Book(tmp_path / "new" / "wallet.db", BOOK_NAME).close()
    assert (tmp_path / "new" / "wallet.db").stat().st_mode & 0o777 == 0o600


async def test_a_book_that_cannot_be_kept_is_told_and_nothing_is_signed(
    router: CheatingRouter, tmp_path: Path
) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.write_text("no database at all, and long enough to be taken for none")
    for book in (folder, other):
        async with wallet(router, tmp_path, book=book) as provider:
            with pytest.raises(BookFailed, match=str(book)):
                await call(provider)
    assert router.ceilings == []


async def test_a_forgotten_book_goes_on_from_what_was_signed(router: CheatingRouter, tmp_path: Path) -> None:
    async with wallet(router, tmp_path / "old") as provider:
        await call(provider)
        await call(provider)
    async with wallet(router, tmp_path / "new") as provider:
        await call(provider)
    assert sequence_in(tmp_path / "new") == 3


@pytest.mark.parametrize("claimed_base", [10**6 + 1, 10**12])
async def test_a_router_cannot_have_more_signed_by_saying_that_more_was_spent(
    router: CheatingRouter, tmp_path: Path, claimed_base: int
) -> None:
    router.total_base = claimed_base
    async with wallet(router, tmp_path) as provider:
        with pytest.raises(Overcharged) as caught:
            await call(provider)
    assert caught.value.rule == "total"
    assert router.ceilings == []


async def test_a_pinned_signer_is_the_only_one(router: CheatingRouter, tmp_path: Path) -> None:
    async with wallet(router, tmp_path, receipt_signer="0x" + "11" * 20) as provider:
        with pytest.raises(Overcharged, match="signature"):
            await call(provider)


async def test_receipts_are_checked_without_a_session_key_too(router: CheatingRouter, tmp_path: Path) -> None:
    more = {"session_key": None, "daily_cap_usd": None, "require_receipts": True}
    async with wallet(router, tmp_path, **more) as provider:
        await call(provider)
        router.cheat = "total"
        with pytest.raises(Overcharged):
            await call(provider)
    assert router.ceilings == []


async def test_without_a_guard_the_receipt_is_on_the_answer_unchecked(router: CheatingRouter) -> None:
    http = HttpTransport()
    provider = make_wallet_provider(WalletConfig(endpoint=router.url), http)
    assert isinstance(provider, WalletProvider)
    router.cheat = "total"
    for stream in (False, True):
        assert await call(provider, stream) == CALL_BASE
    await http.aclose()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, WalletNotSetUp),
        ({"endpoint": "http://x", "session_key": "0x1", "daily_cap_usd": "1"}, WalletNotSetUp),
        ({"session_key": "zz"}, WrongSessionKey),
        ({"session_key": "0x0"}, WrongSessionKey),
    ],
    ids=["no endpoint", "no contract", "no number", "zero"],
)
def test_a_wallet_that_is_not_set_up_says_so(
    fields: dict[str, str], error: type[Exception], tmp_path: Path
) -> None:
    if "session_key" in fields and "endpoint" not in fields:
        contract = {"chain_id": 1, "settlement": DOMAIN.settlement, "daily_cap_usd": "1"}
        fields = fields | contract | {"endpoint": "http://x"}  # type: ignore[dict-item]
    with pytest.raises(error):
        make_wallet_provider(WalletConfig.model_validate(fields), HttpTransport(), tmp_path)


def test_a_session_key_needs_a_cap_and_steps_are_small() -> None:
    for fields in ({"session_key": "0x1"}, {"step_usd": "1.01"}, {"step_usd": "0"}, {"type": "custom"}):
        with pytest.raises(ValueError, match=r"daily_cap_usd|step_usd|endpoint"):
            WalletConfig.model_validate(fields)
