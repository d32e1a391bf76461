"""What others signed (EIP-3009 of VIBES), sent to the chain by a wallet of the operator, which pays the gas.

    node.py      JSON-RPC to the chain
    gas.py       what a chain tx offers
    eip3009.py   the authorisation: digest, call data, events
    settler.py   the wallet's transactions, from signing to the receipt

The register of what was signed is in the ledger's database: `router.ledger.payments`. It hands out the
wallet's nonces, so all that the wallet sends goes through it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.config import Settings
    from router.ledger.writer import Ledger
    from router.relay.settler import Settler


@asynccontextmanager
async def relaying(ledger: Ledger, settings: Settings) -> AsyncIterator[Settler | None]:
    """A settler that sees to the end what it sent, until the block ends; None, and nothing loaded, without a
    wallet.

    It asks the chain nothing before it is needed, so a node that is away stops nobody else.
    """
    if settings.config.relay is None:
        yield None
        return
    from router.relay.opening import (
        open_settler,  # a chain wallet's libraries: megabytes that others need not carry
    )

    async with open_settler(ledger, settings) as settler:
        yield settler
