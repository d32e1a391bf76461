"""Who follows what was learned: beliefs are read, lots are drawn, and the share of accounts is moved."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Final

from mini_llm.auto.predictor import Prediction
from router.beside import beside
from router.config import RouterConfig
from router.ledger import learning_steps, mirror
from router.ledger.learning_steps import Evidence
from router.ledger.writer import Ledger
from router.mirror.beliefs import Beliefs
from router.mirror.explore import chances, drawn, mixed
from router.mirror.policy import Step, Terms, follows, next_step

REFRESH_S: Final = 5.0
"""How old what a worker believes may be."""
TERMS: Final = Terms()

log = logging.getLogger(__name__)


class Follower:
    """What was learned, as choices ask for it; see `mini_llm.routing.mirroring.Mirroring`.

    Attributes:
        percent: of accounts that follow.
        beliefs: what was learned of the models.
    """

    def __init__(self, ledger: Ledger, config: RouterConfig, secret: bytes) -> None:
        """`secret` decides which accounts are the first ones; workers of one ledger need the same."""
        self._ledger = ledger
        self._salt = blake2b(b"accounts that follow", digest_size=32, key=secret).digest()
        self._rng = random.Random()  # noqa: S311 - shares out calls, guards nothing
        self.percent, self.beliefs = 0, Beliefs({})
        self._paused_until_s = 0.0  # by the clock that only goes forward
        self.adopt(config)

    def adopt(self, config: RouterConfig) -> None:
        """Goes by another configuration from now on."""
        self._settings, self._weighing = config.auto.learning, config.weighing

    @property
    def active(self) -> bool:
        """Whether what was learned has a say."""
        return self._settings.enabled and self._settings.follow

    @property
    def exploring(self) -> float:
        """Part of the calls whose model is drawn by lot, if nobody stops it."""
        return self._settings.explore if self.active else 0.0

    def pause(self, seconds: float) -> None:
        """Draws no lots for so long from now on; 0 lets it draw again."""
        self._paused_until_s = time.monotonic() + seconds

    def correct(self, prediction: Prediction, models: Sequence[str]) -> Prediction:
        """The prediction with what was learned of the models."""
        return self.beliefs.correct(prediction, models)

    def draw(
        self, account: str, options: int, shipped: int, learned: int, allowed: Sequence[int]
    ) -> tuple[int, tuple[float, ...]]:
        """See `Mirroring.draw`. The chances are those before it was drawn by lot who follows."""
        draws = allowed and time.monotonic() >= self._paused_until_s
        share = self._settings.explore if draws else 0.0
        usual = chances(options, shipped, learned, allowed, share)
        changed = chances(options, learned, learned, allowed, share)
        follower = follows(self._salt, int(account), self.percent)
        at = drawn(changed if follower else usual, self._rng.random())
        return at, mixed(usual, changed, self.percent)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keeps what is believed fresh until the block ends."""
        async with beside(self._keep()):
            yield

    async def _keep(self) -> None:
        while True:
            if self.active:
                try:
                    await self._refresh()
                except Exception as error:  # a full disk today must not end learning for ever
                    log.error("what was learned was not read: %s", type(error).__name__)
            await asyncio.sleep(REFRESH_S)

    async def _refresh(self) -> None:
        now_s = int(time.time())
        self.beliefs, found, step = await asyncio.to_thread(self._looked, now_s)
        self.percent = found.share.percent
        if step is not None and await self._ledger.submit(
            lambda connection: learning_steps.take(connection, found.share, step.percent, step.reason, now_s)
        ):
            self.percent = step.percent
            log.warning("%d %% of accounts follow what was learned: %s", step.percent, step.reason)

    def _looked(self, now_s: int) -> tuple[Beliefs, Evidence, Step | None]:
        half_life_s, proven_base = self._weighing.half_life_s, self._weighing.proven_base
        counts, found = self._ledger.read(
            lambda connection: (mirror.counts(connection), learning_steps.evidence(connection, proven_base))
        )
        beliefs = Beliefs({cell: count.faded(now_s, half_life_s) for cell, count in counts.items()})
        return beliefs, found, next_step(found.share.percent, found.rows, found.saved, TERMS)
