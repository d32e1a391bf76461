"""Which of a chain transaction's logs say that an authorisation moved its money."""

from __future__ import annotations

from typing import Any

from router.relay.eip3009 import TRANSFER, executed, used_topics

TOKEN = "0x" + "70" * 20
PAYER, SHOP = "0x" + "a1" * 20, "0x" + "5b" * 20
FIRST, SECOND = b"\1" * 32, b"\2" * 32


def used(nonce: bytes) -> dict[str, Any]:
    return {"address": TOKEN, "topics": used_topics(PAYER, nonce), "data": "0x"}


def transfer(payee: str, amount_base: int, token: str = TOKEN) -> dict[str, Any]:
    topics = [TRANSFER, *("0x" + address[2:].rjust(64, "0") for address in (PAYER, payee))]
    return {"address": token, "topics": topics, "data": f"0x{amount_base:064x}"}


def paid(nonce: bytes, *logs: dict[str, Any]) -> bool:
    return executed(logs, TOKEN, PAYER, nonce, SHOP, 5)


def test_a_transfer_pays_what_its_own_authorisation_was_for() -> None:
    assert paid(FIRST, used(FIRST), transfer(SHOP, 5))
    assert not paid(FIRST, used(FIRST), transfer(SHOP, 4))
    assert not paid(FIRST, used(FIRST), transfer(SHOP, 5, token=SHOP))
    assert not paid(FIRST, transfer(SHOP, 5))


def test_one_transfer_pays_for_one_call() -> None:
    """The payer signed a second order under the first one's nonce, to itself, and executed both at once."""
    logs = [used(FIRST), transfer(PAYER, 5), used(SECOND), transfer(SHOP, 5)]
    assert (paid(FIRST, *logs), paid(SECOND, *logs)) == (False, True)
    logs = [used(SECOND), transfer(SHOP, 5), used(FIRST), transfer(PAYER, 5)]
    assert (paid(FIRST, *logs), paid(SECOND, *logs)) == (False, True)
