"""The router's part in rewards: it closes each epoch when it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from router.beside import beside
from router.config import RouterConfig
from router.ledger import reward_epochs
from router.ledger.reward_epochs import Excluded, Reckoned
from router.ledger.reward_shares import Rates
from router.ledger.writer import Ledger

CHECK_S: Final = 60.0
"""How often a router looks whether the epoch has ended."""

log = logging.getLogger(__name__)


def close_epoch(ledger: Ledger, config: RouterConfig, now_s: int, early: bool = False) -> Reckoned | None:
    """Closes the running epoch if it is time; None if there is nothing to close.

    It may be stopped at any point and be called by several at once: the next call goes on, and each epoch is
    shared out once.

    Args:
        ledger: written in two short operations; what is reckoned between them only reads.
        config: length of an epoch, shares, and whose calls do not count.
        now_s: unix seconds.
        early: close it although it has not lasted `epoch_s`.
    """
    epoch_s = None if early else config.rewards.epoch_s
    number = ledger.run(lambda connection: reward_epochs.end(connection, now_s, epoch_s))
    if number is None:
        return None
    rates = Rates(config.policy.pool_bps, config.rewards.referral_bps)
    excluded = excluded_by(config)
    while True:
        reckoned = ledger.read(lambda connection: reward_epochs.reckon(connection, number, excluded, rates))
        if ledger.run(partial(reward_epochs.share, reckoned=reckoned, now_s=now_s)):
            return reckoned


def excluded_by(config: RouterConfig) -> Excluded:
    """Whose calls earn nothing: the operator's own accounts, and partners' that call themselves."""
    houses = [None if config.x402 is None else config.x402.account]
    houses.append(None if config.promotion is None else config.promotion.sponsor)
    own = {partner.id: partner.accounts for partner in config.partners if partner.accounts}
    return Excluded(tuple(idx for idx in houses if idx is not None), own)


class EpochKeeper:
    """Closes epochs while a router runs."""

    def __init__(self, ledger: Ledger, config: RouterConfig) -> None:
        self._ledger = ledger
        self.adopt(config)

    def adopt(self, config: RouterConfig) -> None:
        """Goes by another configuration from now on."""
        self._config = config

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Looks after the epochs until the block ends."""
        async with beside(self._keep()):
            yield

    async def _keep(self) -> None:
        while True:
            rewards = self._config.rewards
            if rewards.enabled:
                try:
                    closed = await asyncio.to_thread(
                        close_epoch, self._ledger, self._config, int(time.time())
                    )
                except Exception as error:  # a full disk today must not end rewards for ever
                    log.error("the epoch was not closed: %s", type(error).__name__)
                else:
                    if closed is not None:
                        told_base = sum(closed.epoch.rewards_base.values())
                        log.info("epoch %d closed: %d base units earned", closed.number, told_base)
            await asyncio.sleep(min(CHECK_S, rewards.epoch_s))
