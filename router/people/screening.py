"""Whether a wallet may be served: an operator's hook for sanctions lists and KYC, off unless it is named.

A list of wallets that are refused is in a file, or the answer comes from a service behind a plugin:

    class Compliance(Screener): ...

    [project.entry-points."vibes_rails.screeners"]        # in the plugin's pyproject.toml
    compliance = "my_package:open_screener"               # open_screener(argument: str) -> Screener

and `VIBES_SCREENING=compliance:ARGUMENT`. It is never asked about leaving: withdrawals and exits are between
a wallet and the contract.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from mini_llm.errors import ConfigError
from mini_llm.wallet.address import checksummed, to_checksum_address
from router.people.errors import ScreeningUnavailable, WalletRefused

SETTING: Final = "VIBES_SCREENING"
PLUGINS: Final = "vibes_rails.screeners"
SHOWN_S: Final = 60.0
"""How long pages show the same of a wallet."""
MOST_SHOWN: Final = 10_000
_LOG: Final = logging.getLogger(__name__)


class Moment:
    """What a wallet is about to do."""

    SIGN_IN: Final = "sign_in"
    DEPOSIT: Final = "deposit"
    PAYMENT: Final = "payment"  # x402
    CLAIM: Final = "claim"  # of a partner's share


class Screener(ABC):
    """Says which wallets are refused. It is called in worker threads, several at a time, and may wait."""

    @abstractmethod
    def refuses(self, address: str, moment: str) -> bool:
        """True if the wallet (checksummed address) must not do this; `moment` is one of `Moment`.

        Whatever it raises refuses as well, until it can tell.
        """


class ListedWallets(Screener):
    """Refuses the wallets of a file, one address a line, `#` before remarks; read again when it changes.

    Raises:
        ConfigError: the file cannot be read, or a line is no address.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read()

    def refuses(self, address: str, moment: str) -> bool:
        """See `Screener`."""
        if self._version() != self._known:
            self._read()
        return address in self._refused

    def _version(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise ConfigError(SETTING, f"{self._path} cannot be read ({error.strerror})") from None
        return found.st_mtime_ns, found.st_size

    def _read(self) -> None:
        known = self._version()  # before: what is written while it is read is read again
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ConfigError(SETTING, f"{self._path} cannot be read ({error})") from None
        refused = set()
        for number, line in enumerate(lines, start=1):
            if text := line.partition("#")[0].strip():
                if (address := checksummed(text)) is None:
                    raise ConfigError(SETTING, f"{self._path} line {number}: {text!r} is not an address")
                refused.add(address)
        self._refused, self._known = frozenset(refused), known


class Screening:
    """Asks a screener; without one everybody is admitted."""

    def __init__(self, screener: Screener | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._screener, self._clock = screener, clock
        self._shown: dict[tuple[str, str], tuple[float, bool]] = {}

    async def admit(self, address: str, moment: str) -> None:
        """Lets a wallet pass.

        Args:
            address: with its checksum, or in lower case.
            moment: of `Moment`.

        Raises:
            WalletRefused: it must not do this.
            ScreeningUnavailable: nobody can tell now.
        """
        if self._screener is None:
            return
        try:
            refused = await asyncio.to_thread(self._screener.refuses, to_checksum_address(address), moment)
        except Exception as error:
            _LOG.exception("wallets cannot be screened")
            raise ScreeningUnavailable from error
        if refused:
            raise WalletRefused(moment)

    async def admits(self, address: str, moment: str) -> bool:
        """Whether `admit` let a wallet pass within the last minute: for pages, which show what else there is
        all the same, and which anybody may load as often as he likes."""
        now_s = self._clock()
        known = self._shown.get((address, moment))
        if known is None or now_s - known[0] > SHOWN_S:
            if len(self._shown) >= MOST_SHOWN:
                self._shown.clear()
            known = self._shown[address, moment] = now_s, await self._passes(address, moment)
        return known[1]

    async def _passes(self, address: str, moment: str) -> bool:
        try:
            await self.admit(address, moment)
        except (WalletRefused, ScreeningUnavailable):
            return False
        return True


def open_screening(setting: str | None) -> Screening:
    """What `VIBES_SCREENING` names: `file:PATH` or `NAME:ARGUMENT` of a plugin.

    Raises:
        ConfigError: an unknown plugin, or no usable file.
    """
    if setting is None:
        return Screening(None)
    kind, _, argument = setting.partition(":")
    if kind == "file":
        return Screening(ListedWallets(Path(argument)))
    for plugin in entry_points(group=PLUGINS):
        if plugin.name == kind:
            return Screening(plugin.load()(argument))
    raise ConfigError(SETTING, f"{kind!r} is neither file: nor an installed plugin of {PLUGINS}")
