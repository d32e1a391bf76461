"""The configuration file is read again when it changes, and on SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from mini_llm.config import RoutingConfig
from mini_llm.errors import ConfigError
from mini_llm.routing.catalog import Catalog
from router.beside import beside
from router.config import RouterConfig, Settings, check_economics, load_router_config
from router.errors import NeedsRestart

POLL_S: Final = 2.0
"""The file is looked at this often."""
CHANGEABLE: Final = frozenset({"policy", "partners", "tiers", "promotion", "hang_up", "rewards", "conductor"})
"""Fields beside routing's that may change, of the first two with the exceptions below."""
SPLIT: Final = ("fee_bps", "burn_bps", "pool_bps")
"""Parts of the policy that the contract applies too; a partner's id and share are the others."""

log = logging.getLogger(__name__)
Stamp = tuple[int, int, int]


class Reload:
    """Puts a changed file into force, as a whole or not at all.

    What routing knows can change while the router runs (providers, deployments and their prices, aliases,
    routes, rollouts, retries, breakers, timeouts), and so can tiers, promotion, hang-up, rewards, the
    conductor, the fee for own keys, the wholesale share, partners' names and accounts. A call keeps the
    deployments and the offer that it was quoted with. What receipts and the chain rest on is refused until a
    restart: the rate unless it has a feed, whose file is looked at as well, the split of a charge, partners'
    ids and shares, relay, x402.

    Attributes:
        config: what is in force; it is replaced, never changed.
        refused: why the file as it is now is not in force, None if it is.
        adopters: who else is told of a new one, in this order; none of them may refuse it.
    """

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings, self._catalog = settings, catalog
        self.config = settings.config
        self.refused: ConfigError | None = None
        self.adopters: list[Callable[[RouterConfig], None]] = []
        self._seen = self._stamps()
        self._wanted = asyncio.Event()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks at the file until the block ends."""
        loop = asyncio.get_running_loop()
        # Only the main thread of a process gets signals; elsewhere looking at the file has to do. The loop's
        # handlers would leave the system's default behind, which ends a process that stops in order.
        with suppress(ValueError):
            signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._wanted.set))
        try:
            async with beside(self._watch()):
                yield
        finally:
            with suppress(ValueError):
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def now(self) -> bool:
        """Reads the file and puts it into force.

        Returns: False if it is refused; the log says why, and all stays as it was.
        """
        try:
            config = await asyncio.to_thread(self.read)
            self._catalog.adopt(config, config.vibes_per_usd)
        except ConfigError as error:
            log.error("configuration not reloaded, the old one stays in force: %s", error)
            self.refused = error
            return False
        self.refused = None
        self.config = config
        for adopt in self.adopters:
            adopt(config)
        log.info("configuration reloaded: %d deployments", len(config.deployments))
        return True

    def read(self, text: str | None = None) -> RouterConfig:
        """The file's configuration, or that of a text that may take its place, if it could come into force.

        Raises:
            NeedsRestart: it could after a restart.
            ConfigError: it could not.
        """
        config = load_router_config(self._settings.config_path, self._settings.environ, text)
        if changed := fixed_changes(self.config, config):
            raise NeedsRestart(changed)
        check_economics(config)
        return config

    def _stamps(self) -> list[Stamp | None]:
        """Of the file, and of the one that tells the rate."""
        feed = self.config.rate_feed
        return [_stamp(path) for path in (self._settings.config_path, *([feed.file] if feed else []))]

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):  # wait_for forgets that it is cancelled if the word comes meanwhile
                async with asyncio.timeout(POLL_S):
                    await self._wanted.wait()
            stamps = await asyncio.to_thread(self._stamps)
            if stamps == self._seen and not self._wanted.is_set():
                continue
            self._wanted.clear()
            self._seen = stamps
            try:
                await self.now()
            except Exception as error:  # a fault of one reading must not end all later ones
                log.error("configuration not reloaded: %s", type(error).__name__)


def fixed_changes(old: RouterConfig, new: RouterConfig) -> list[str]:
    """Paths of what differs and cannot change between two calls."""
    own = RouterConfig.model_fields.keys() - RoutingConfig.model_fields.keys()
    fixed = own - CHANGEABLE - ({"vibes_per_usd"} if old.rate_feed is not None else set())
    changed = [name for name in sorted(fixed) if getattr(old, name) != getattr(new, name)]
    changed += [f"policy.{name}" for name in SPLIT if getattr(old.policy, name) != getattr(new.policy, name)]
    before, after = ({one.id: one.bps for one in config.partners} for config in (old, new))
    ids = sorted(before.keys() | after.keys())
    return changed + [f"partner {one}" for one in ids if before.get(one) != after.get(one)]


def _stamp(path: Path) -> Stamp | None:
    """What tells one state of a file from another; None while it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
