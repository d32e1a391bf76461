"""A small operator with a month of business, for whoever wants to look at the pages.

Chain, contracts, router, bridge, proofs and receipts are real, and so are the calls of the last minute. The
days before are written into the ledger as such calls would have been, with times of their own, because nobody
waits a month for a picture; the bridge settles them like all others.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import httpx
from ask import Answer, Question, ask_all
from customers import Customer, make_customer, open_account
from demo import QUESTIONS, wait
from eth_account.messages import encode_defunct
from progress import Reporter
from sqlalchemy import Connection
from stack import GAS_WEI, Stack, running_stack
from upstream import OFFERS
from wallet_flow import Wallet

from mini_llm.price import Price, Usage
from mini_llm.wallet.limits import BASE_PER_VIBES
from mini_llm.wallet.receipt import ReceiptDomain
from router.ledger import (
    CallFacts,
    Charge,
    Grant,
    Ledger,
    ReceiptSigner,
    Reservation,
    Reserved,
    Terms,
    create_api_key,
    open_database,
)
from router.ledger.calls import run_call

DAY_S: Final = 86_400
DAYS: Final = 30
CALLS_A_DAY: Final = 18
DEPOSIT_BASE: Final = 400 * BASE_PER_VIBES
CEILING_BASE: Final = 350 * BASE_PER_VIBES
WITHDRAWAL_BASE: Final = 40 * BASE_PER_VIBES
KEYS: Final = {"laptop": 25 * BASE_PER_VIBES, "nightly tests": 40 * BASE_PER_VIBES, "support bot": None}
"""API keys of each customer, and how much they may spend in a day; live calls use the first."""
POLICY_BPS: Final = (1500, 500, 1000)
"""Fee, burned part and reward pool, as the demo's configuration has them."""
HOURS: Final = (1, 0, 0, 0, 0, 1, 2, 4, 9, 12, 12, 11, 8, 10, 12, 12, 10, 8, 6, 5, 5, 4, 3, 2)
"""How busy the hours of a day are beside one another, UTC."""


@dataclass(frozen=True)
class SitePage:
    """A page: a name for files, its path, and whether it is the operator's."""

    name: str
    path: str
    admin: bool = False


PAGES: Final = (
    SitePage("home", "/"),
    SitePage("signin", "/signin"),
    SitePage("device", "/device"),
    SitePage("wallet", "/wallet"),
    SitePage("money", "/wallet/money"),
    SitePage("keys", "/wallet/keys"),
    SitePage("usage", "/wallet/usage"),
    SitePage("requests", "/wallet/requests"),
    SitePage("request", "/wallet/requests/{request}"),
    SitePage("rewards", "/wallet/rewards"),
    SitePage("teams", "/wallet/team"),
    SitePage("explorer", "/explorer"),
    SitePage("batch", "/explorer/batches/2"),
    SitePage("account", "/explorer/accounts/1"),
    SitePage("search", "/explorer/search?q=nothing"),
    SitePage("partners", "/partners"),
    SitePage("partner", "/partners/1"),
    SitePage("operator-signin", "/operator/signin", admin=True),
    SitePage("operator", "/operator", admin=True),
    SitePage("operator-money", "/operator/money", admin=True),
    SitePage("operator-routing", "/operator/routing", admin=True),
    SitePage("operator-file", "/operator/routing/file", admin=True),
    SitePage("operator-switch", "/operator/routing/switch?scope=provider&name=pithy-labs&to=0", admin=True),
    SitePage("operator-conductor", "/operator/conductor", admin=True),
)
"""All pages; `{request}` stands for the id of a settled call of the first customer."""


