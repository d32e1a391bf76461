"""Opens the relay's settler from the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from mini_llm.errors import ConfigError
from router.beside import beside
from router.config import Settings
from router.ledger.writer import Ledger
from router.relay.eip3009 import Token
from router.relay.node import Node
from router.relay.settler import Settler, Terms

WEI_PER_GWEI: Final = 10**9


@asynccontextmanager
async def open_settler(ledger: Ledger, settings: Settings) -> AsyncIterator[Settler]:
    """A settler that sees to the end what nobody waits for any more, until the block ends.

    Raises:
        ConfigError: there is no wallet to send from.
    """
    config, key = settings.config, settings.relay_key
    if config.relay is None or key is None:
        raise ConfigError("relay", "is not configured")
    relay = config.relay
    terms = Terms(
        token=Token(relay.asset.lower(), relay.asset_name, relay.asset_version, settings.domain.chain_id),
        confirmations=relay.confirmations,
        max_fee_wei=relay.max_fee_gwei * WEI_PER_GWEI,
    )
    async with httpx.AsyncClient(trust_env=False) as http:
        settler = Settler(ledger, Node(http, relay.rpc_url.get_secret_value()), terms, key)
        async with beside(settler.keep()):
            yield settler
