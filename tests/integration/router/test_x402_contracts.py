"""Contract wallets that say one thing to a simulation and another on chain: what they may burn has an end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from router_upstream import Upstream
from support.anvil import double, running_anvil
from support.stack import VIBES, Stack
from x402_world import Shop, body_of, make_shop, marker

OF_PAYER, OF_CONTRACTS = 2, 3


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_anvil() as anvil:
        yield Stack(anvil)


@pytest.fixture
def shop(upstream: Upstream, stack: Stack, tmp_path: Any) -> Iterator[Shop]:
    limits = {"payer_reverts": OF_PAYER, "contract_reverts": OF_CONTRACTS}
    made = make_shop(tmp_path, upstream, stack, settle_timeout_s=1, **limits)
    yield made
    stack.anvil.rpc("evm_setAutomine", True)
    made.world.router.stop()
    made.world.ledger.close()


def two_faced(stack: Stack, sees_price: bool) -> Any:
    """The contract, with tokens."""
    abi, bytecode = double("TwoFacedWallet")
    factory = stack.web3.eth.contract(abi=abi, bytecode=bytecode)
    address = stack.send(stack.owner, factory.constructor(sees_price))["contractAddress"]
    stack.send(stack.owner, stack.token.functions.mint(address, VIBES))
    return stack.web3.eth.contract(address, abi=abi)


def call_of(shop: Shop, wallet: Any) -> tuple[dict[str, Any], str]:
    body = body_of("plain", marker(), max_tokens=1)
    return body, shop.header(shop.wallet(0), body, **{"from": wallet.address})


def sent(shop: Shop, pending: bool = False) -> int:
    return shop.stack.web3.eth.get_transaction_count(
        shop.facilitator.address, "pending" if pending else "latest"
    )


def outcome(answer: httpx.Response) -> tuple[int, str]:
    assert answer.status_code != 200, answer.text
    return answer.status_code, answer.json()["error"]["code"]


def test_a_simulation_offers_what_the_transaction_does(shop: Shop, stack: Stack) -> None:
    wallet = two_faced(stack, sees_price=True)
    status, code = outcome(shop.post(*call_of(shop, wallet)))
    assert (status, sent(shop)) == (402, 0), code


def test_what_reverts_is_sent_once_and_so_often_a_day(shop: Shop, stack: Stack) -> None:
    wallets = [two_faced(stack, sees_price=False) for _ in range(2)]
    first, other = [[call_of(shop, wallet) for _ in range(OF_PAYER + 1)] for wallet in wallets]
    payer = shop.wallet()
    body = body_of("plain", marker(), max_tokens=1)
    by_key = shop.header(payer, body)
    stack.anvil.rpc("evm_setAutomine", False)
    with ThreadPoolExecutor() as pool:  # on their way, they count
        answers = sorted(outcome(answer) for answer in pool.map(lambda one: shop.post(*one), first))
    assert answers == [(429, "too_often")] + OF_PAYER * [(503, "payment_pending")]
    assert [outcome(shop.post(*one)) for one in other] == [
        *(OF_CONTRACTS - OF_PAYER) * [(503, "payment_pending")],
        *(2 * OF_PAYER + 1 - OF_CONTRACTS) * [(429, "too_often")],
    ]
    assert sent(shop, pending=True) == OF_CONTRACTS
    for wallet in wallets:
        stack.anvil.rpc("anvil_setStorageAt", wallet.address, hex(0), "0x" + (1).to_bytes(32, "big").hex())
    stack.anvil.rpc("evm_mine")
    stack.anvil.rpc("evm_setAutomine", True)
    for wallet in wallets:
        stack.anvil.rpc("anvil_setStorageAt", wallet.address, hex(0), "0x" + bytes(32).hex())
    again = [outcome(shop.post(*one)) for one in (*first, *other) for _ in range(2)]
    assert set(again) == {(402, "transaction_failed"), (429, "too_often")}
    assert again.count((402, "transaction_failed")) == 2 * OF_CONTRACTS
    assert sent(shop, pending=True) == OF_CONTRACTS
    assert sum(shop.tokens(wallet.address) for wallet in wallets) == 2 * VIBES
    assert shop.post(body, by_key).status_code == 200  # those who sign with a key pay on


def test_an_address_whose_payments_revert_has_to_wait(
    upstream: Upstream, stack: Stack, tmp_path: Any
) -> None:
    shop = make_shop(tmp_path, upstream, stack, settle_timeout_s=5, address_reverts=1)
    try:
        wallet, honest = two_faced(stack, sees_price=False), shop.wallet()
        body, header = call_of(shop, wallet)
        mine = body_of("plain", marker(), max_tokens=1)
        by_key = shop.header(honest, mine)
        stack.anvil.rpc("evm_setAutomine", False)
        with ThreadPoolExecutor() as pool:
            calling = pool.submit(shop.post, body, header)
            while not sent(shop, pending=True):
                pass
            slot = "0x" + (1).to_bytes(32, "big").hex()
            stack.anvil.rpc("anvil_setStorageAt", wallet.address, hex(0), slot)
            stack.anvil.rpc("evm_mine")
            assert outcome(calling.result()) == (402, "transaction_failed")
        assert outcome(shop.post(mine, by_key)) == (429, "too_often")
        assert sent(shop, pending=True) == 1
    finally:
        stack.anvil.rpc("evm_setAutomine", True)
        shop.world.router.stop()
        shop.world.ledger.close()