@dataclass
class Showcase:
    """What is running, and who uses it.

    Attributes:
        customers: the first is the one whose pages are shown.
        key_ids: of the API keys that each of them made.
        charged_base: all that was charged so far, base units.
        request_id: of one call of the first customer.
    """

    stack: Stack
    ledger: Ledger
    customers: list[Customer]
    key_ids: list[list[str]]
    charged_base: int = 0
    request_id: str = ""

    def address(self, page: SitePage) -> str:
        """A page's URL."""
        place = self.stack.admin_url if page.admin else self.stack.url
        return place + page.path.format(request=self.request_id)

    def cookies(self) -> dict[str, str]:
        """What a browser has after the first customer and the operator have signed in."""
        entrance, key = f"{self.stack.admin_url}/operator/signin", self.stack.admin_key
        operator = httpx.post(entrance, data={"key": key}, headers={"origin": self.stack.admin_url})
        session = sign_in(self.stack.url, self.customers[0].wallet)
        return {"vibes_session": session, "vibes_operator": operator.cookies["vibes_operator"]}

    def live_through(self, days: Sequence[int], rng: random.Random) -> None:
        """Writes the calls of some days, which count back from today, at once: one batch settles them all."""
        times = [time_s for ago in days for time_s in drawn_times(ago, rng)]
        self.charged_base += self.ledger.run(
            lambda connection: sum(self._write(connection, time_s, rng) for time_s in times)
        )

    def settle(self) -> None:
        """Waits until all that was charged is on the chain."""
        totals = self.stack.contracts.settlement.functions.totals()
        wait(self.stack, "the calls to be settled", lambda: totals.call()[0] >= self.charged_base)

    def ask(self, count: int) -> list[Answer]:
        """Real calls of all customers, through the openai client."""
        texts: list[str] = json.loads(QUESTIONS.read_text(encoding="utf-8"))[:count]
        asked = [
            Question(
                self.customers[number % len(self.customers)],
                OFFERS[number % len(OFFERS)].model,
                text,
                number % 3 == 1,
                None,
            )
            for number, text in enumerate(texts)
        ]
        with ThreadPoolExecutor(1) as thread:  # a browser's event loop may run in this one
            answers = thread.submit(asyncio.run, ask_all(asked, lambda: None)).result()
        self.charged_base += sum(answer.receipt.receipt.charge_base for answer in answers)
        return answers

    def _write(self, connection: Connection, time_s: int, rng: random.Random) -> int:
        number = rng.choices(range(len(self.customers)), (6, 3, 2))[0]
        offer = rng.choices(OFFERS, (3, 2))[0]
        price = Price.from_usd(offer.prompt_usd, offer.completion_usd, 100)
        usage = Usage(int(rng.lognormvariate(6.3, 0.9)) + 8, int(rng.lognormvariate(5.4, 0.8)) + 5)
        charge_base = price.cost_base(usage)
        body_hash = hashlib.sha256(rng.randbytes(32)).digest()
        asked = Reservation(
            account_idx=self.customers[number].wallet.idx,
            endpoint="/v1/chat/completions",
            client_key=None,
            body_hash=body_hash,
            quote_base=charge_base,
            lease_s=60,
            now_s=time_s,
            key_id=rng.choices(self.key_ids[number], (5, 3, 2))[0],
        )
        facts = CallFacts(
            provider=offer.partner,
            deployment=f"{offer.partner}/{offer.model}",
            model=offer.model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            estimated=False,
            prompt_price_base_per_mtok=price.prompt_base_per_mtok,
            completion_price_base_per_mtok=price.completion_base_per_mtok,
            vibes_per_usd=100,
            actual_base=charge_base,
            time_s=time_s,
            prompt_salt=rng.randbytes(16),
            prompt_hash=body_hash,
            wholesale_base=charge_base // 2,
        )
        stack = self.stack
        domain = ReceiptDomain(stack.contracts.chain_id, stack.contracts.settlement.address)
        signer = ReceiptSigner(domain, bytes(stack.keys.receipts.key))
        terms = Terms(OFFERS.index(offer) + 1, offer.partner_bps, *POLICY_BPS)
        opened = run_call(connection, asked)
        if not isinstance(opened, Reserved):
            raise RuntimeError("a call without a key of its own cannot be a repetition")
        run_call(connection, Charge(opened.entry_id, facts, terms, signer))
        if number == 0 and not self.request_id:
            self.request_id = opened.entry_id
        return charge_base


