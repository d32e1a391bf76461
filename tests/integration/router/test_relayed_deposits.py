"""Deposits that the router sends: one signature, one transaction, whatever breaks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
from deposit_world import KEY_COMMIT, LEAST_BASE, Depositor, Harbour, make_harbour
from page_world import Browser
from people_world import Town
from router_upstream import Upstream
from support.anvil import running_anvil
from support.stack import VIBES, Stack, labelled_account
from x402_world import Gate

from mini_llm.wallet.field import P
from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from router.people.desk import MAX_ASKED
from router.people.doorstep import WINDOW_S

HIGH_FEES = {"maxFeePerGas": 10**13, "maxPriorityFeePerGas": 10**12}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_anvil() as anvil:
        yield Stack(anvil)


@pytest.fixture(scope="module")
def harbour(
    upstream: Upstream, stack: Stack, gate: Gate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harbour]:
    made = make_harbour(tmp_path_factory.mktemp("harbour"), upstream, stack, rpc_url=gate.url)
    yield made
    made.close()


def impersonated(stack: Stack, address: str) -> None:
    """A wallet that can send for itself, with coin."""
    stack.anvil.rpc("anvil_impersonateAccount", address)
    stack.anvil.rpc("anvil_setBalance", address, hex(10**21))


def test_one_signature_opens_an_account_and_a_later_one_adds_to_it(harbour: Harbour) -> None:
    person = harbour.depositor()
    told = person.deposit(person.order(10 * VIBES)).json()
    assert (told["state"], told["amount_base"]) == ("settled", str(10 * VIBES))
    receipt = harbour.stack.web3.eth.get_transaction_receipt(told["tx_hash"])
    assert receipt["from"] == harbour.relay.address
    idx = harbour.stack.settlement.functions.indexOf(person.address).call()
    owner, pending, *_ = harbour.stack.settlement.functions.account(idx).call()
    assert (owner, pending) == (person.address, 10 * VIBES)
    assert harbour.stack.settlement.functions.account(idx).call()[6] == KEY_COMMIT
    assert harbour.stack.web3.eth.get_balance(person.address) == 0
    assert person.deposit(person.order(LEAST_BASE, 0)).json()["state"] == "settled"
    assert person.pending_base() == 10 * VIBES + LEAST_BASE
    listed = person.ask("GET", "/deposits").json()
    assert [one["state"] for one in listed["data"]] == ["settled"] * 2
    assert person.shown(told["deposit"]) == told
    terms = listed["relay"]
    assert terms["settlement"] == harbour.stack.settlement.address
    assert terms["least_base"] == str(LEAST_BASE)
    stranger = harbour.depositor()
    assert stranger.ask("GET", f"/deposits/{told['deposit']}").status_code == 404
    assert stranger.ask("GET", "/deposits").json()["data"] == []


def test_a_screened_wallet_neither_deposits_nor_signs_in_and_still_sees_its_way_out(harbour: Harbour) -> None:
    person, before = harbour.depositor(), harbour.sent()
    browser = Browser(person)
    harbour.refused.write_text(f"{person.address.lower()}\n")
    try:
        answer = person.deposit(person.order())
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wallet_refused")
        page = browser.get("/wallet/money")
        assert "takes no deposits of this wallet" in page
        assert 'id="deposit"' not in page
        assert 'id="withdraw"' in page
        assert harbour.sent() == before
        with pytest.raises(AssertionError, match="wallet_refused"):
            person.sign_in()
    finally:
        harbour.refused.write_text("")
    assert person.deposit(person.order()).json()["state"] == "settled"


def test_replays_on_two_routers_are_one_deposit(harbour: Harbour) -> None:
    other = harbour.world.router.beside("other")
    other.start()
    try:
        urls = [harbour.world.router.url, other.url]
        person, others = harbour.depositor(), [harbour.depositor() for _ in range(4)]
        order, before = person.order(), harbour.sent()
        with ThreadPoolExecutor(16) as pool:
            replays = [pool.submit(person.deposit, order, urls[i % 2]) for i in range(10)]
            singles = [pool.submit(one.deposit, one.order(), urls[i % 2]) for i, one in enumerate(others)]
        answers = [answer.result().json() for answer in replays]
        assert {answer["tx_hash"] for answer in answers} == {answers[0]["tx_hash"]}
        assert person.until(answers[0]["deposit"], "settled")["state"] == "settled"
        for one, answer in zip(others, singles, strict=True):
            assert one.until(answer.result().json()["deposit"], "settled")["state"] == "settled"
        assert harbour.sent() == before + 5
        assert person.pending_base() == 10 * VIBES
    finally:
        other.stop()


STEPS = {
    "not stored": "eth_getBlockByNumber",
    "not broadcast": "eth_sendRawTransaction",
    "not seen": "eth_getTransactionReceipt",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_router_neither_loses_nor_repeats_a_deposit(harbour: Harbour, gate: Gate, step: str) -> None:
    person, before = harbour.depositor(), harbour.sent()
    order = person.order()
    gate.shut_for(STEPS[step])
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(person.deposit, order)
        assert gate.reached.wait(20)
        harbour.world.router.kill()
        with suppress(httpx.HTTPError):
            sending.result()
    gate.open()
    harbour.world.router.start()
    if step == "not stored":
        assert not person.ask("GET", "/deposits").json()["data"]
        person.deposit(order)
    [listed] = person.ask("GET", "/deposits").json()["data"]  # without the client, it is seen to the end
    assert person.until(listed["deposit"], "settled")["state"] == "settled"
    assert person.deposit(order).json()["tx_hash"] == listed["tx_hash"]
    assert person.pending_base() == 10 * VIBES
    assert harbour.sent() == before + 1


@pytest.mark.usefixtures("unmined")
def test_a_stuck_deposit_is_replaced_by_one_that_offers_more(harbour: Harbour, stack: Stack) -> None:
    person, before = harbour.depositor(mined=False), harbour.sent()
    first = person.deposit(person.order()).json()
    assert first["state"] == "sent"
    with harbour.world.ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE x402_payment SET sent_s = sent_s - 100 WHERE state = 'sent'")
    deadline = time.monotonic() + 90
    while person.shown(first["deposit"])["tx_hash"] == first["tx_hash"] and time.monotonic() < deadline:
        time.sleep(0.2)
    [row] = harbour.rows(person)
    while not harbour.waits(row) and time.monotonic() < deadline:  # stored first, broadcast after
        time.sleep(0.1)
    stack.anvil.rpc("evm_mine")
    told = person.until(first["deposit"], "settled")
    assert told["tx_hash"] == row.tx_hash != first["tx_hash"]
    assert harbour.sent() == before + 1
    assert person.pending_base() == 10 * VIBES


@pytest.mark.usefixtures("unmined")
def test_a_deposit_that_somebody_else_sends_first_counts_all_the_same(harbour: Harbour, stack: Stack) -> None:
    person = harbour.depositor(mined=False)
    order = person.order()
    first = person.deposit(order).json()
    assert first["state"] == "sent"
    fees = HIGH_FEES | {"gas": 300_000}
    impersonated(stack, stack.relayer.address)
    hurried = "0x" + person.direct(order).transact({"from": stack.relayer.address} | fees).hex()
    stack.anvil.rpc("evm_mine")
    told = person.until(first["deposit"], "settled")
    assert told["tx_hash"] == hurried != first["tx_hash"]
    assert person.pending_base() == 10 * VIBES


def test_a_deposit_that_somebody_else_has_sent_is_found_and_costs_nothing(
    harbour: Harbour, stack: Stack
) -> None:
    person, before = harbour.depositor(), harbour.sent()
    order = person.order()
    sent = stack.send(stack.relayer, person.direct(order))
    told = person.deposit(order).json()
    assert (told["state"], told["tx_hash"]) == ("settled", "0x" + sent["transactionHash"].hex())
    assert harbour.sent() == before
    assert person.pending_base() == 10 * VIBES


@pytest.mark.usefixtures("unmined")
def test_a_wallet_that_empties_itself_first_costs_one_transaction_and_signs_anew(
    harbour: Harbour, stack: Stack
) -> None:
    person, before = harbour.depositor(mined=False), harbour.sent()
    order = person.order()
    first = person.deposit(order).json()
    impersonated(stack, person.address)
    stack.token.functions.transfer(stack.owner.address, 100 * VIBES).transact(
        {"from": person.address} | HIGH_FEES
    )
    stack.anvil.rpc("evm_mine")
    assert person.until(first["deposit"], "failed")["tx_hash"] is None
    stack.anvil.rpc("evm_setAutomine", True)
    stack.send(stack.owner, stack.token.functions.mint(person.address, 100 * VIBES))
    assert person.deposit(order).json()["state"] == "failed"
    assert harbour.sent() == before + 1
    assert person.deposit(person.order()).json()["state"] == "settled"


def _refused(code: str, order: Callable[[Depositor], dict[str, Any]]) -> Any:
    return pytest.param(code, order, id=order.__name__)


def on_another_chain(person: Depositor) -> dict[str, Any]:
    return person.order(domain={"chainId": 1})


def to_another_contract(person: Depositor) -> dict[str, Any]:
    return person.order(to=person.stack.owner.address)


def of_another_wallet(person: Depositor) -> dict[str, Any]:
    return person.order(signer=labelled_account("somebody else"))


def with_another_key(person: Depositor) -> dict[str, Any]:
    return person.order() | {"key_commit": "5"}


def too_small_for_us(person: Depositor) -> dict[str, Any]:
    return person.order(LEAST_BASE - 1)


def too_small_for_a_first(person: Depositor) -> dict[str, Any]:
    return person.order(LEAST_BASE)


def too_large(person: Depositor) -> dict[str, Any]:
    return person.order(MAX_AMOUNT_BASE + 1)


def more_than_it_has(person: Depositor) -> dict[str, Any]:
    return person.order(101 * VIBES)


def without_a_key(person: Depositor) -> dict[str, Any]:
    return person.order(key_commit=0)


def with_no_field_element(person: Depositor) -> dict[str, Any]:
    return person.order(key_commit=P)


def too_late(person: Depositor) -> dict[str, Any]:
    return person.order(validBefore=int(time.time()) + 5)


def too_early(person: Depositor) -> dict[str, Any]:
    return person.order(validAfter=int(time.time()) + 60)


def for_too_long(person: Depositor) -> dict[str, Any]:
    return person.order(validBefore=int(time.time()) + 100_000)


def cancelled(person: Depositor) -> dict[str, Any]:
    order = person.order()
    nonce = person.stack.web3.keccak(KEY_COMMIT.to_bytes(32, "big") + bytes.fromhex(order["salt"][2:]))
    domain = {
        "name": "VIBES",
        "version": "1",
        "chainId": 31337,
        "verifyingContract": person.stack.token.address,
    }
    kinds = {
        "CancelAuthorization": [
            {"name": "authorizer", "type": "address"},
            {"name": "nonce", "type": "bytes32"},
        ]
    }
    signed = person.wallet.sign_typed_data(domain, kinds, {"authorizer": person.address, "nonce": nonce})
    cancel = person.stack.token.functions.cancelAuthorization(person.address, nonce, bytes(signed.signature))
    person.stack.send(person.stack.relayer, cancel)
    return order


@pytest.mark.parametrize(
    ("code", "order"),
    [
        _refused("bad_signature", on_another_chain),
        _refused("bad_signature", to_another_contract),
        _refused("bad_signature", of_another_wallet),
        _refused("bad_signature", with_another_key),
        _refused("deposit_too_small", too_small_for_us),
        _refused("deposit_too_small", too_small_for_a_first),
        _refused("bad_amount", too_large),
        _refused("too_few_tokens", more_than_it_has),
        _refused("wrong_session_key", without_a_key),
        _refused("wrong_session_key", with_no_field_element),
        _refused("expired", too_late),
        _refused("not_valid_yet", too_early),
        _refused("valid_too_long", for_too_long),
        _refused("authorization_used", cancelled),
    ],
)
def test_what_the_contract_would_not_take_is_refused_and_costs_nothing(
    harbour: Harbour, code: str, order: Callable[[Depositor], dict[str, Any]]
) -> None:
    person, before = harbour.depositor(), harbour.sent()
    answer = person.deposit(order(person))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code), answer.text
    assert harbour.sent() == before
    assert not person.ask("GET", "/deposits").json()["data"]
    if code == "too_few_tokens":
        assert "the wallet has 100.000000 VIBES, the deposit is 101.000000" in answer.text


def test_a_paused_contract_is_told(harbour: Harbour, stack: Stack) -> None:
    person = harbour.depositor()
    stack.send(stack.guardian, stack.settlement.functions.pause())
    try:
        assert person.deposit(person.order()).json()["error"]["code"] == "paused"
    finally:
        stack.send(stack.guardian, stack.settlement.functions.unpause())


def test_a_wallet_has_so_many_a_day(harbour: Harbour, gate: Gate) -> None:
    person = harbour.depositor()
    orders = [person.order(key_commit=KEY_COMMIT if first else 0) for first in (True, False, False, False)]
    assert [person.deposit(order).status_code for order in orders[:3]] == [200, 200, 200]
    before = gate.asked
    assert person.deposit(orders[3]).json()["error"]["code"] == "too_many_deposits"
    assert gate.asked == before  # what is too many is known without the chain
    assert person.deposit(orders[0]).json()["state"] == "settled"  # a replay is no new one
    assert person.pending_base() == 30 * VIBES


def test_an_address_may_have_the_node_asked_so_often(harbour: Harbour, gate: Gate) -> None:
    person = harbour.depositor(0)
    order = person.order() | {"signature": "0x" + "1" * 130}
    here = {"x-forwarded-for": "203.0.113.7"}
    codes = {person.deposit(order, **here).json()["error"]["code"] for _ in range(MAX_ASKED)}
    before = gate.asked
    refused = person.deposit(order, **here)
    assert (codes, refused.status_code, refused.json()["error"]["code"]) == (
        {"bad_signature"},
        429,
        "too_often",
    )
    assert 0 < int(refused.headers["retry-after"]) <= WINDOW_S
    assert gate.asked == before
    assert person.deposit(order, **{"x-forwarded-for": "203.0.113.8"}).status_code == 422


def test_a_node_that_is_away_is_told_and_nothing_is_kept(harbour: Harbour, gate: Gate) -> None:
    person = harbour.depositor()
    gate.shut_for("eth_estimateGas")
    answer = person.deposit(person.order())
    gate.open()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "relay_unavailable")
    assert not person.ask("GET", "/deposits").json()["data"]


def test_what_is_no_deposit_is_told(harbour: Harbour) -> None:
    person = harbour.depositor(0)
    order = person.order()
    for change in ({"salt": "0x12"}, {"signature": "0x"}, {"key_commit": "-1"}, {"key_commit": str(2**256)}):
        assert person.deposit(order | change).status_code == 400
    assert person.ask("GET", "/deposits/" + secrets.token_hex(32)).status_code == 404
    assert person.deposit(order | {"more": 1}).status_code == 400


def test_where_nothing_is_sent_the_wallet_deposits_itself(town: Town) -> None:
    person = town.visitor()
    assert person.ask("GET", "/deposits").json() == {"relay": None, "data": []}
    body = {"amount_base": "1", "key_commit": "0", "salt": "0x" + "0" * 64, "valid_before_s": 1}
    refused = person.ask("POST", "/deposits", **body, signature="0x" + "0" * 130)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "relay_off")
