"""What the bridge tells the router: each batch as the chain has it, and how it is doing itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES, Wallet

from bridge.chain.client import ChainClient
from bridge.chain.settlement import load_abi
from bridge.cli import main
from bridge.errors import RpcUnavailable
from bridge.rollup.transition import RollupState
from bridge.store import open_store
from bridge.watch import check_health
from router.ledger import batches, settled


@pytest.fixture
def alice(operator: Operator) -> Wallet:
    """An account that paid for two calls, which no batch has settled yet."""
    wallet = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.deposit(wallet, 4 * VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
        operator.sign_ceiling(wallet, 3 * VIBES)
    operator.charge(wallet, 1_234_567, partner_id=1)
    operator.charge(wallet, 11, partner_id=2)
    return wallet


def kept(operator: Operator) -> list[Any]:
    """All that the ledger has of batches."""

    def everything(connection: Connection) -> list[Any]:
        return [
            (one, batches.slots(connection, one.number), batches.partner_words(connection, one.number))
            for one in batches.batches(connection)
        ]

    return operator.ledger.read(everything)


def settle_two(operator: Operator, wallet: Wallet) -> None:
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
        operator.charge(wallet, 500, partner_id=2)
        operator.stack.request_withdrawal(wallet, VIBES)
        assert pipeline.settle_once() is not None
        assert pipeline.settle_once() is None


def test_a_batch_is_told_as_the_chain_has_it(operator: Operator, alice: Wallet) -> None:
    settle_two(operator, alice)
    web3, settlement = operator.stack.web3, operator.stack.settlement
    found = kept(operator)
    assert [view.number for view, _, _ in found] == [2, 1]
    for view, _, partners in found:
        (event,) = (
            one for one in settlement.events.BatchSettled().get_logs(from_block=0)
            if one["args"]["batchNumber"] == view.number
        )  # fmt: skip
        receipt = web3.eth.get_transaction_receipt(event["transactionHash"])
        args = event["args"]
        assert view.tx_hash == "0x" + bytes(event["transactionHash"]).hex()
        assert (view.block_number, view.log_index) == (event["blockNumber"], event["logIndex"])
        assert view.block_time_s == web3.eth.get_block(view.block_number)["timestamp"]
        assert view.gas_used == receipt["gasUsed"]
        assert (view.size, view.accounts) == (args["slots"], 1)
        assert view.verifier == settlement.functions.verifierOf(view.size).call()
        assert (view.old_root, view.new_root) == (args["oldRoot"], args["newRoot"])
        assert bytes.fromhex(view.receipts_root[2:]) == args["receiptsRoot"]
        assert view.receipts_total_base == args["gross"] == sum(one.gross_base for one in partners)
        assert (view.burned_base, view.rewarded_base) == (args["burned"], args["rewards"])
        proof = open_store(operator.settings.store_url).batch(view.number).proof
        points = (proof[:2], (proof[2:4], proof[4:6]), proof[6:])
        verifier = web3.eth.contract(address=view.verifier, abi=load_abi("Verifier"))
        assert verifier.functions.verifyProof(*points, view.public_inputs).call()
        other = (*view.public_inputs[:2], view.public_inputs[2] ^ 1)
        assert not verifier.functions.verifyProof(*points, other).call()
    (second, (withdrawing,), _), (first, (opening,), partners) = found
    assert (opening.charge_base, opening.deposit_base, opening.spent_base) == (
        1_234_578,
        4 * VIBES,
        1_234_578,
    )
    assert opening.key_commit is not None
    assert (withdrawing.charge_base, withdrawing.withdraw_base, withdrawing.drain) == (500, VIBES, False)
    leaf = RollupState(operator.stack.domain)
    for _, event in open_store(operator.settings.store_url).events_after(0):
        if event.name == "BatchSettled":
            leaf.apply(event.slots())
    assert leaf.accounts[alice.idx].balance == withdrawing.balance_base == 4 * VIBES - 1_235_078 - VIBES
    assert [(one.partner_id, one.gross_base) for one in partners] == [(1, 1_234_567), (2, 11)]
    assert (second.settled_total_base, first.settled_total_base) == (1_235_078, 1_234_578)
    for total_base, number in ((1_234_567, 1), (1_234_578, 1), (1_235_078, 2)):
        of_receipt = operator.ledger.read(lambda c, t=total_base: batches.batch_of_total(c, alice.idx, t))
        assert of_receipt is not None
        assert of_receipt.number == number


def test_made_again_from_the_chain_it_is_the_same(operator: Operator, alice: Wallet) -> None:
    settle_two(operator, alice)
    before = kept(operator)

    def forget(connection: Connection) -> None:
        for name in ("settled_slot", "settled_partner", "settled_batch"):
            connection.exec_driver_sql(f"DELETE FROM {name}")

    operator.ledger.run(forget)  # as after an upgrade from a release that kept no batches
    with operator.pipeline() as pipeline:
        assert [view.gas_used for view, _, _ in kept(operator)] == [None, None]
        pipeline.sync()
    assert kept(operator) == before
    operator.ledger.run(forget)
    for file in operator.folder.glob("bridge.db*"):
        file.unlink()
    with operator.pipeline() as pipeline:
        pipeline.sync()
    assert kept(operator) == before
    operator.assert_books_match_chain()


def test_a_node_that_says_no_gas_holds_up_nothing(
    operator: Operator, alice: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = ChainClient.block_time

    def silent(client: ChainClient, number: int) -> int | None:
        raise RpcUnavailable("eth_getBlockByNumber", "Timeout")

    with operator.pipeline() as pipeline:
        monkeypatch.setattr(ChainClient, "block_time", silent)
        assert pipeline.settle_once() is not None
        assert [one.number for one in operator.ledger.read(lambda c: settled.unpriced(c, 9))] == [1]
        monkeypatch.setattr(ChainClient, "block_time", lambda *_: None)
        pipeline.sync()
        assert kept(operator)[0][0].gas_used is None
        monkeypatch.setattr(ChainClient, "block_time", honest)
        pipeline.sync()
        assert kept(operator)[0][0].gas_used > 100_000
        assert operator.ledger.read(lambda c: settled.unpriced(c, 9)) == []


def test_the_bridge_says_how_it_is_doing(operator: Operator, alice: Wallet) -> None:
    assert operator.ledger.read(batches.bridge_report) is None
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
        operator.charge(alice, 77)
        check_health(pipeline, {"prover_failed": "it died"})
        report = operator.ledger.read(batches.bridge_report)
        assert report is not None
        document = report.document
        assert (document["batches"], document["unsettled_base"], document["lag_blocks"]) == (1, 77, 0)
        assert document["leader"]
        (alert,) = document["alerts"]
        assert (alert["code"], alert["detail"]) == ("prover_failed", "it died")
        assert "memory" in alert["advice"]
        (proof,) = document["proofs"]
        assert (proof["number"], proof["size"]) == (1, 4)
        assert proof["prove_ms"] is not None
        check_health(pipeline, {})
        report = operator.ledger.read(batches.bridge_report)
        assert report is not None
        assert report.document["alerts"] == []
    result = CliRunner().invoke(main, ["settle", "--once", "--json"], env=operator.environment)
    assert json.loads(result.output.splitlines()[-1])["number"] == 2, result.output
    report = operator.ledger.read(batches.bridge_report)
    assert report is not None
    assert (report.document["batches"], report.document["unsettled_base"]) == (2, 0)
