"""The pages' wallet module under Node, with wallets that misbehave as wallets do."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

import router

MODULE = Path(router.__file__).parent / "web" / "static" / "wallet.js"
ADDRESS = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
CHAIN = {"id": 31337, "name": "Anvil", "rpc_url": "http://127.0.0.1:8545"}
# Answers each method with the next of its answers; the last one stays, and {"throws": …} is thrown.
WALLET = """
const asked = [];
const wallet = (answers) => ({ request: async ({ method, params = [] }) => {
  asked.push([method, params]);
  const left = answers[method];
  if (!left) throw { code: 4200, message: `no ${method}` };
  const answer = left.length > 1 ? left.shift() : left[0];
  if (answer?.throws) throw answer.throws;
  return answer;
} });
const told = async (work) => {
  try { return { done: await work() }; } catch (error) { return { failed: explain(error) }; }
};
"""


def run(script: str, **values: Any) -> Any:
    """What a script prints that has the module's functions, a wallet, and `given`."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    names = "Refused, ask, checksummed, connect, discover, explain, mined, onChain, send, signIn, signTyped"
    source = (
        f"import {{ {names} }} from {json.dumps(MODULE.as_uri())};\n"
        f"const given = {json.dumps(values)};\n{WALLET}{script}"
    )
    done = subprocess.run(
        [node, "--input-type=module", "-"], input=source, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"code": 4001, "message": "User rejected the request."}, "declined in your wallet"),
        ({"code": "ACTION_REJECTED", "message": "x"}, "declined in your wallet"),
        (
            {"code": -32603, "message": "x", "data": {"originalError": {"code": 4001}}},
            "declined in your wallet",
        ),
        (
            {"code": -32603, "message": "MetaMask Tx Signature: User denied transaction signature."},
            "declined",
        ),
        ({"code": 4100, "message": "unauthorized"}, "wallet is locked"),
        ({"code": -32603, "message": "KeyringController - The wallet is locked"}, "wallet is locked"),
        ({"code": 4200, "message": "x"}, "cannot do this"),
        ({"code": 4900, "message": "x"}, "cannot reach its network"),
        ({"code": 4901, "message": "x"}, "cannot reach its network"),
        ({"code": -32603, "message": "Failed to fetch"}, "cannot reach its network"),
        ({"code": -32002, "message": "x"}, "already waits"),
        ({"code": -32000, "message": "insufficient funds for gas * price + value"}, "pay for gas"),
        ({"code": -32603, "data": {"message": "err: insufficient funds for gas"}}, "pay for gas"),
        ({"code": 3, "message": "execution reverted", "data": "0x12345678"}, "the words of the caller"),
        ({"code": -32603, "data": {"code": 3, "data": "0x12345678ff"}}, "the words of the caller"),
        ({"code": 1, "message": "something new"}, "That failed: something new"),
        ("just a text", "That failed: just a text"),
    ],
)
def test_errors_are_told_in_words(error: Any, words: str) -> None:
    script = "console.log(JSON.stringify(explain(given.error, { '0x12345678': 'the words of the caller' })));"
    assert words in run(script, error=error)


def test_a_wallet_connects_with_the_account_that_is_signed_in() -> None:
    script = """
    const one = wallet({ eth_requestAccounts: [given.accounts] });
    const locked = wallet({ eth_requestAccounts: [[]] });
    console.log(JSON.stringify([
      await told(() => connect(one)), await told(() => connect(one, given.second.toLowerCase())),
      await told(() => connect(one, given.other)), await told(() => connect(locked)),
    ]));"""
    second, other = "0x" + "B2" * 20, "0x" + "c3" * 20
    first, chosen, wrong, locked = run(script, accounts=[ADDRESS, second], second=second, other=other)
    assert (first, chosen) == ({"done": ADDRESS}, {"done": second})
    assert "shows account 0xf39f…2266, but you are signed in as 0xc3c3…c3c3" in wrong["failed"]
    assert "locked" in locked["failed"]


def on_chain(chain: dict[str, Any] = CHAIN, **answers: list[Any]) -> tuple[Any, list[str]]:
    """What came of bringing a wallet to a chain, and what it was asked."""
    script = """
    const result = await told(() => onChain(wallet(given.answers), given.chain));
    console.log(JSON.stringify([result, asked]));"""
    result, asked = run(script, answers=answers, chain=chain)
    return result, asked


def test_a_wallet_is_brought_to_the_chain() -> None:
    assert [method for method, _ in on_chain(eth_chainId=["0x7a69"])[1]] == ["eth_chainId"]
    switched, asked = on_chain(eth_chainId=["0x1", "0x7a69"], wallet_switchEthereumChain=[None])
    assert "failed" not in switched
    assert asked[1] == ["wallet_switchEthereumChain", [{"chainId": "0x7a69"}]]


