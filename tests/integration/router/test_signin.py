"""Signing in over HTTP: real wallets, a real contract wallet on anvil, sessions that end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from people_world import PUBLIC_URL, Person, Town, make_town, message, signed, stamp
from support.anvil import Anvil, double

from router.people.desk import MAX_ASKED

WALLET = Account.create("sign-in tests")


def fresh_nonce(town: Town) -> str:
    nonce: str = httpx.get(f"{town.url}/signin/nonce").json()["nonce"]
    return nonce


def post(town: Town, text: str, signature: str) -> httpx.Response:
    return httpx.post(f"{town.url}/signin", json={"message": text, "signature": signature}, timeout=30)


def test_the_nonce_comes_with_what_a_message_must_say(town: Town) -> None:
    told = httpx.get(f"{town.url}/signin/nonce").json()
    assert (told["domain"], told["uri"], told["chain_id"]) == ("router.test", PUBLIC_URL, 31337)
    assert told["nonce"].isalnum()
    assert 0 < told["expires_s"] - time.time() <= 600


def test_a_wallet_signs_in_looks_around_and_signs_out(town: Town) -> None:
    person = town.person()
    assert person.user is not None
    listed = person.ask("GET", "/sessions").json()["data"]
    assert [entry["address"] for entry in listed] == [person.address]
    assert person.token not in str(listed)
    assert person.ask("GET", "/account").json()["account"] == person.user.idx
    assert person.ask("POST", "/signout").status_code == 204
    assert person.ask("GET", "/account").status_code == 401


def test_sessions_are_ended_one_by_one_and_only_by_their_wallet(town: Town) -> None:
    person, stranger = town.person(), town.person()
    first = person.token
    person.sign_in()
    ids = {entry["session"] for entry in person.ask("GET", "/sessions").json()["data"]}
    mine = person.ask("GET", "/sessions", first).json()["data"]
    assert {entry["session"] for entry in mine} == ids
    assert len(ids) == 2
    for session in ids:
        assert stranger.ask("DELETE", f"/sessions/{session}").status_code == 404
    assert person.ask("GET", "/account", first).status_code == 200
    oldest = mine[0]["session"]
    assert person.ask("DELETE", f"/sessions/{oldest}").status_code == 204
    deadline = time.monotonic() + 10
    while person.ask("GET", "/account", first).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert person.ask("GET", "/account", first).status_code == 401
    assert person.ask("GET", "/account").status_code == 200


def test_a_wallet_without_an_account_sees_how_to_deposit_and_cannot_call(town: Town) -> None:
    visitor = town.visitor()
    told = visitor.ask("GET", "/signin/deposit").json()
    assert told["accounts"] == []
    assert told["settlement"].startswith("0x")
    for method, path in (("GET", "/account"), ("GET", "/keys"), ("GET", "/models")):
        refused = visitor.ask(method, path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "no_account"), path
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}]}
    assert visitor.ask("POST", "/chat/completions", **body).status_code == 403


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"domain": "evil.test"}, "evil.test"),
        ({"domain": "router.test:81"}, "router.test:81"),
        ({"scheme": "https"}, "is for https://router.test, this router is http://router.test"),
        ({"uri": "http://evil.test"}, "URI"),
        ({"uri": "https://router.test"}, "URI"),
        ({"uri": "http://router.test@evil.test/"}, "URI"),
        ({"chain_id": 1}, "chain 1"),
        ({"issued_at": {"minutes": 12}}, "too long ago"),
        ({"issued_at": {"minutes": -3}}, "future"),
        ({"expiration_time": {"minutes": 2}}, "expired"),
        ({"not_before": {"minutes": -3}}, "not valid yet"),
        ({"nonce": "abcdefgh12345678"}, "not issued"),
    ],
)
def test_a_message_for_another_place_or_time_is_refused(
    town: Town, changes: dict[str, Any], word: str
) -> None:
    timed = {name: stamp(**ago) if isinstance(ago, dict) else ago for name, ago in changes.items()}
    text = message(WALLET.address, **({"nonce": fresh_nonce(town)} | timed))
    refused = post(town, text, signed(WALLET, text))
    assert refused.status_code == 401
    assert word in refused.json()["error"]["message"]


def test_clocks_may_differ_by_less_than_a_minute(town: Town) -> None:
    soon = {"issued_at": stamp(seconds=-40), "not_before": stamp(seconds=-40)}
    for changes in (soon, {"expiration_time": stamp(seconds=40)}, {"uri": PUBLIC_URL + "/somewhere?x=1"}):
        text = message(WALLET.address, fresh_nonce(town), **changes)
        assert post(town, text, signed(WALLET, text)).status_code == 200


def test_a_session_ends_with_its_message(town: Town) -> None:
    def lasts_s(**changes: str) -> float:
        text = message(WALLET.address, fresh_nonce(town), **changes)
        opened = post(town, text, signed(WALLET, text))
        assert opened.status_code == 200, opened.text
        return float(opened.json()["expires_s"]) - time.time()

    assert 6 * 86_400 < lasts_s() <= 7 * 86_400
    assert 6 * 86_400 < lasts_s(expiration_time=stamp(days=-30)) <= 7 * 86_400
    assert 90 < lasts_s(expiration_time=stamp(seconds=-100)) <= 161  # a minute of clock skew
    assert 0 < lasts_s(expiration_time=stamp(seconds=40)) <= 21


def test_a_nonce_opens_one_session_however_often_it_is_sent(town: Town) -> None:
    text = message(WALLET.address, fresh_nonce(town))
    signature = signed(WALLET, text)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(town, text, signature), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert "used before" in next(a.text for a in answers if a.status_code == 401)


def test_a_signature_by_another_wallet_or_over_another_text_is_refused(town: Town) -> None:
    text = message(WALLET.address, fresh_nonce(town))
    other = Account.create("somebody else")
    for signature in (signed(other, text), signed(WALLET, text + " "), "0x", "0x00", "0x" + "11" * 65):
        refused = post(town, text, signature)
        assert refused.status_code == 401, signature
    assert post(town, text, "zz").status_code == 400
    assert post(town, text, signed(WALLET, text)).status_code == 200  # a failed try does not use it up


def test_only_the_chain_knows_whether_a_contract_signed_and_an_address_has_it_asked_so_often(
    new_world: Any, tmp_path: Path
) -> None:
    town = make_town(new_world, tmp_path, VIBES_TRUSTED_PROXIES="127.0.0.1")
    text = message(WALLET.address, fresh_nonce(town))
    sent = {"message": text, "signature": "0x" + "11" * 65}

    def status(address: str, **changes: str) -> int:
        headers = {"x-forwarded-for": address}
        return httpx.post(f"{town.url}/signin", json=sent | changes, headers=headers).status_code

    assert {status("203.0.113.7") for _ in range(MAX_ASKED)} == {401}
    assert [status("203.0.113.7"), status("203.0.113.8")] == [429, 401]
    assert status("203.0.113.7", signature=signed(WALLET, text)) == 200  # a key's signature needs no chain


def test_nothing_that_was_sent_comes_back_in_an_error(town: Town) -> None:
    secret = "sk-secret-of-somebody"
    for body in ({"message": 5, "signature": secret}, {"message": "x", "signature": "0x", secret: 1}):
        refused = httpx.post(f"{town.url}/signin", json=body)
        assert refused.status_code == 400
        assert secret not in refused.text
    assert "beside message, signature" in refused.json()["error"]["message"]
    assert secret not in httpx.post(f"{town.url}/signin", json={"message": {"a": secret}}).text


def test_without_a_public_url_nobody_signs_in(world: Any) -> None:
    refused = httpx.get(f"{world.router.url}/signin/nonce")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "sign_in_off")


def test_a_contract_wallet_signs_in(new_world: Any, anvil: Anvil, tmp_path: Path) -> None:
    town = make_town(new_world, tmp_path, VIBES_RPC_URL=anvil.url)
    key = Account.create("key of a contract wallet")
    abi, bytecode = double("ContractWallet")
    sender = anvil.web3.eth.accounts[0]
    factory = anvil.web3.eth.contract(abi=abi, bytecode=bytecode)
    sent = factory.constructor(key.address).transact({"from": sender})
    contract = anvil.web3.eth.wait_for_transaction_receipt(sent, timeout=30)["contractAddress"]
    assert contract is not None

    def try_with(address: str, signer: Any, suffix: str = "") -> httpx.Response:
        text = message(address, fresh_nonce(town))
        return post(town, text, signed(signer, text) + suffix)

    opened = try_with(contract, key)
    assert opened.status_code == 200, opened.text
    assert opened.json()["address"] == contract
    assert try_with(contract, Account.create("stranger")).status_code == 401
    assert try_with(Account.create("no contract there").address, key).status_code == 401
    other = Account.create("a contract that says 42 to everything").address
    anvil.rpc("anvil_setCode", other, "0x602a60005260206000f3")
    assert try_with(other, key).status_code == 401
    undeployed = try_with(contract, key, "6492" * 16)
    assert undeployed.status_code == 401
    assert "EIP-6492" in undeployed.json()["error"]["message"]
    assert Person(town.url).sign_in().token  # a plain key still does
    anvil.process.terminate()
    anvil.process.wait(10)
    down = try_with(contract, key)
    assert (down.status_code, down.json()["error"]["code"]) == (503, "chain_unavailable")


def test_a_node_of_another_chain_is_not_believed(new_world: Any, anvil: Anvil, tmp_path: Path) -> None:
    anvil.rpc("anvil_setChainId", 5)
    town = make_town(new_world, tmp_path, VIBES_RPC_URL=anvil.url)
    text = message(anvil.web3.eth.accounts[0], fresh_nonce(town))
    refused = post(town, text, signed(Account.create("x"), text))
    assert refused.status_code == 503
    assert "another chain" in refused.text
