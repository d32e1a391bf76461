"""A node that lies to the bridge: it is found out before ledger or chain are touched."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_utils.abi import event_abi_to_log_topic, function_signature_to_4byte_selector
from support.auditing import Lie, Refused, lying_node
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES, Wallet

from bridge.chain.settlement import load_abi
from bridge.errors import (
    BridgeError,
    FalseLog,
    FalseReceipt,
    FalseState,
    RpcRefused,
    RpcUnavailable,
    StateMismatch,
    WrongChain,
)
from bridge.store import open_store
from router.ledger import read

TOPICS = {
    item["name"]: "0x" + event_abi_to_log_topic(item).hex()
    for item in load_abi("Settlement")
    if item["type"] == "event"
}
STATE_ROOT = "0x" + function_signature_to_4byte_selector("stateRoot()").hex()


@pytest.fixture
def alice(operator: Operator) -> Wallet:
    """A wallet whose account is open and has 4 VIBES in the tree, and 2 more in a deposit nobody read yet."""
    wallet = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.deposit(wallet, 4 * VIBES)
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
    operator.stack.deposit(wallet, 2 * VIBES)
    return wallet


def told(operator: Operator, lie: Lie, error: type[BridgeError]) -> BridgeError:
    """Runs the bridge against a node that tells this lie from the second look on."""
    with (
        lying_node(operator.stack.url, lie) as url,
        operator.pipeline(replace(operator.settings, rpc_url=url, timeout_s=3)) as pipeline,
        pytest.raises(error) as caught,
    ):
        pipeline.settle_once()
    return caught.value


def assert_untouched(operator: Operator, wallet: Wallet, batches: int = 1) -> None:
    """Neither the ledger nor the chain learned anything from the liar."""
    account = operator.ledger.read(lambda connection: read.account_view(connection, wallet.idx))
    assert account.balance_base == 4 * VIBES
    assert operator.stack.settlement.functions.batchNumber().call() == batches


def on_logs(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Lie:
    def lie(method: str, _params: list[Any], result: Any) -> Any:
        return change(result) if method == "eth_getLogs" else result

    return lie


def is_log(log: dict[str, Any], name: str) -> bool:
    return bool(log["topics"][0] == TOPICS[name])


def doubled_deposit(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The deposit is said to be of twice the amount."""
    for log in logs:
        if is_log(log, "Deposited"):
            log["data"] = "0x" + (4 * VIBES).to_bytes(32, "big").hex()
    return logs


