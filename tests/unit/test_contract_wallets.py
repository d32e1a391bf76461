"""What a node may say about a contract wallet's signature (EIP-1271), and what that means."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from router.people.errors import ChainUnavailable, SignInRefused
from router.people.wallets import Wallets

CHAIN_ID = 31337
WALLET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
VALID = "0x1626ba7e" + "00" * 28
REVERT = {"code": 3, "message": "execution reverted", "data": "0x"}


class Answer:
    def __init__(self, body: bytes) -> None:
        self.body = body

    async def read(self, _limit: int) -> bytes:
        return self.body

    async def aclose(self) -> None: ...


class Node:
    """Answers each method with what it was given: members of a JSON-RPC answer, or bytes."""

    def __init__(self, **told: Any) -> None:
        self.told = {"eth_chainId": {"result": hex(CHAIN_ID)}} | told

    async def send(self, _method: str, _url: str, _headers: Any, body: bytes, _timeouts: Any) -> Answer:
        told = self.told[json.loads(body)["method"]]
        if not isinstance(told, bytes):
            told = json.dumps({"jsonrpc": "2.0", "id": 1} | told).encode()
        return Answer(told)


def check(**told: Any) -> None:
    node: Any = Node(**told)
    asyncio.run(Wallets(node, "http://node", CHAIN_ID).check(WALLET, bytes(32), b"signature of a contract"))


def test_what_the_contract_says_counts() -> None:
    check(eth_call={"result": VALID})
    for result in ("0x", "0x1626ba7e", VALID[:-1] + "1", "0x" + "00" * 32, VALID + "00" * 32):
        with pytest.raises(SignInRefused):
            check(eth_call={"result": result})


@pytest.mark.parametrize(
    "error",
    [
        REVERT,
        {"code": -32000, "message": "execution reverted: not the owner"},
        {"code": -32603, "message": "VM Exception while processing transaction: reverted with reason 'no'"},
        {"code": -32000, "message": "invalid opcode: INVALID"},
        {"code": -32000, "message": "out of gas"},
    ],
)
def test_a_contract_that_fails_did_not_sign(error: dict[str, Any]) -> None:
    with pytest.raises(SignInRefused):
        check(eth_call={"error": error})


@pytest.mark.parametrize(
    "told",
    [
        {"error": {"code": -32005, "message": "rate limit exceeded"}},
        {"error": {"code": -32000, "message": "header not found"}},
        {"error": {"code": -32601, "message": "the method does not exist"}},
        {"error": {"code": -32603}},
        {"error": "no"},
        {"result": None},
        {"result": 5},
        {"result": "0xzz"},
        {"result": "0x1"},
        {},
        b"<html>busy</html>",
        b"[]",
    ],
    ids=repr,
)
def test_a_node_that_does_not_answer_says_nothing_about_the_contract(told: Any) -> None:
    with pytest.raises(ChainUnavailable):
        check(eth_call=told)


@pytest.mark.parametrize(
    "told",
    [
        *({"result": result} for result in ("0xzz", "", "0x", "31337", "0x_7a69", None, 31337, hex(1))),
        {"error": REVERT},
        {"error": {"code": -32005, "message": "rate limit exceeded"}},
    ],
    ids=repr,
)
def test_a_node_that_does_not_say_its_chain_is_asked_nothing(told: dict[str, Any]) -> None:
    with pytest.raises(ChainUnavailable):
        check(eth_chainId=told, eth_call={"result": VALID})
