"""How the wallet is: its router, its key, and what is left to spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mini_llm.config_sdk import WALLET
from mini_llm.costs import Cost
from mini_llm.errors import ProviderError
from mini_llm.http_transport import HttpTransport
from mini_llm.price import plausible
from mini_llm.probe import ASKING, Probe, probe
from mini_llm.providers.wire import Endpoint
from mini_llm.wallet.config import WalletConfig

VIBES: Final = "vibes"


@dataclass(frozen=True, slots=True)
class Credits:
    """How the wallet is.

    Attributes:
        probe: how its router answers.
        account: the account that pays, None if the router has none or does not tell.
        available: what can be spent at par, None if that is not known.
    """

    probe: Probe
    account: int | None = None
    available: Cost | None = None

    @property
    def empty(self) -> bool:
        """Nothing is left to spend."""
        return self.available is not None and self.available.base == 0

    @property
    def healthy(self) -> bool:
        """It can pay for a call."""
        return self.probe.healthy and not self.empty


async def look_at(wallet: WalletConfig) -> Credits:
    """Asks the wallet's router; one without an address is told as unreachable."""
    if wallet.base_url is None:
        return Credits(Probe(WALLET, "unreachable", "has no endpoint: run `mini-llm login --url https://…`"))
    asked = wallet.as_provider
    if asked is None or wallet.api_key is None:
        return Credits(Probe(WALLET, "key refused", "is not signed in: run `mini-llm login`"))
    http = HttpTransport()
    try:
        told = await probe(WALLET, asked, http)
        if wallet.type != VIBES or not told.healthy:
            return Credits(told)
        headers = {"authorization": f"Bearer {wallet.api_key.get_secret_value()}"}
        fields = await Endpoint(WALLET, http, headers, ASKING).get_json(f"{wallet.base_url}/account")
    except ProviderError:
        return Credits(told)
    finally:
        await http.aclose()
    return _read(told, fields if isinstance(fields, dict) else {})


def _read(told: Probe, fields: dict[str, Any]) -> Credits:
    """The account of a router's answer, as far as it is one."""
    text = fields.get("available_base")
    if not isinstance(text, str) or not text.isascii() or not text.isdigit():
        return Credits(told)
    return Credits(told, plausible(fields.get("account")), Cost(int(text)))
