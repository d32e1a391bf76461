"""Providers of nodes as they are: several nodes behind one address, limited ranges, errors by HTTP status."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from support.auditing import Lie, Refused, lying_node
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES

from bridge.chain.client import ChainClient
from bridge.errors import RpcRefused, RpcUnavailable
from bridge.store import open_store
from bridge.tables import BatchStep
from router.ledger import read

BLOCK_AT = {"eth_call": 1, "eth_getTransactionCount": 1, "eth_estimateGas": 1, "eth_getBlockByNumber": 0}
"""Which parameter names a block."""


def balanced(operator: Operator, lag: int, chance: Random) -> Lie:
    """Questions go to one of two nodes, of which one is `lag` blocks behind."""
    rpc = operator.stack.anvil.rpc

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if chance.random() < 0.5:
            return result
        newest = operator.stack.web3.eth.block_number - lag
        if method == "eth_blockNumber":
            return hex(newest)
        if method == "eth_getTransactionReceipt":
            return result if result and int(result["blockNumber"], 16) <= newest else None
        if method not in BLOCK_AT:
            return result
        at = BLOCK_AT[method]
        block = params[at] if at < len(params) else "latest"
        if block == "pending":
            return result
        if block == "latest":
            block = hex(newest)
        if int(block, 16) <= newest:
            return rpc(method, *params[:at], block, *params[at + 1 :])
        if method == "eth_getBlockByNumber":
            return None
        raise Refused("header not found")

    return lie


@pytest.mark.parametrize("seed", range(2))
def test_a_batch_is_sent_once_although_a_node_lags(operator: Operator, seed: int) -> None:
    alice = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.anvil.rpc("anvil_mine", hex(8))
    operator.stack.anvil.rpc("evm_setIntervalMining", 1)
    with lying_node(operator.stack.url, balanced(operator, 2, Random(seed))) as url:
        settings = replace(operator.settings, rpc_url=url, confirmations=3)
        with operator.pipeline(settings) as pipeline:
            operator.stack.deposit(alice, VIBES)
            while (batch := pipeline.settle_once()) is None:
                pass
    store = open_store(operator.settings.store_url)
    assert batch.step is BatchStep.FINAL
    assert len(store.attempts(batch.number)) == 1


def test_blocks_that_one_of_the_nodes_lacks_are_waited_for(operator: Operator) -> None:
    """It is no reorganisation, which would end the bridge."""

    def without_the_newest(method: str, params: list[Any], result: Any) -> Any:
        asked = int(params[0], 16) if method == "eth_getBlockByNumber" else 0
        return None if asked == operator.stack.web3.eth.block_number else result

    with lying_node(operator.stack.url, without_the_newest) as url:
        settings = replace(operator.settings, rpc_url=url)
        with operator.pipeline(settings) as pipeline:
            newest = operator.stack.web3.eth.block_number
            with pytest.raises(RpcUnavailable, match=f"does not have block {newest}"):
                pipeline.sync()


@pytest.mark.parametrize("status", [200, 400, 413])
def test_logs_are_read_in_ranges_that_the_node_takes(operator: Operator, status: int) -> None:
    """As Alchemy (400) and QuickNode (413) refuse longer ones."""

    def limited(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= 5:
            raise Refused("up to a 5 block range", status)
        return result

    alice = operator.stack.wallet("alice", 2 * VIBES)
    for _ in range(2):
        operator.stack.deposit(alice, VIBES)
        operator.stack.anvil.rpc("anvil_mine", hex(20))
    with (
        lying_node(operator.stack.url, limited) as url,
        operator.pipeline(replace(operator.settings, rpc_url=url)) as pipeline,
    ):
        pipeline.sync()
    account = operator.ledger.read(lambda connection: read.account_view(connection, alice.idx))
    assert account.pending_deposit_base == 2 * VIBES


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, RpcRefused, r"refused eth_chainId: no such project \(code 401\)"),
        (429, RpcUnavailable, "did not answer eth_chainId: HTTP 429: no such project"),
        (503, RpcUnavailable, "did not answer eth_chainId: HTTP 503: no such project"),
    ],
)
def test_errors_by_http_status_are_told_in_the_providers_words(
    operator: Operator, status: int, error: type[Exception], words: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise Refused("no such project", status)

    with lying_node(operator.stack.url, refuse) as url, pytest.raises(error, match=words):
        ChainClient(url, timeout_s=3)


def forgetful(method: str, _params: list[Any], result: Any) -> Any:
    """A node whose index of transactions does not reach back so far (geth keeps 2,350,000 blocks of it)."""
    by_hash = method in ("eth_getTransactionByHash", "eth_getTransactionReceipt")
    return None if by_hash else result


def test_old_batches_and_payouts_are_read_from_a_node_that_finds_them_by_no_hash(operator: Operator) -> None:
    stack, alice = operator.stack, operator.stack.wallet("alice", 2 * VIBES)
    stack.deposit(alice, 2 * VIBES)
    stack.request_withdrawal(alice, VIBES)
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
    stack.send(stack.relayer, stack.settlement.functions.withdraw(alice.idx))
    anew = f"sqlite:///{operator.folder}/anew.db"
    with lying_node(stack.url, forgetful) as url:
        settings = replace(operator.settings, rpc_url=url, store_url=anew)
        with operator.pipeline(settings) as pipeline:
            assert pipeline.sync().batch_number == 1
    operator.assert_books_match_chain(replace(operator.settings, store_url=anew))


def test_right_after_the_deployment_the_contract_is_waited_for(operator: Operator) -> None:
    """No block that has the contract has its confirmations yet."""
    settings = replace(operator.settings, confirmations=operator.stack.web3.eth.block_number - 1)
    words = r"the contract is not there \(yet\) in that block"
    with operator.pipeline(settings) as pipeline, pytest.raises(RpcUnavailable, match=words):
        pipeline.sync()
