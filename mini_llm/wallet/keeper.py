"""Signs spending ceilings ahead of need, a little at a time, as long as the router's receipts hold.

A ceiling allows the account to have spent so much in total. The keeper holds it at most one step above what
was spent and what running calls may cost, never beyond the user's limit for a day, and signs nothing before
every receipt up to then is there and checked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mini_llm.loops import PerLoop
from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.book import Book
from mini_llm.wallet.ceiling import sign_ceiling, verify_ceiling
from mini_llm.wallet.checker import Checker
from mini_llm.wallet.errors import CapReached, Overcharged, RouterRefused, RouterUnreachable, WrongSessionKey
from mini_llm.wallet.page import Page
from mini_llm.wallet.router_api import RouterApi, Standing

DAY_S: Final = 86_400


class Keeper:
    """Keeps one account's ceiling.

    Args:
        api: its router.
        checker: of its receipts.
        book: what is remembered of the account.
        secret: the session key.
        domain: ``settlement_domain`` of the contract that charges.
        account: its number.
        step_base: how far above need a ceiling may be.
        cap_base: the user's limit for a UTC day.
        clock: unix seconds.
    """

    def __init__(
        self,
        api: RouterApi,
        checker: Checker,
        book: Book,
        secret: int,
        domain: int,
        account: int,
        step_base: int,
        cap_base: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api, self._checker, self._book = api, checker, book
        self._secret, self._domain, self._account = secret, domain, account
        self._step_base, self._cap_base, self._clock = step_base, cap_base, clock
        self._running_base = 0  # what this process's running calls may cost
        self._turn = PerLoop(asyncio.Lock)
        self._ahead: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Keeper(account={self._account})"

    def known_ceiling(self, standing: Standing) -> int:
        """The ceiling in force that this session key did sign, by its signature; base units.

        Raises:
            Overcharged: more was spent than that.
        """
        signed, proven_base = standing.signed, 0
        if signed is not None and signed.idx == self._account and verify_ceiling(self._domain, signed):
            proven_base = signed.ceiling_base if signed.key == public_key(self._secret) else 0
        if standing.spent_base > proven_base:
            raise Overcharged("total", standing.spent_base, f"at most {proven_base}, which was signed for")
        return proven_base

    async def enter(self, most_base: int) -> None:
        """Lets a call begin that may cost ``most_base``; signs first only if the ceiling does not cover it.

        Raises:
            CapReached: the day's limit does not cover it.
            Overcharged, WrongSessionKey, RouterRefused, RouterUnreachable: nothing could be signed.
        """
        page = self._page()
        self._running_base += most_base
        try:
            left_base = self._left(page)
            if left_base < 0:
                await self._extend(self._running_base)
            elif 2 * left_base < self._step_base:
                self._extend_ahead()
        except BaseException:
            self._running_base -= most_base
            raise

    def leave(self, most_base: int) -> None:
        """A call is over; what it cost is in its receipt."""
        self._running_base -= most_base
        with suppress(Overcharged):  # told when the next call begins
            if 2 * self._left(self._page()) < self._step_base:
                self._extend_ahead()

    async def make_room(self, most_base: int) -> bool:
        """After the router refused a call for want of money: signs for what runs elsewhere, too.

        Returns:
            True if it is worth to try again.

        Raises:
            As ``enter``.
        """
        standing = await self._api.standing()
        try:
            await asyncio.to_thread(self.known_ceiling, standing)
        except Overcharged as error:
            self._book.stop(error)
            raise
        page = await self._checker.fill_gaps(standing.spent_base)
        taken_base = standing.reserved_base + standing.withdraw_requested_base
        if standing.balance_base - standing.cancelling_base - taken_base < most_base:
            return False  # no ceiling makes money
        if standing.ceiling_base < page.ceiling_base:  # one that was signed and did not arrive
            await self._give(page.ceiling_base)
        else:
            await self._extend(max(taken_base + most_base, self._running_base))
        return True

    async def aclose(self) -> None:
        """Waits for a signature that is on its way."""
        if self._ahead is not None:
            await asyncio.gather(self._ahead, return_exceptions=True)

    def _extend_ahead(self) -> None:
        if self._ahead is None or self._ahead.done():
            self._ahead = asyncio.create_task(self._ahead_of_need())

    async def _ahead_of_need(self) -> None:
        # what went wrong is found again, and told, by the call that needs the ceiling
        with suppress(Overcharged, CapReached, RouterRefused, RouterUnreachable, WrongSessionKey):
            await self._extend(0)

    async def _extend(self, needed_base: int) -> None:
        """Raises the ceiling to a step above what running calls need."""
        async with self._turn():
            page = await self._checker.fill_gaps()
            spent_base = page.total_base
            wanted_base = spent_base + max(needed_base, self._running_base) + self._step_base
            ceiling_base = self._book.raise_ceiling(
                wanted_base, spent_base + needed_base if needed_base else 0, self._cap_base
            )
            if ceiling_base is not None:
                await self._give(ceiling_base)

    async def _give(self, ceiling_base: int) -> None:
        signed = await asyncio.to_thread(
            sign_ceiling, self._secret, self._domain, self._account, ceiling_base
        )
        try:
            await self._api.keep_ceiling(signed)
        except RouterRefused as error:
            if error.code != "ceiling_rejected":
                raise
            standing = await self._api.standing()
            if standing.ceiling_base < ceiling_base:  # else another process gave it a higher one
                raise WrongSessionKey(error.detail) from None

    def _left(self, page: Page) -> int:
        """What may still be spent beside what runs: within the signed ceiling, and the day's limit."""
        most_base = min(page.ceiling_base, page.day_start_base + self._cap_base)
        return most_base - page.early_total_base - self._running_base

    def _page(self) -> Page:
        """The account's page; a new day begins with the first look at it, before anything is spent."""
        page = self._book.page()
        if page is None:
            raise LookupError("the page has not begun")
        today = int(self._clock()) // DAY_S
        return page if today <= page.day else self._book.begin_day(today)
