"""What others signed (EIP-3009 of VIBES), sent to the chain by a wallet of the operator, which pays the gas.

    node.py      JSON-RPC to the chain
    eip3009.py   the authorisation: digest, call data, events
    rehearsal.py what the chain says before something is sent
    settler.py   the wallet's transactions, from signing to the receipt
    deposit.py   a deposit as a wallet signs it
    deposits.py  deposits: checked, then sent once
    refusals.py  what the contracts say of one that they would not take

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
    from router.relay.deposits import DepositRelay
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
    # a chain wallet's libraries: megabytes that others need not carry
    from router.relay.settler import open_settler

    async with open_settler(ledger, settings) as settler:
        yield settler


def relay_deposits(ledger: Ledger, settings: Settings, settler: Settler | None) -> DepositRelay | None:
    """What sends deposits; None if the operator pays for nobody's."""
    relay = settings.config.relay
    if settler is None or relay is None or relay.deposits is None:
        return None
    from router.relay.deposits import DepositRelay

    return DepositRelay(ledger, settler, settings.domain.settlement, relay.deposits)
