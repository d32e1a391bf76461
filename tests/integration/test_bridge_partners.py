"""What the bridge tells the router of partners: registry and accounts, as of the last block read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import PARTNERS, VIBES

from bridge.chain.settlement import SettlementContract
from bridge.errors import RpcUnavailable
from bridge.pipeline import Pipeline
from router.ledger.partners import PartnerFigures, Partners, partners


def published(operator: Operator, pipeline: Pipeline) -> Partners:
    pipeline.sync()
    pipeline.publish(pipeline.status())
    told = operator.ledger.read(partners)
    assert told is not None
    return told


def test_partners_are_told_as_the_chain_has_them(operator: Operator) -> None:
    stack = operator.stack
    alice = stack.wallet("alice", 10 * VIBES)
    stack.deposit(alice, 10 * VIBES)
    assert operator.ledger.read(partners) is None
    with operator.pipeline() as pipeline:
        told = published(operator, pipeline)
        assert [(one.name, one.registered_bps) for one in told.by_id.values()] == list(PARTNERS)
        assert {one.payout for one in told.by_id.values()} == {one.address for one in stack.payouts}
        assert {(one.bps, one.gross_base, one.active) for one in told.by_id.values()} == {(0, 0, True)}

        operator.sign_ceiling(alice, 9 * VIBES)
        operator.charge(alice, 1_234_567, partner_id=1)
        assert pipeline.settle_once() is not None
        stack.send(stack.relayer, stack.settlement.functions.claimPartner(1))
        stack.as_timelock(stack.registry.functions.setBps(1, 2_000))
        stack.send(stack.relayer, stack.settlement.functions.applyTerms(1))
        operator.charge(alice, 11, partner_id=1)
        assert pipeline.settle_once() is not None
        stack.as_timelock(stack.registry.functions.setActive(1, False))
        told = published(operator, pipeline)
        share_base = 1_234_567 * 3_000 // 10_000
        assert told.by_id[1] == PartnerFigures(
            partner_id=1,
            name=PARTNERS[0][0],
            payout=stack.payouts[0].address,
            active=False,
            registered_bps=2_000,
            bps=2_000,
            gross_base=1_234_578,
            checkpoint_gross_base=1_234_567,
            accrued_base=share_base,
            paid_base=share_base,
        )
        assert told.by_id[1].claimable_base == stack.settlement.functions.partnerClaimable(1).call() == 2


def test_while_the_node_is_away_the_last_figures_stand(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with operator.pipeline() as pipeline:
        before = published(operator, pipeline)

        def away(*_: object) -> None:
            raise RpcUnavailable("eth_call", "ConnectionError")

        monkeypatch.setattr(SettlementContract, "registered", away)
        operator.stack.anvil.rpc("anvil_mine", "0x1")
        after = published(operator, pipeline)
    assert (after.block, after.by_id) == (before.block, before.by_id)


def test_a_block_before_the_contracts_has_no_partners(operator: Operator) -> None:
    with operator.pipeline() as pipeline:
        pipeline.sync()
        pipeline.publish(replace(pipeline.status(), indexed_block=1))
    told = operator.ledger.read(partners)
    assert told is None or not told.by_id
