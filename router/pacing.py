"""Budgets of `auto` while calls run: each call sees how they stand, and what it cost moves their price.

A worker reads a budget when a call first needs it, goes on by its own calls, and tells the ledger every two
seconds, from where it also learns what other workers spent. What it forgets it reads again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from mini_llm.auto.pacer import Pacer, Spent
from mini_llm.auto.purse import Purse
from mini_llm.routing.decision import Decision
from router.beside import beside, every
from router.config import RouterConfig
from router.config_money import usd_base
from router.ledger import pacing
from router.ledger.pacing import AutoBudget, Steps
from router.ledger.reservations import Budget
from router.ledger.writer import Ledger
from router.people.budgets import periods
from router.people.callers import Principal

TELL_S: Final = 2.0
OPERATOR: Final = "auto:operator"
"""Owner of the operator's own budgets."""


@dataclass(frozen=True, slots=True)
class Paced:
    """A call to `auto` and the budgets that it counts against.

    Attributes:
        held: the budgets, and how each was paced when the call was chosen for.
        purse: the same for the choice.
        cheapest_base: what the cheapest candidate was predicted to cost, base units.
    """

    held: tuple[tuple[AutoBudget, Pacer], ...]
    purse: Purse
    cheapest_base: int = 0

    @property
    def limits(self) -> tuple[Budget, ...]:
        """What its reservation carries."""
        return tuple(budget.limit for budget, _ in self.held)

    def decided(self, decision: Decision) -> Paced:
        """The same once it is known among whom was chosen."""
        return replace(self, cheapest_base=min(one.cost_base for one in decision.ranked))


@dataclass(slots=True)
class _Known:
    """A budget as the ledger told it, and with this worker's calls since."""

    told: Spent
    pacer: Pacer


class Pacing:
    """Paces budgets of `auto`.

    Args:
        ledger: where they are shared.
        config: with the operator's own.
        clock: unix seconds.
    """

    def __init__(self, ledger: Ledger, config: RouterConfig, clock: Callable[[], float] = time.time) -> None:
        self._ledger, self._clock = ledger, clock
        self._known: dict[AutoBudget, _Known] = {}
        self.adopt(config)

    def adopt(self, config: RouterConfig) -> None:
        """Goes by another configuration from now on."""
        self._config = config

    async def of(self, principal: Principal) -> Paced | None:
        """What a caller's next call to `auto` counts against; None if that is nothing."""
        now_s = self._clock()
        budgets = tuple(self._budgets(principal, int(now_s)))
        if not budgets:
            return None
        if unknown := [one for one in budgets if one not in self._known]:
            found = await asyncio.to_thread(
                self._ledger.read, lambda connection: pacing.pacers(connection, unknown, int(now_s))
            )
            for budget, pacer in zip(unknown, found, strict=True):
                self._known.setdefault(budget, _Known(pacer.state, pacer))
        held = tuple((one, self._known[one].pacer) for one in budgets)
        return Paced(held, Purse(tuple(pacer for _, pacer in held), now_s))

    def operators_left(self) -> float | None:
        """See `Pacer.left`: of the operator's budget that is shortest; None without one, or without calls
        that would tell."""
        now_s = self._clock()
        own = [one.pacer.left(now_s) for key, one in self._known.items() if key.owner.startswith(OPERATOR)]
        return min(own, default=None)

    def charged(self, call: Paced, charge_base: int) -> None:
        """Moves the prices by what a call cost in the end."""
        for budget, pacer in call.held:  # a long call's budget may have been forgotten meanwhile
            known = self._known.setdefault(budget, _Known(pacer.state, pacer))
            known.pacer = known.pacer.spend(charge_base, call.cheapest_base, self._clock())

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Tells the ledger until the block ends, and then once more."""
        try:
            async with beside(every(TELL_S, self.tell, "budgets of auto were not told")):
                yield
        finally:
            await self.tell()

    async def tell(self) -> None:
        """Tells the ledger what this worker's calls came to, and learns what those of others did. Budgets
        that no call was charged to since the last time are forgotten."""
        now_s = int(self._clock())
        moved = {budget: one for budget, one in self._known.items() if one.pacer.state is not one.told}
        self._known = dict(moved)
        if not moved:
            return
        steps = [Steps(budget, one.told, one.pacer.state) for budget, one in moved.items()]
        found = await self._ledger.submit(lambda connection: pacing.join(connection, steps, now_s))
        for step, pacer in zip(steps, found, strict=True):
            known = self._known[step.budget]
            since = pacer.state.joined(step.after, known.pacer.state)
            known.told, known.pacer = pacer.state, Pacer(pacer.plan, since)

    def _budgets(self, principal: Principal, now_s: int) -> Iterator[AutoBudget]:
        yield from principal.auto_budgets
        own, vibes_per_usd = self._config.auto.budget, self._config.vibes_per_usd
        day, month = periods(now_s)
        for name, period, usd in (("day", day, own.day_usd), ("month", month, own.month_usd)):
            if usd is not None:
                yield AutoBudget(f"{OPERATOR}:{name}", period, max(1, usd_base(usd, vibes_per_usd)))
