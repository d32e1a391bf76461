"""What stands around each call that a wallet pays for: a ceiling before it, a check of its receipt after."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mini_llm.deployment import Deployment
from mini_llm.loops import PerLoop
from mini_llm.price import TOKENS_PER_PRICE
from mini_llm.request import Request
from mini_llm.wallet.babyjub import SUBORDER
from mini_llm.wallet.book import Book
from mini_llm.wallet.ceiling import settlement_domain
from mini_llm.wallet.checker import Checker, Seen
from mini_llm.wallet.config import WalletConfig
from mini_llm.wallet.errors import (
    Overcharged,
    RouterRefused,
    RouterUnreachable,
    WalletNotSetUp,
    WrongSessionKey,
)
from mini_llm.wallet.keeper import Keeper
from mini_llm.wallet.receipt import ReceiptDomain, SignedReceipt
from mini_llm.wallet.router_api import Offer, RouterApi

OFFER_S: Final = 60.0
"""Prices are asked for again after this long, beside a call."""
TEMPLATE_TOKENS: Final = 256
MESSAGE_TOKENS: Final = 16
"""What a router adds to a prompt's bytes when it bounds a call."""
_LOG_IN: Final = "run mini-llm login, or write it into the configuration"


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that may begin: what was offered for it, and the most that it may cost, base units."""

    offer: Offer
    most_base: int


class Guard:
    """One account at one router.

    Args:
        config: the wallet's.
        api: the router.
        folder: where the book is, if the configuration names no file.
        clock: unix seconds, by which days are told.

    Raises:
        WalletNotSetUp: chain or contract is not known.
        WrongSessionKey: the session key is none.
    """

    def __init__(
        self, config: WalletConfig, api: RouterApi, folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        if config.chain_id is None or config.settlement is None:
            raise WalletNotSetUp("wallet.chain_id or wallet.settlement", _LOG_IN)
        self._config, self._api, self._clock = config, api, clock
        self._path = config.book or folder / "wallet.db"
        self._domain = ReceiptDomain(config.chain_id, config.settlement)
        self._secret = read_session_key(config)
        self._opening = PerLoop(asyncio.Lock)
        self._book: Book | None = None
        self._process = 0  # that opened it
        self._checker: Checker | None = None
        self._keeper: Keeper | None = None
        self._offers: dict[tuple[str, bool], tuple[float, Offer]] = {}
        self._asking = PerLoop(dict[tuple[str, bool], asyncio.Task[Offer]])

    async def enter(self, request: Request, deployment: Deployment) -> Entry:
        """Lets a call begin.

        Raises:
            WalletError: it may not.
        """
        await self._open()
        offer = await self._offer(request, deployment)
        entry = Entry(offer, most_cost_base(request, deployment, offer))
        if self._keeper is not None:
            await self._keeper.enter(entry.most_base)
        elif self._book is not None:
            self._book.page()  # raises if the router was caught
        return entry

    def leave(self, entry: Entry) -> None:
        """The call is over, however it ended."""
        if self._keeper is not None:
            self._keeper.leave(entry.most_base)

    async def make_room(self, entry: Entry) -> bool:
        """After a refusal for want of money; True if it is worth to try again."""
        return self._keeper is not None and await self._keeper.make_room(entry.most_base)

    async def check(self, signed: SignedReceipt | None, seen: Seen) -> None:
        """Checks what the call was charged.

        Raises:
            Overcharged: too much.
        """
        if self._checker is not None:
            await self._checker.check(signed, seen)

    async def receipt(self, request_id: str) -> SignedReceipt | None:
        """The receipt of a call whose answer could not carry it."""
        return await self._api.receipt(request_id)

    async def aclose(self) -> None:
        """Ends what runs beside calls."""
        asking = list(self._asking().values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._keeper is not None:
            await self._keeper.aclose()
        if self._book is not None:
            self._book.close()
            self._book = self._checker = self._keeper = None

    def _is_open(self) -> bool:
        return self._book is not None and self._process == os.getpid()  # a forked child opens its own

    async def _open(self) -> None:
        """Opens the book; its first page begins with what the router can prove."""
        if self._is_open():
            return
        async with self._opening():
            if self._is_open():
                return
            standing = await self._api.standing()
            if self._config.account not in (None, standing.idx):
                raise Overcharged("account", standing.idx, self._config.account)
            name = f"{self._domain.chain_id}:{self._domain.settlement}:{standing.idx}"
            book = Book(self._path, name)
            checker = Checker(
                book, self._api, self._domain, standing.idx, self._config.token_tolerance_percent
            )
            keeper = self._make_keeper(book, checker, standing.idx)
            try:
                known_base = 0 if keeper is None else await asyncio.to_thread(keeper.known_ceiling, standing)
                await checker.begin(
                    standing.spent_base, standing.receipts, self._config.receipt_signer, known_base
                )
            except BaseException:
                book.close()
                raise
            self._checker, self._keeper, self._book, self._process = checker, keeper, book, os.getpid()

    def _make_keeper(self, book: Book, checker: Checker, account: int) -> Keeper | None:
        cap_base = self._config.daily_cap_base
        if self._secret is None or cap_base is None:
            return None
        domain = settlement_domain(self._domain.chain_id, self._domain.settlement)
        step_base = self._config.step_base
        return Keeper(
            self._api, checker, book, self._secret, domain, account, step_base, cap_base, self._clock
        )

    async def _offer(self, request: Request, deployment: Deployment) -> Offer:
        """The prices that hold for a model: known before the call, so that none is made up after it."""
        key = (deployment.upstream_model, deployment.output_cap(request.output_cap) is None)
        asked_s, offer = self._offers.get(key, (0.0, None))
        if offer is not None:
            if time.monotonic() - asked_s > OFFER_S and key not in self._asking():
                self._ask(key, request).add_done_callback(_ignore)
            return offer
        return await asyncio.shield(self._asking().get(key) or self._ask(key, request))

    def _ask(self, key: tuple[str, bool], request: Request) -> asyncio.Task[Offer]:
        async def asking() -> Offer:
            offer = await self._api.offer(request, key[0])
            self._offers[key] = (time.monotonic(), offer)
            return offer

        running = self._asking()
        running[key] = asyncio.create_task(asking())
        running[key].add_done_callback(lambda _: running.pop(key, None))
        return running[key]


def most_cost_base(request: Request, deployment: Deployment, offer: Offer) -> int:
    """The most that a call may cost at an offer's prices, as a router reckons it; base units."""
    prompt_tokens = request.size_bytes + TEMPLATE_TOKENS + MESSAGE_TOKENS * request.parts
    cap = deployment.output_cap(request.output_cap)
    completion_tokens = (offer.most_output_tokens if cap is None else cap) * request.choices
    exact = prompt_tokens * offer.prompt_base_per_mtok + completion_tokens * offer.completion_base_per_mtok
    return -(-exact // TOKENS_PER_PRICE)


def read_session_key(config: WalletConfig) -> int | None:
    """The session key's secret, None if there is none.

    Raises:
        WrongSessionKey: it is no number that a key may be.
    """
    if config.session_key is None:
        return None
    text = config.session_key.get_secret_value().strip()
    with suppress(ValueError):
        secret = int(text.removeprefix("0x"), 16)
        if 1 <= secret < SUBORDER:
            return secret
    raise WrongSessionKey("is no session key: 0x and hex digits")


def _ignore(task: asyncio.Task[Offer]) -> None:
    """An offer that could not be renewed stays as it was."""
    if not task.cancelled():
        with suppress(RouterRefused, RouterUnreachable):
            task.result()