def test_a_chain_that_the_wallet_lacks_is_added() -> None:
    lacks = [{"throws": {"code": -32603, "data": {"originalError": {"code": 4902}}}}]
    result, asked = on_chain(
        eth_chainId=["0x1", "0x7a69"], wallet_switchEthereumChain=lacks, wallet_addEthereumChain=[None]
    )
    assert "failed" not in result
    assert asked[2][1][0]["rpcUrls"] == ["http://127.0.0.1:8545"]
    unknown, _ = on_chain(
        {"id": 31337, "name": "Anvil"}, eth_chainId=["0x1"], wallet_switchEthereumChain=lacks
    )
    assert "Switch it to Anvil (chain 31337)" in unknown["failed"]


def test_a_wallet_that_stays_elsewhere_is_told() -> None:
    refused, _ = on_chain(
        eth_chainId=["0x1"], wallet_switchEthereumChain=[{"throws": {"code": 4001, "message": "no"}}]
    )
    stayed, _ = on_chain(eth_chainId=["0x1"], wallet_switchEthereumChain=[None])
    for result in (refused, stayed):
        assert "another network. Switch it to Anvil" in result["failed"]


def test_a_call_is_tried_before_it_is_sent() -> None:
    script = """
    const reverts = wallet({ eth_call: [{ throws: { code: 3, message: "reverted", data: "0xdeadbeef" } }] });
    const sends = wallet({ eth_call: ["0x"], eth_sendTransaction: ["0x11"],
      eth_getTransactionReceipt: [null, { status: "0x1" }] });
    const fails = wallet({ eth_getTransactionReceipt: [{ status: "0x0" }] });
    const call = { from: "0x1", to: "0x2", data: "0x" };
    const results = [await told(() => send(reverts, call))];
    results.push(await told(async () => mined(sends, await send(sends, call))));
    results.push(await told(() => mined(fails, "0x22")));
    console.log(JSON.stringify([results, asked.map(([method]) => method)]));"""
    (reverted, done, failed), asked = run(script)
    assert reverted == {"failed": "That failed: reverted"}
    assert done == {"done": {"status": "0x1"}}
    assert "refused the transaction 0x22" in failed["failed"]
    assert asked.count("eth_sendTransaction") == 1


def test_a_sign_in_says_what_the_router_told_and_only_on_its_own_page() -> None:
    script = """
    const said = { version: "1", chain_id: 5, nonce: "n0nce1234" };
    const answer = { domain: "router.test", uri: "http://router.test", ...said };
    globalThis.fetch = async () => ({ ok: true, status: 200, json: async () => answer });
    const one = wallet({ eth_requestAccounts: [[given.address]], personal_sign: ["0xsigned"] });
    globalThis.location = { origin: "http://router.test" };
    const here = await told(() => signIn(one, "Sign in here."));
    globalThis.location = { origin: "http://evil.test" };
    const there = await told(() => signIn(one));
    console.log(JSON.stringify([here, there, asked]));"""
    here, there, asked = run(script, address=ADDRESS)
    message = here["done"]["message"]
    assert message.startswith(
        "router.test wants you to sign in with your Ethereum account:\n"
        f"{to_checksum_address(ADDRESS)}\n\nSign in here."
    )
    assert "\nURI: http://router.test\nVersion: 1\nChain ID: 5\nNonce: n0nce1234\nIssued At: 20" in message
    assert bytes.fromhex(asked[1][1][0][2:]).decode() == message
    assert there["failed"] == "This page belongs to http://router.test: open it there."
    assert [method for method, _ in asked].count("personal_sign") == 1


def test_the_router_answers_in_words_or_is_out_of_reach() -> None:
    script = """
    const error = { message: "the router's words" };
    globalThis.fetch = async () => ({ ok: false, status: 418, json: async () => ({ error }) });
    const refused = await told(() => ask("/x", { body: {} }));
    globalThis.fetch = async () => { throw new TypeError("Failed to fetch"); };
    console.log(JSON.stringify([refused, await told(() => ask("/x"))]));"""
    refused, silent = run(script)
    assert refused == {"failed": "the router's words"}
    assert "The router cannot be reached" in silent["failed"]


def test_an_address_gets_its_checksum() -> None:
    addresses = [f"0x{number * 0x1234567890ABCDEF1234567890ABCDEF12345:040x}"[:42] for number in range(1, 40)]
    told = run("console.log(JSON.stringify(given.addresses.map(checksummed)));", addresses=addresses)
    assert told == [to_checksum_address(address) for address in addresses]
