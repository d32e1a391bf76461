"""A ledger with an account that may spend, and what tests do with it all the time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection

from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import SignedCeiling, key_commitment, settlement_domain, sign_ceiling
from mini_llm.wallet.receipt import ReceiptDomain
from router.ledger import (
    AccountView,
    Applied,
    AttemptFacts,
    BatchFacts,
    CallFacts,
    Charge,
    Ledger,
    PostedCharge,
    ReceiptSigner,
    Replay,
    Reservation,
    Reserved,
    StoredAnswer,
    Terms,
    book_errors,
    chain,
    check_ceiling,
    credit_deposit,
    open_account,
    open_database,
    read,
    request_key,
    store_ceiling,
    trial_balance,
)

CHAIN_ID = 31337
SETTLEMENT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
DOMAIN = settlement_domain(CHAIN_ID, SETTLEMENT)
SIGNER = ReceiptSigner(ReceiptDomain(CHAIN_ID, SETTLEMENT), bytes.fromhex("11" * 32))
TERMS = Terms(partner_id=1, partner_bps=3000, fee_bps=1500, burn_bps=500, pool_bps=1000)
ENDPOINT = "/v1/chat/completions"
BODY = b"b" * 32
NOW_S = 1_800_000_000
LEASE_S = 60


def session_secret(idx: int) -> int:
    return 7_000_000 + idx


def session_commit(idx: int) -> int:
    return key_commitment(public_key(session_secret(idx)))


def owner(idx: int) -> str:
    return f"0x{idx:040x}"


def signed_ceiling(idx: int, ceiling_base: int, secret: int | None = None) -> SignedCeiling:
    return sign_ceiling(session_secret(idx) if secret is None else secret, DOMAIN, idx, ceiling_base)


def facts(
    actual_base: int,
    *,
    time_s: int = NOW_S,
    model: str = "terse-1",
    answer: StoredAnswer | None = None,
    attempts: tuple[AttemptFacts, ...] = (),
) -> CallFacts:
    return CallFacts(
        provider="house",
        deployment="house-terse-1",
        model=model,
        prompt_tokens=12,
        completion_tokens=34,
        estimated=False,
        prompt_price_base_per_mtok=15_000_000,
        completion_price_base_per_mtok=60_000_000,
        vibes_per_usd=100,
        actual_base=actual_base,
        time_s=time_s,
        prompt_salt=b"s" * 32,
        prompt_hash=b"h" * 32,
        answer=answer,
        attempts=attempts,
    )


def reservation(
    idx: int, quote_base: int, key: str | None = None, *, body: bytes = BODY, now_s: int = NOW_S
) -> Reservation:
    return Reservation(idx, ENDPOINT, key, body, quote_base, LEASE_S, now_s)


def funded(connection: Connection, idx: int, amount_base: int) -> None:
    """Opens an account with a deposit and a requested key; no ceiling yet."""
    open_account(connection, idx, owner(idx))
    request_key(connection, idx, session_commit(idx), f"key-{idx}")
    credit_deposit(connection, idx, amount_base, f"deposit-{idx}")


class Books:
    """A ledger and what tests do with it all the time."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def fund(self, idx: int, amount_base: int, ceiling_base: int | None = None) -> None:
        """An account with a deposit and a ceiling (by default as high as the deposit)."""
        self.ledger.run(lambda c: funded(c, idx, amount_base))
        signed = signed_ceiling(idx, amount_base if ceiling_base is None else ceiling_base)
        self.ledger.run(lambda c: store_ceiling(c, check_ceiling(DOMAIN, signed)))

    def reserve(self, idx: int, quote_base: int, key: str | None = None, **more: object) -> Reserved:
        held = self.try_reserve(idx, quote_base, key, **more)
        assert isinstance(held, Reserved)
        return held

    def try_reserve(self, idx: int, quote_base: int, key: str | None, **more: object) -> Reserved | Replay:
        return self.ledger.run(reservation(idx, quote_base, key, **more))  # type: ignore[arg-type]

    def post(self, entry_id: str, actual_base: int, terms: Terms = TERMS, **more: object) -> PostedCharge:
        return self.ledger.run(Charge(entry_id, facts(actual_base, **more), terms, SIGNER))  # type: ignore[arg-type]

    def call(self, idx: int, actual_base: int, terms: Terms = TERMS, **more: object) -> PostedCharge:
        """One call, reserved and posted."""
        return self.post(self.reserve(idx, actual_base).entry_id, actual_base, terms, **more)

    def account(self, idx: int) -> AccountView:
        return self.ledger.read(lambda c: read.account_view(c, idx))

    def balances(self) -> dict[str, int]:
        return self.ledger.read(trial_balance).balances

    def settle(self, number: int, *slots: SimpleNamespace, burned_base: int = 0) -> None:
        batch = batch_facts(number, slots, burned_base)
        self.ledger.run(lambda c: chain.settle_batch(c, batch, f"batch-{number}"))

    def check(self) -> None:
        assert self.ledger.read(book_errors) == []


def apply(books: Books, operation: Callable[..., Applied], *args: Any) -> bool:
    """Brings something from the chain into the ledger; False if it was there."""

    def run(connection: Connection) -> Applied:
        return operation(connection, *args)

    return books.ledger.run(run).new


def batch_facts(
    number: int, slots: Sequence[SimpleNamespace], burned_base: int = 0, fork: str = "a"
) -> BatchFacts:
    """A settled batch whose charges are all partner 1's."""
    gross_base = sum(one.charge for one in slots)
    return BatchFacts(
        number=number,
        slots=slots,
        partners=[(1, gross_base)] if gross_base else [],
        burned_base=burned_base,
        size=4,
        verifier=owner(0xFE),
        old_root=number - 1,
        new_root=number,
        receipts_root="0x" + f"{number:064x}",
        receipts_total_base=gross_base,
        public_inputs=(number, 2, 3),
        tx_hash=f"0x{fork}{number:063x}",
        log_index=number % 3,
        block_number=100 + number,
    )


def slot(idx: int, **fields: int) -> SimpleNamespace:
    """A settled slot."""
    empty = {"charge": 0, "reward": 0, "deposit": 0, "withdraw": 0, "drain": False, "key_commit": 0}
    return SimpleNamespace(idx=idx, **(empty | fields))


@contextmanager
def new_books(url: str) -> Iterator[Books]:
    """A fresh ledger; its books must balance when the test is done."""
    engine = open_database(url)
    try:
        with Ledger(engine) as ledger:
            books = Books(ledger)
            yield books
            books.check()
    finally:
        engine.dispose()


def hold_writer(books: Books) -> threading.Event:
    """Keeps the writer busy until the event is set."""
    entered, release = threading.Event(), threading.Event()

    def wait(_: Connection) -> None:
        entered.set()
        release.wait(10)

    threading.Thread(target=books.ledger.run, args=(wait,)).start()
    entered.wait(10)
    return release


async def in_one_group(books: Books, *operations: Any) -> list[Any]:
    """Has operations committed together; returns their results and what they raised."""
    blocker, commits = hold_writer(books), books.ledger.commits
    outcomes = asyncio.gather(*map(books.ledger.submit, operations), return_exceptions=True)
    await asyncio.sleep(0)  # all are queued
    blocker.set()
    done = await outcomes
    assert books.ledger.commits - commits == 2  # the blocker's, and one for all
    return done
