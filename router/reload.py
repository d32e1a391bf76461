"""The configuration file is read again when it changes, and on SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from mini_llm.config import RoutingConfig
from mini_llm.errors import ConfigError
from mini_llm.routing.catalog import Catalog
from router.config import RouterConfig, Settings, load_router_config

POLL_S: Final = 2.0
"""The file is looked at this often."""

log = logging.getLogger(__name__)
Stamp = tuple[int, int, int]


class Reload:
    """Puts a changed file into force, as a whole or not at all.

    What can change while the router runs is what routing knows: providers, deployments, aliases, routes,
    rollouts, retries, breakers and timeouts. A change of anything else (policy, tiers, promotion, partners,
    rate, hang-up, x402) is refused until a restart: calls in flight were quoted under it.
    """

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings, self._catalog = settings, catalog
        self._seen = _stamp(settings.config_path)
        self._wanted = asyncio.Event()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks at the file until the block ends."""
        loop = asyncio.get_running_loop()
        # Only the main thread of a process gets signals; elsewhere looking at the file has to do.
        with suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(signal.SIGHUP, self._wanted.set)
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            with suppress(ValueError, RuntimeError, NotImplementedError):
                loop.remove_signal_handler(signal.SIGHUP)

    async def now(self) -> bool:
        """Reads the file and puts it into force.

        Returns: False if it is refused; the log says why, and all stays as it was.
        """
        try:
            config = await asyncio.to_thread(
                load_router_config, self._settings.config_path, self._settings.environ
            )
            if changed := _fixed_changes(self._settings.config, config):
                raise ConfigError(", ".join(changed), "cannot change while the router runs: restart it")
            self._catalog.adopt(config)
        except ConfigError as error:
            log.error("configuration not reloaded, the old one stays in force: %s", error)
            return False
        log.info("configuration reloaded: %d deployments", len(config.deployments))
        return True

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), POLL_S)
            stamp = await asyncio.to_thread(_stamp, self._settings.config_path)
            if stamp == self._seen and not self._wanted.is_set():
                continue
            self._wanted.clear()
            self._seen = stamp
            try:
                await self.now()
            except Exception as error:  # a fault of one reading must not end all later ones
                log.error("configuration not reloaded: %s", type(error).__name__)


def _fixed_changes(old: RouterConfig, new: RouterConfig) -> list[str]:
    """Fields that differ and are not routing's."""
    fixed = RouterConfig.model_fields.keys() - RoutingConfig.model_fields.keys()
    return sorted(name for name in fixed if getattr(old, name) != getattr(new, name))


def _stamp(path: Path) -> Stamp | None:
    """What tells one state of a file from another; None while it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
