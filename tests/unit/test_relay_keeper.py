"""The keeper of the relay's transactions: one that the node will not speak of does not hold up the others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account

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


async def test_what_another_wallet_signed_is_followed_and_not_replaced() -> None:
    """The operator has changed the wallet; that wallet's nonces say nothing of this one's."""
    fields = {
        "to": TERMS.token.address,
        "value": 0,
        "gas": 60_000,
        "gasPrice": 1,
        "nonce": 5,
        "chainId": 31337,
    }
    raw = bytes(Account.from_key(b"\2" * 32).sign_transaction(fields).raw_transaction)
    payment: Any = SimpleNamespace(
        id="before", state=PaymentState.SENT, tx_hash="0xbefore", tx_nonce=5, raw_tx=raw, sent_s=0
    )
    said = {"eth_getTransactionReceipt": None, "eth_sendRawTransaction": "0xbefore"}
    asked: list[tuple[str, Any]] = []

    async def call(method: str, *params: Any) -> Any:
        asked.append((method, params[0]))
        return said[method]

    node: Any = SimpleNamespace(call=call)
    ledger: Any = None  # nothing is written
    assert await Settler(ledger, node, TERMS, b"\1" * 32).follow(payment) is payment
    assert asked == [("eth_getTransactionReceipt", "0xbefore"), ("eth_sendRawTransaction", "0x" + raw.hex())]


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
