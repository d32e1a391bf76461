"""The keeper of the relay's transactions: one that the node will not speak of does not hold up the others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from router.ledger.payment_table import PaymentState
from router.relay.eip3009 import Token
from router.relay.node import NodeRefused
from router.relay.settler import Settler, Terms

TERMS = Terms(Token("0x" + "11" * 20, "VIBES", "1", 31337), confirmations=1, max_fee_wei=1)


class Node:
    """Refuses to speak of one transaction."""

    def __init__(self) -> None:
        self.asked_for_last = asyncio.Event()

    async def call(self, method: str, *params: Any) -> Any:
        if params == ("0xfirst",):
            raise NodeRefused(method, "the range of blocks is too wide", None)
        self.asked_for_last.set()
        await asyncio.Event().wait()


async def test_a_payment_that_cannot_be_followed_holds_up_no_other() -> None:
    sent = [
        SimpleNamespace(id=name, state=PaymentState.SENT, tx_hash=f"0x{name}") for name in ("first", "last")
    ]
    ledger: Any = SimpleNamespace(read=lambda _: sent)
    node: Any = Node()
    keeping = asyncio.create_task(Settler(ledger, node, TERMS, b"\1" * 32).keep())
    async with asyncio.timeout(30):
        await node.asked_for_last.wait()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