def repeated_deposit(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The deposit is said to have been made twice."""
    again = [copy.deepcopy(log) | {"logIndex": "0x77"} for log in logs if is_log(log, "Deposited")]
    return logs + again


def made_up_withdrawal(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A withdrawal request that the owner never sent."""
    made_up = []
    for log in logs:
        if is_log(log, "Deposited"):
            data = "0x" + VIBES.to_bytes(32, "big").hex() + (2**31).to_bytes(32, "big").hex()
            topics = [TOPICS["WithdrawalRequested"], log["topics"][1]]
            made_up.append(log | {"logIndex": "0x77", "data": data, "topics": topics})
    return logs + made_up


@pytest.mark.parametrize("change", [doubled_deposit, repeated_deposit, made_up_withdrawal])
def test_made_up_logs_are_found_in_the_contracts_storage(
    operator: Operator, alice: Wallet, change: Callable[[Any], Any]
) -> None:
    error = told(operator, on_logs(change), FalseState)
    assert isinstance(error, FalseState)
    assert error.stored != error.told
    assert_untouched(operator, alice)


def test_a_withheld_deposit_is_found_when_the_account_is_to_be_charged(
    operator: Operator, alice: Wallet
) -> None:
    operator.sign_ceiling(alice, VIBES)
    operator.charge(alice, 1_000)

    def nothing(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [log for log in logs if not is_log(log, "Deposited")]

    error = told(operator, on_logs(nothing), FalseState)
    assert isinstance(error, FalseState)
    assert (error.part, error.stored, error.told) == ("account 1: pending deposit", 2 * VIBES, 0)
    assert len(open_store(operator.settings.store_url).batches()) == 1


def test_a_withheld_account_is_found_when_anything_happens(operator: Operator, alice: Wallet) -> None:
    bob = operator.stack.wallet("bob", VIBES)
    operator.stack.deposit(bob, VIBES)

    def without_bob(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [log for log in logs if int(log["topics"][1], 16) != bob.idx]

    error = told(operator, on_logs(without_bob), FalseState)
    assert isinstance(error, FalseState)
    assert (error.part, error.stored, error.told) == ("number of accounts", 2, 1)
    assert_untouched(operator, alice)


def test_a_made_up_payout_is_not_in_its_transaction(operator: Operator, alice: Wallet) -> None:
    def paid(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        made_up = []
        for log in logs:
            if is_log(log, "Deposited"):
                data = "0x" + (7).to_bytes(32, "big").hex()
                to = "0x" + bytes(12).hex() + "11" * 20
                made_up.append(log | {"logIndex": "0x77", "data": data, "topics": [TOPICS["FeeClaimed"], to]})
        return logs + made_up

    error = told(operator, on_logs(paid), FalseLog)
    assert isinstance(error, FalseLog)
    assert error.claimed == "FeeClaimed"
    assert_untouched(operator, alice)


def test_a_wrong_root_is_found_by_the_rebuilt_one(operator: Operator, alice: Wallet) -> None:
    def lie(method: str, params: list[Any], result: Any) -> Any:
        asked = method == "eth_call" and params[0].get("data", params[0].get("input")) == STATE_ROOT
        return "0x" + (5).to_bytes(32, "big").hex() if asked else result

    error = told(operator, lie, StateMismatch)
    assert isinstance(error, StateMismatch)
    assert error.expected == 5
    assert_untouched(operator, alice)


def test_another_chain_id_midway_stops_the_bridge(operator: Operator, alice: Wallet) -> None:
    asked: list[str] = []

    def lie(method: str, _params: list[Any], result: Any) -> Any:
        if method == "eth_chainId":
            asked.append(result)
            return result if len(asked) == 1 else "0x1"
        return result

    error = told(operator, lie, WrongChain)
    assert isinstance(error, WrongChain)
    assert (error.expected, error.actual) == (31337, 1)
    assert_untouched(operator, alice)


def test_a_refusal_and_a_silence_are_no_lies_and_change_nothing(operator: Operator, alice: Wallet) -> None:
    def refuse(method: str, _params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            raise Refused("limit exceeded")
        return result

    error = told(operator, refuse, RpcRefused)
    assert isinstance(error, RpcRefused)
    assert (error.method, error.message) == ("eth_getLogs", "limit exceeded")

    def hang(method: str, _params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            time.sleep(5)
        return result

    told(operator, hang, RpcUnavailable)
    assert_untouched(operator, alice)
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
    operator.assert_books_match_chain()


def on_receipt(change: Callable[[dict[str, Any]], Any]) -> Lie:
    def lie(method: str, _params: list[Any], result: Any) -> Any:
        return change(copy.deepcopy(result)) if method == "eth_getTransactionReceipt" and result else result

    return lie


def settle_with_lying_receipts(operator: Operator, lie: Lie) -> FalseReceipt:
    """The second batch is mined and not yet confirmed, so that its receipt is what the bridge goes by."""
    with lying_node(operator.stack.url, lie) as url:
        settings = replace(operator.settings, rpc_url=url, confirmations=3)
        operator.stack.anvil.rpc("anvil_mine", hex(3))
        with operator.pipeline(settings) as pipeline, pytest.raises(FalseReceipt) as caught:
            pipeline.settle_once()
    assert isinstance(caught.value, FalseReceipt)
    return caught.value


def drop_logs(receipt: dict[str, Any]) -> dict[str, Any]:
    return receipt | {"logs": []}


def another_batch(receipt: dict[str, Any]) -> dict[str, Any]:
    for log in receipt["logs"]:
        if is_log(log, "BatchSettled"):
            log["topics"][1] = "0x" + (9).to_bytes(32, "big").hex()
    return receipt


def another_block(receipt: dict[str, Any]) -> dict[str, Any]:
    return receipt | {"blockHash": "0x" + "ab" * 32}


def another_place(receipt: dict[str, Any]) -> dict[str, Any]:
    return receipt | {"transactionIndex": "0x5"}


def another_transaction(receipt: dict[str, Any]) -> dict[str, Any]:
    return receipt | {"transactionHash": "0x" + "ab" * 32}


def failed(receipt: dict[str, Any]) -> dict[str, Any]:
    return receipt | {"status": "0x0", "logs": []}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (drop_logs, "BatchSettled"),
        (another_batch, "BatchSettled"),
        (another_block, "block"),
        (another_place, "transaction 5 of block"),
        (another_transaction, "transaction"),
        (failed, "status"),
    ],
)
def test_a_false_receipt_is_found_out(
    operator: Operator, alice: Wallet, change: Callable[[Any], Any], part: str
) -> None:
    error = settle_with_lying_receipts(operator, on_receipt(change))
    assert error.part.startswith(part)
    with operator.pipeline() as pipeline:  # an honest node shows that the batch is settled
        pipeline.sync()
    assert open_store(operator.settings.store_url).batch(2).tx_hash == error.tx_hash
    operator.assert_books_match_chain()


def test_a_receipt_of_a_transaction_that_is_in_no_block_is_found_out(
    operator: Operator, alice: Wallet
) -> None:
    """The node says that the batch was mined with success; nobody mines."""
    stack = operator.stack
    mined = stack.web3.eth.get_block("latest")
    template = stack.anvil.rpc("eth_getTransactionReceipt", mined["transactions"][0].to_0x_hex())

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getTransactionReceipt" and result is None:
            return template | {"transactionHash": params[0]}
        return result

    with lying_node(stack.url, lie) as url:
        stack.anvil.rpc("evm_setAutomine", False)
        settings = replace(operator.settings, rpc_url=url, mining_timeout_s=5)
        with operator.pipeline(settings) as pipeline, pytest.raises(FalseReceipt) as caught:
            pipeline.settle_once()
    assert caught.value.part.startswith("transaction 0 of block")
    assert stack.settlement.functions.batchNumber().call() == 1
