"""A batch's transaction that is not mined: replaced, waited for, found again after a crash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES

from bridge.config import BridgeSettings, TxType
from bridge.errors import SettlementTimeout
from bridge.store import Store, open_store
from bridge.tables import Attempt, Batch, BatchStep
from mini_llm.wallet.gas import raised

GWEI = 10**9


@pytest.fixture
def funded(operator: Operator) -> Operator:
    """An operator with one deposit to settle."""
    wallet = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.deposit(wallet, 4 * VIBES)
    return operator


@contextmanager
def no_mining(operator: Operator) -> Iterator[None]:
    operator.stack.anvil.rpc("evm_setAutomine", False)
    yield
    operator.stack.anvil.rpc("evm_setAutomine", True)


def store_of(operator: Operator) -> Store:
    return open_store(operator.settings.store_url)


def attempts(operator: Operator) -> list[Attempt]:
    return store_of(operator).attempts(1)


def impatient(operator: Operator, **changes: object) -> BridgeSettings:
    """Gives up at once, so that a test goes on; every look finds the transaction stuck."""
    return replace(operator.settings, **({"mining_timeout_s": 0, "stuck_s": 0} | changes))  # type: ignore[arg-type]


def send(operator: Operator, settings: BridgeSettings) -> list[Attempt]:
    """Lets the bridge look once while nothing is mined; the attempts so far."""
    with operator.pipeline(settings) as pipeline, pytest.raises(SettlementTimeout):
        pipeline.settle_once()
    return attempts(operator)


def settle(operator: Operator) -> Batch:
    """Mining goes on; the batch when it is final and nothing is left to do."""
    with operator.pipeline() as pipeline:
        while pipeline.settle_once() is not None:
            pass
    (batch,) = store_of(operator).batches()
    assert (batch.number, batch.step) == (1, BatchStep.FINAL)
    assert operator.stack.settlement.functions.batchNumber().call() == 1
    assert operator.stack.settlement.functions.account(1).call()[1] == 0
    return batch


def pool(operator: Operator) -> set[str]:
    """Hashes of the operator's transactions that wait in the node's pool, by nonce."""
    content = operator.stack.anvil.rpc("txpool_content")
    found = set()
    for kind in ("pending", "queued"):
        for sender, waiting in content[kind].items():
            if sender.lower() == operator.stack.operator.address.lower():
                found |= {transaction["hash"] for transaction in waiting.values()}
    return found


def test_a_stuck_transaction_is_replaced_with_the_same_nonce_and_higher_fees(funded: Operator) -> None:
    with no_mining(funded):
        first, *rest = send(funded, replace(impatient(funded), stuck_s=600))
        assert rest == []
        funded.stack.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(100 * GWEI))
        _, second = send(funded, impatient(funded))
        assert second.nonce == first.nonce
        assert second.fees.tip_wei is not None
        assert first.fees.tip_wei is not None
        assert second.fees.max_fee_wei >= raised(first.fees.max_fee_wei)
        assert second.fees.tip_wei >= raised(first.fees.tip_wei)
        assert pool(funded) == {second.tx_hash}
    assert settle(funded).tx_hash == second.tx_hash


def test_the_base_fee_outruns_a_transaction_and_the_next_offer_catches_up(funded: Operator) -> None:
    anvil = funded.stack.anvil
    with no_mining(funded):
        (first,) = send(funded, replace(impatient(funded), stuck_s=600))
        base_fee = 3 * first.fees.max_fee_wei
        anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
        anvil.rpc("evm_mine")
        assert funded.stack.settlement.functions.batchNumber().call() == 0
        second = send(funded, impatient(funded))[-1]
        assert second.fees.max_fee_wei > base_fee
        anvil.rpc("evm_mine")
    assert settle(funded).tx_hash == second.tx_hash


def test_whichever_attempt_is_mined_counts(funded: Operator) -> None:
    """The pool forgets the replacement and mines the first offer: that settles the batch just as well."""
    anvil = funded.stack.anvil
    with no_mining(funded):
        (first,) = send(funded, replace(impatient(funded), stuck_s=600))
        _, second = send(funded, impatient(funded))
        anvil.rpc("anvil_dropTransaction", second.tx_hash)
        anvil.rpc("eth_sendRawTransaction", first.raw_tx)
        anvil.rpc("evm_mine")
    assert settle(funded).tx_hash == first.tx_hash
    assert [one.tx_hash for one in attempts(funded)] == [first.tx_hash, second.tx_hash]


def test_beyond_the_highest_fee_the_bridge_waits_and_says_so(funded: Operator) -> None:
    anvil = funded.stack.anvil
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    anvil.rpc("evm_mine")
    limited = impatient(funded, max_fee_wei=20 * GWEI)
    with funded.pipeline(limited) as pipeline:
        for _ in range(2):
            pipeline.turn()
            pipeline.wait_for_proof(60)
    assert attempts(funded) == []
    (alert,) = store_of(funded).open_alerts()
    assert alert.code == "fee_limit"
    assert str(20 * GWEI) in alert.detail
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    anvil.rpc("evm_mine")
    settle(funded)
    assert store_of(funded).open_alerts() == []
    assert all(one.fees.max_fee_wei <= 20 * GWEI for one in attempts(funded))


def test_a_stuck_transaction_at_the_limit_stays_in_the_pool(funded: Operator) -> None:
    with no_mining(funded):
        (first,) = send(funded, replace(impatient(funded), stuck_s=600))
        limited = impatient(funded, max_fee_wei=raised(first.fees.max_fee_wei) - 1)
        funded.stack.anvil.rpc("anvil_dropTransaction", first.tx_hash)
        assert send(funded, limited) == [first]
        assert pool(funded) == {first.tx_hash}
        assert [alert.code for alert in store_of(funded).open_alerts()] == ["fee_limit"]
    assert settle(funded).tx_hash == first.tx_hash
    assert store_of(funded).open_alerts() == []  # it was mined after all, and nothing waits for cheaper gas


def test_a_dropped_foreign_transaction_leaves_a_gap_that_is_filled(funded: Operator) -> None:
    stack = funded.stack
    with no_mining(funded):
        nonce = stack.web3.eth.get_transaction_count(stack.operator.address)
        call = stack.token.functions.approve(stack.owner.address, 1)
        foreign = call.build_transaction({"from": stack.operator.address, "nonce": nonce})
        signed = stack.operator.sign_transaction(foreign)
        foreign_hash = stack.web3.eth.send_raw_transaction(signed.raw_transaction).to_0x_hex()
        (first,) = send(funded, replace(impatient(funded), stuck_s=600))
        assert first.nonce == nonce + 1  # what others sent is not pushed aside at once
        stack.anvil.rpc("anvil_dropTransaction", foreign_hash)
        _, second = send(funded, replace(impatient(funded), stuck_s=600))
        assert second.nonce == nonce
    assert settle(funded).tx_hash == second.tx_hash


def test_a_foreign_transaction_that_blocks_for_long_is_replaced(funded: Operator) -> None:
    stack = funded.stack
    with no_mining(funded):
        nonce = stack.web3.eth.get_transaction_count(stack.operator.address)
        price = 30 * stack.web3.eth.gas_price
        call = stack.token.functions.approve(stack.owner.address, 1)
        foreign = call.build_transaction({"from": stack.operator.address, "nonce": nonce, "gasPrice": price})
        stack.web3.eth.send_raw_transaction(stack.operator.sign_transaction(foreign).raw_transaction)
        (first,) = send(funded, replace(impatient(funded), stuck_s=600))
        second = send(funded, impatient(funded))[-1]
        assert (first.nonce, second.nonce) == (nonce + 1, nonce)
        assert second.fees.max_fee_wei > price
        assert second.tx_hash in pool(funded)
    assert settle(funded).tx_hash == second.tx_hash
    assert stack.token.functions.allowance(stack.operator.address, stack.owner.address).call() == 0


def test_a_foreign_transaction_that_took_the_nonce_makes_all_attempts_void(funded: Operator) -> None:
    stack = funded.stack
    with no_mining(funded):
        old = send(funded, impatient(funded)) and send(funded, impatient(funded))
        assert len(old) == 2
        for attempt in old:
            stack.anvil.rpc("anvil_dropTransaction", attempt.tx_hash)
    stack.send(stack.operator, stack.token.functions.approve(stack.owner.address, 1))
    batch = settle(funded)
    newest = attempts(funded)[-1]
    assert (newest.tx_hash, newest.nonce) == (batch.tx_hash, old[0].nonce + 1)


def test_a_discarded_batch_gives_its_nonce_to_the_next_one(funded: Operator) -> None:
    """Its transaction would only cost gas, so it is replaced by that of the batch that took its place."""
    with no_mining(funded):
        (old,) = send(funded, replace(impatient(funded), stuck_s=600))
        assert store_of(funded).discard_from(1) == [1]
        (new,) = send(funded, replace(impatient(funded), stuck_s=600))
        assert new.nonce == old.nonce
        assert new.fees.max_fee_wei >= raised(old.fees.max_fee_wei)
        assert pool(funded) == {new.tx_hash}
    settle(funded)


def test_nonces_of_an_operator_before_this_one_hold_nothing_up(funded: Operator) -> None:
    """The timelock names another operator, with fewer transactions, while the old one's batch is stuck."""
    stack = funded.stack
    stack.anvil.rpc("anvil_setNonce", stack.operator.address, hex(500))
    with no_mining(funded):
        (old,) = send(funded, impatient(funded))
        stack.anvil.rpc("anvil_dropTransaction", old.tx_hash)
    stack.as_timelock(stack.settlement.functions.setOperator(stack.relayer.address))
    stack.operator = stack.relayer
    nonce = stack.web3.eth.get_transaction_count(stack.relayer.address)
    settle(funded)
    assert [one.nonce for one in attempts(funded)] == [500, nonce]
    stack.deposit(stack.wallet("bob", VIBES), VIBES)
    nonce = stack.web3.eth.get_transaction_count(stack.relayer.address)
    with funded.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
    assert [one.nonce for one in store_of(funded).attempts(2)] == [nonce]
    assert pool(funded) == set()


@pytest.mark.parametrize("tx_type", [TxType.LEGACY, TxType.EIP1559])
def test_the_chain_gets_the_transactions_that_it_takes(funded: Operator, tx_type: TxType) -> None:
    with no_mining(funded):
        send(funded, impatient(funded, tx_type=tx_type))
        first, second = send(funded, impatient(funded, tx_type=tx_type))
    assert second.fees.max_fee_wei >= raised(first.fees.max_fee_wei)
    batch = settle(funded)
    assert batch.tx_hash == second.tx_hash
    transaction = funded.stack.web3.eth.get_transaction(second.tx_hash)  # type: ignore[arg-type]
    assert transaction["type"] == (0 if tx_type is TxType.LEGACY else 2)


def test_the_time_until_a_replacement_survives_a_restart(funded: Operator) -> None:
    with no_mining(funded):
        send(funded, replace(impatient(funded), stuck_s=2))
        deadline = time.monotonic() + 60
        while len(send(funded, replace(impatient(funded), stuck_s=2))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    settle(funded)