def drawn_times(ago: int, rng: random.Random) -> list[int]:
    """When the calls of a day came, unix seconds in order; of today, what is past."""
    midnight = int(time.time()) // DAY_S * DAY_S - ago * DAY_S
    weekend = datetime.fromtimestamp(midnight, UTC).weekday() > 4
    calls = rng.randint(CALLS_A_DAY // 2, CALLS_A_DAY * 3 // 2) // (3 if weekend else 1)
    drawn = [rng.choices(range(24), HOURS)[0] * 3_600 + rng.randrange(3_600) for _ in range(calls)]
    return [midnight + second for second in sorted(drawn) if midnight + second < time.time() - 60]


@contextmanager
def running_showcase(reporter: Reporter, batches: int = 4) -> Iterator[Showcase]:
    """Starts everything, lives through a month, and stops it however the block ends.

    Args:
        reporter: told about each step.
        batches: in how many the month is settled, from 1 on.

    Raises:
        MissingTools, ChildFailed, DemoFailed: as the demo does.
    """
    rng = random.Random(7)  # noqa: S311
    days = range(DAYS, -1, -1)
    with running_stack(reporter) as stack, _ledger(stack) as ledger:
        with reporter.step("three wallets deposit, and make API keys"):
            shown = _open(stack, ledger)
            leaver = shown.customers[1].wallet
            stack.contracts.send_ether(stack.keys.relayer, leaver.account.address, GAS_WEI)
            leaver.request_withdrawal(WITHDRAWAL_BASE)
        with reporter.step("live through a month, and settle them", batches) as done:
            for number in range(batches):
                shown.live_through(days[DAYS * number // batches : DAYS * (number + 1) // batches], rng)
                shown.settle()
                done()
        with reporter.step("a partner claims, customers ask"):
            claim = stack.contracts.settlement.functions.claimPartner(1)
            stack.contracts.send(stack.keys.relayer, claim)
            shown.live_through(days[DAYS:], rng)
            shown.ask(12)
        yield shown


def sign_in(url: str, wallet: Wallet) -> str:
    """Signs a wallet in (EIP-4361) and returns the session's token."""
    told = httpx.get(f"{url}/v1/signin/nonce").raise_for_status().json()
    message = "\n".join(
        [
            f"{told['domain']} wants you to sign in with your Ethereum account:",
            wallet.account.address,
            "",
            "",
            f"URI: {told['uri']}",
            f"Version: {told['version']}",
            f"Chain ID: {told['chain_id']}",
            f"Nonce: {told['nonce']}",
            f"Issued At: {datetime.now(UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')}",
        ]
    )
    signature = wallet.account.sign_message(encode_defunct(text=message)).signature
    signed = {"message": message, "signature": "0x" + bytes(signature).hex()}
    token: str = httpx.post(f"{url}/v1/signin", json=signed).raise_for_status().json()["token"]
    return token


@contextmanager
def _ledger(stack: Stack) -> Iterator[Ledger]:
    engine = open_database(stack.environment["VIBES_LEDGER_URL"])
    with Ledger(engine) as ledger:
        yield ledger
    engine.dispose()


def _open(stack: Stack, ledger: Ledger) -> Showcase:
    wallets = [open_account(stack, DEPOSIT_BASE) for _ in range(3)]
    customers = [make_customer(stack, wallet, CEILING_BASE) for wallet in wallets]
    key_ids = []
    for customer in customers:
        make = partial(create_api_key, idx=customer.wallet.idx)
        keys = [
            ledger.run(partial(make, label=label, grant=Grant(day_limit_base=limit_base)))
            for label, limit_base in KEYS.items()
        ]
        customer.api_key = keys[0].secret
        key_ids.append([key.key_id for key in keys])
    return Showcase(stack, ledger, customers, key_ids)
