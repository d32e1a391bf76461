"""Random histories against the contract on a real chain and against the model in Python, side by side.

Every call is made on both, those that must fail included: the contract reverts with the error that the model
names or does what the model does. The verifier double holds the contract to the public inputs (C, r, y) of
the executable specification; the root is rebuilt once more from events and calldata alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.batches import authorise, commit_of
from support.machine import HOUSE, PARTNERS, TERMS, World, deployed_world
from support.settlement_model import Refused, SettlementModel, Status

from bridge.rollup.batch import Slot
from mini_llm.wallet.limits import BPS

WALLETS = 3
VIBES = 1_000_000
SIZE = 4

amounts = st.one_of(st.integers(1, 50 * VIBES), st.sampled_from((0, 1, VIBES - 1, VIBES, 2**54)))
parts = st.integers(0, 100)  # per cent
wallets = st.integers(0, WALLETS - 1)
indices = st.integers(1, WALLETS + 1)
keys = st.integers(1, 5).map(commit_of)
waits = st.sampled_from((1, 3_600, 86_398, 86_399, 86_400, 86_401))
faults = st.sampled_from(("deposit", "withdrawal", "key", "sum", "receipts", "rewards", "frozen"))


class Machine(RuleBasedStateMachine):
    """Contract and model from the same deployment; `world` is set by the test."""

    world: World

    @initialize(accounts=st.integers(0, WALLETS), data=st.data())
    def deploy(self, accounts: int, data: st.DataObject) -> None:
        """From an empty contract, or from one with open accounts, which chance alone seldom makes."""
        self.world.reset()
        self.model = SettlementModel(self.world.domain, dict(TERMS), now=self.world.now)
        for who in range(accounts):
            self.fund(who, 20 * VIBES)
        self.settle(data, None)

    def both(self, name: str, arguments: tuple[Any, ...], sender: str, on_model: Callable[[], Any]) -> Any:
        """The call on the contract and on the model; both do it, or both refuse it for the same reason."""
        self.model.now = self.world.next_time()
        try:
            result, expected = on_model(), None
        except Refused as refused:
            result, expected = None, refused.error
        assert self.world.send(name, arguments, sender) == expected, name
        return result

    # -- owners

    @rule(who=wallets, amount=amounts, key=st.one_of(st.just(0), keys))
    def deposit(self, who: int, amount: int, key: int) -> None:
        owner = self.world.wallets[who]
        self.both("deposit", (amount, key), owner, lambda: self.model.deposit(owner, amount, key))

    @rule(who=wallets, amount=st.integers(VIBES, 50 * VIBES))
    def fund_any(self, who: int, amount: int) -> None:
        self.fund(who, amount)

    def fund(self, who: int, amount: int) -> None:
        owner = self.world.wallets[who]
        idx = self.model.index_of(owner)
        key = 0 if idx else commit_of(who + 1)
        self.both("deposit", (amount, key), owner, lambda: self.model.deposit(owner, amount, key))

    @rule(who=wallets, idx=indices, amount=amounts)
    def deposit_for(self, who: int, idx: int, amount: int) -> None:
        sender = self.world.wallets[who]
        self.both("depositFor", (idx, amount), sender, lambda: self.model.deposit_for(idx, amount))

    @rule(who=wallets, amount=amounts)
    def request_withdrawal(self, who: int, amount: int) -> None:
        owner = self.world.wallets[who]
        self.both("requestWithdrawal", (amount,), owner, lambda: self.model.request_withdrawal(owner, amount))

    @rule(who=wallets, key=keys)
    def set_session_key(self, who: int, key: int) -> None:
        owner = self.world.wallets[who]
        self.both("setSessionKey", (key,), owner, lambda: self.model.set_session_key(owner, key))

    @rule(who=wallets)
    def announce_cancel(self, who: int) -> None:
        owner = self.world.wallets[who]
        self.both("announceCancelDeposit", (), owner, lambda: self.model.announce_cancel(owner))

    @rule(idx=indices)
    def cancel_any(self, idx: int) -> None:
        self.cancel_deposit(idx)

    def cancel_deposit(self, idx: int) -> None:
        self.both("cancelDeposit", (idx,), self.world.stranger, lambda: self.model.cancel_deposit(idx))

    @rule(idx=indices)
    def freeze_any(self, idx: int) -> None:
        self.freeze(idx)

    def freeze(self, idx: int) -> None:
        self.both("freeze", (idx,), self.world.stranger, lambda: self.model.freeze(idx))

    @rule(idx=indices, honest=st.booleans())
    def exit_any(self, idx: int, honest: bool) -> None:
        self.exit(idx, honest)

    def exit(self, idx: int, honest: bool) -> None:
        record, true_balance = self.model.records.get(idx), self.model.account(idx).balance
        if record is not None:
            self.world.expect_exit(record.frozen_root, idx, true_balance)
        balance = true_balance if honest else true_balance + 1
        self.both(
            "exit",
            (idx, balance, [0] * 8),
            self.world.stranger,
            lambda: self.model.exit(idx, balance, honest),
        )

    @rule(who=wallets, wait=st.sampled_from((86_399, 86_400)), data=st.data())
    def leave(self, who: int, wait: int, data: st.DataObject) -> None:
        """All of it in a row: chance alone seldom gets this far. The freeze comes a second after the wait."""
        owner, idx = self.world.wallets[who], self.model.index_of(self.world.wallets[who])
        if idx and self.model.records[idx].status is Status.OPEN:
            self.both("requestWithdrawal", (1,), owner, lambda: self.model.request_withdrawal(owner, 1))
            self.world.wait(wait)
            self.freeze(idx)
            self.settle(data, "frozen")
            self.exit(idx, data.draw(st.booleans()))

    @rule(who=wallets, data=st.data())
    def take_back(self, who: int, data: st.DataObject) -> None:
        """A cancellation of which a batch consumes a part before it is due."""
        owner, idx = self.world.wallets[who], self.model.index_of(self.world.wallets[who])
        self.fund(who, 5 * VIBES)
        self.both("announceCancelDeposit", (), owner, lambda: self.model.announce_cancel(owner))
        self.settle(data, None)
        self.world.wait(86_400)
        self.cancel_deposit(max(idx, 1))

    @rule(idx=indices)
    def withdraw(self, idx: int) -> None:
        self.both("withdraw", (idx,), self.world.stranger, lambda: self.model.withdraw(idx))

    # -- operator, guardian, partners

    @rule(data=st.data())
    def settle_what_is_due(self, data: st.DataObject) -> None:
        self.settle(data, None)

    @rule(data=st.data(), fault=faults)
    def settle_with_faults(self, data: st.DataObject, fault: str | None) -> None:
        self.settle(data, fault)

    def settle(self, data: st.DataObject, fault: str | None) -> None:
        slots, auths = [], {}
        pool = self.model.part(self.model.policy.pool_bps) - self.model.rewards
        for idx in sorted(self.model.records):
            slot = self._draw_slot(data, idx, pool, fault)
            if slot is not None:
                pool -= slot.reward
                slots.append(slot)
                # test keys are named by a number: find the one whose commitment charges this slot
                before = self.model.account(idx)
                commit = before.key_commit or slot.key_commit
                secret = next(1_000 + key for key in range(1, 6) if commit_of(key) == commit)
                spent = before.spent + slot.charge
                auths[idx] = authorise(idx, spent, secret=secret, domain=self.model.domain)
        charges = sum(slot.charge for slot in slots)
        if fault == "rewards" and slots and slots[0].reward == 0:
            slots[0] = Slot(**(vars(slots[0]) | {"reward": pool + 1}))
        first = charges * data.draw(parts) // 100
        gross = {HOUSE: 0, PARTNERS[0]: first, PARTNERS[1]: charges - first}
        if fault == "sum":
            gross[PARTNERS[1]] += 1
        gross = {partner: amount for partner, amount in gross.items() if amount}
        receipts = charges + (fault == "receipts")
        self.model.now = self.world.next_time()
        predicted = self.model.rollup.copy().prove_inputs(self.model.batches + 1, slots, auths, SIZE)
        try:
            self.model.settle(slots, auths, gross, receipts, SIZE)
            expected = None
        except Refused as refused:
            expected = refused.error
        assert self.world.settle(predicted, gross, receipts) == expected

    def _draw_slot(self, data: st.DataObject, idx: int, pool: int, fault: str | None) -> Slot | None:
        """A slot on the account that the rollup's rules allow; a fault breaks a rule of the contract's."""
        record, before = self.model.records[idx], self.model.account(idx)
        if data.draw(st.integers(0, 9)) == 0 or (record.status >= Status.FROZEN and fault != "frozen"):
            return None
        key_commit = 0
        if record.pending_key and (before.key_commit == 0 or data.draw(st.booleans())):
            key_commit = record.pending_key
        if fault == "key" and before.key_commit:
            key_commit = data.draw(keys)
        if before.key_commit == 0 and key_commit == 0:
            return None
        deposit = record.pending_deposit * data.draw(parts) // 100 + (fault == "deposit")
        reward = pool * data.draw(parts) // 100
        balance = before.balance + deposit + reward
        charge = balance * data.draw(parts) // 100
        balance -= charge
        withdraw, drain = 0, False
        if record.pending_withdrawal and data.draw(st.booleans()):
            drain = record.pending_withdrawal > balance
            withdraw = balance if drain else record.pending_withdrawal
        elif fault == "withdrawal" and balance:
            withdraw = data.draw(st.integers(1, balance))
        return Slot(idx, charge, reward, deposit, withdraw, drain, key_commit)

    @rule(data=st.data(), who=wallets, resume=st.sampled_from((True, True, True, False)))
    def pause(self, data: st.DataObject, who: int, resume: bool) -> None:
        """What a pause stops is tried at once; most of the time it ends then, so that histories go on."""
        self.both("pause", (), self.world.guardian, lambda: setattr(self.model, "paused", True))
        self.fund(who, VIBES)
        self.settle(data, None)
        if resume:
            self.unpause()

    @rule()
    def unpause(self) -> None:
        self.both("unpause", (), self.world.guardian, lambda: setattr(self.model, "paused", False))

    @rule(partner=st.sampled_from(PARTNERS), bps=st.integers(0, 5_000))
    def change_terms(self, partner: int, bps: int) -> None:
        self.world.set_bps(partner, bps)
        self.model.terms[partner] = bps

    @rule(partner=st.sampled_from(PARTNERS))
    def apply_terms(self, partner: int) -> None:
        self.both("applyTerms", (partner,), self.world.stranger, lambda: self.model.apply_terms(partner))

    @rule(partner=st.sampled_from(PARTNERS))
    def claim_partner(self, partner: int) -> None:
        self.both("claimPartner", (partner,), self.world.stranger, lambda: self.model.claim_partner(partner))

    @rule()
    def claim_fee_and_treasury(self) -> None:
        self.both("claimFee", (), self.world.stranger, self.model.claim_fee)
        self.both("claimTreasury", (), self.world.stranger, self.model.claim_treasury)

    @rule(seconds=waits)
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    # -- what holds at all times

    @invariant()
    def same_accounts(self) -> None:
        if not hasattr(self, "model"):
            return
        for idx, record in self.model.records.items():
            assert self.world.account(idx) == vars(record), f"account {idx}"

    @invariant()
    def same_root_and_totals(self) -> None:
        if not hasattr(self, "model"):
            return
        model = self.model
        assert self.world.view("stateRoot") == model.rollup.root == self.world.replayed_root()
        assert self.world.view("batchNumber") == model.batches
        totals = self.world.view("totals")
        assert totals[0] == model.gross
        assert totals[2] == sum(partner.earned for partner in model.partners.values())
        assert totals[5] == model.treasury
        assert sum(totals[1:6]) == model.gross
        assert totals[1] == model.gross * model.policy.burn_bps // BPS
        frozen = any(record.status >= Status.FROZEN for record in model.records.values())
        assert self.world.view("anyFrozen") == frozen

    @invariant()
    def held_is_owed(self) -> None:
        if hasattr(self, "model"):
            assert self.world.held() == self.model.held() == self.model.liabilities()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with deployed_world(SIZE) as deployed:
        yield deployed


def test_contract_and_specification_agree_on_random_histories(world: World) -> None:
    machine: Any = type("Run", (Machine,), {"world": world}).TestCase
    machine.settings = settings(
        max_examples=10,
        stateful_step_count=30,
        suppress_health_check=list(HealthCheck),  # every step is a handful of calls to a node
        phases=(
            Phase.explicit,
            Phase.reuse,
            Phase.generate,
        ),  # a failure names its steps; shrinking takes hours
    )
    machine("runTest").runTest()
