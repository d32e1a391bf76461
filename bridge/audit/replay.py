"""Rebuilds the account tree batch by batch from calldata and checks every proof on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.audit.accounts import Accounts
from bridge.audit.calldata import BatchCall, check_operator, fetch_call
from bridge.audit.chain import Chain, Log
from bridge.audit.checks import Mismatch, Place, Tally
from bridge.audit.money import Money
from bridge.groth16 import verify_proof
from bridge.progress import Progress
from bridge.rollup.batch import (
    Slot,
    batch_words,
    challenge,
    commit_words,
    decode_partner_word,
    decode_slot,
    evaluate,
)
from bridge.rollup.errors import InvalidTransition
from bridge.rollup.transition import AccountState, RollupState
from mini_llm.wallet.ceiling import settlement_domain
from mini_llm.wallet.limits import BPS


@dataclass(frozen=True)
class Verifier:
    """The registered verifier of one batch size, or with 0 slots that of exits."""

    address: str
    slots: int
    circuit_hash: str
    development: bool
    key: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """One settled batch; amounts in base units.

    Args:
        spent_base: for each charged account, its cumulative charges before and after the batch.
        partner_gross_base: charges by partner.
    """

    number: int
    block: int
    tx_hash: str
    size: int
    slots: tuple[Slot, ...]
    spent_base: Mapping[int, tuple[int, int]]
    partner_gross_base: Mapping[int, int]
    receipts_root: bytes
    gross_base: int
    rewards_base: int
    burned_base: int

    @property
    def place(self) -> Place:
        """Where it is on the chain."""
        return Place(self.block, self.number)


@dataclass
class Replay:
    """The state of the whole system after the events so far.

    Args:
        chain: where transactions and verifiers are read.
        tally: counts the checks.
        accounts: the owners' side.
        money: the partners' and the treasury's side.
        batches: settled so far.
        verifiers: registered so far, by batch size.
        signers: every receipt signer the contract ever named.
        operator, guardian: named last.
    """

    chain: Chain
    tally: Tally
    accounts: Accounts
    money: Money
    state: RollupState = field(init=False)
    exit_verifier: Verifier = field(init=False)
    batches: list[Batch] = field(default_factory=list)
    verifiers: dict[int, Verifier] = field(default_factory=dict)
    signers: list[str] = field(default_factory=list)
    operator: str = "none"
    guardian: str = "none"

    def __post_init__(self) -> None:
        facts = self.chain.facts
        domain = settlement_domain(facts.chain_id, facts.settlement)
        self.tally.equal("deployment", Place(subject="domain"), domain, facts.domain)
        self.state = RollupState(domain)
        self.exit_verifier = self._verifier(facts.exit_verifier, 0, Place(subject="verifier of exits"))

    def apply(self, log: Log) -> None:
        """Moves to the state after the next event.

        Raises:
            Mismatch: the event cannot follow from the ones before.
        """
        self.money.note(log)
        handler = {
            "AccountOpened": self.accounts.opened,
            "Deposited": self.accounts.deposit,
            "SessionKeyRequested": self.accounts.key_request,
            "WithdrawalRequested": self.accounts.withdrawal_request,
            "Withdrawn": self.accounts.withdrawn,
            "DepositCancelAnnounced": self.accounts.cancel_announced,
            "DepositCancelled": self.accounts.cancelled,
            "AccountFrozen": self._frozen,
            "AccountExited": self.accounts.exited,
            "Paused": self._paused,
            "Unpaused": self._paused,
            "GuardianChanged": self._guardian_changed,
            "VerifierRegistered": self._verifier_registered,
            "OperatorChanged": self._operator_changed,
            "ReceiptSignerChanged": self._signer_changed,
            "BatchSettled": self._settled,
        }.get(log.name)
        if log.source == "timelock":
            self._delay_changed(log)
        elif handler is not None and log.source == "settlement":
            handler(log)
        else:
            self.money.apply(log)

    def _operator_changed(self, log: Log) -> None:
        self.operator = log.args["operator"]

    def _delay_changed(self, log: Log) -> None:
        """The rules could at no time be changed faster than anybody can leave."""
        if self.signers:  # before, there was no settlement to leave
            delay_s, leaving_s = log.args["newDuration"], self.chain.facts.leaving_s
            place = Place(log.block, subject="delay of the timelock")
            self.tally.require("roles", place, delay_s >= leaving_s, f"at least {leaving_s} s", delay_s)

    def _guardian_changed(self, log: Log) -> None:
        self.guardian = log.args["guardian"]

    def _paused(self, log: Log) -> None:
        self.accounts.paused = log.name == "Paused"

    def _frozen(self, log: Log) -> None:
        self.accounts.frozen(log, self.state.root, self._account(log.args["idx"]).balance)

    def _signer_changed(self, log: Log) -> None:
        self.signers.append(log.args["receiptSigner"])

    def _verifier_registered(self, log: Log) -> None:
        slots, address = log.args["slots"], log.args["verifier"]
        place = Place(log.block, subject=f"verifier of {slots} slots")
        self.tally.equal(
            "deployment", place.of(f"{place.subject}, address"), address, self.chain.view("verifierOf", slots)
        )
        self.verifiers[slots] = self._verifier(address, slots, place)

    def _verifier(self, address: str, slots: int, place: Place) -> Verifier:
        read = self.chain.verifier(address)
        self.tally.equal("deployment", place.of(f"{place.subject}, size"), slots, read["slots"])
        circuit = "0x" + bytes(read["circuitHash"]).hex()
        return Verifier(address, slots, circuit, read["isDevelopment"], tuple(read["verifyingKey"]))

    def _settled(self, log: Log) -> None:
        place = Place(log.block, log.args["batchNumber"])
        self.tally.equal("batch order", place, len(self.batches) + 1, log.args["batchNumber"])
        self.accounts.require_running(place.of("batch"))
        call, transaction = fetch_call(self.chain, log, place, self.tally)
        self.tally.equal("root chain", place, self.state.root, call.old_root)
        slots = self._decode(call, place)
        for slot in slots:
            self.accounts.serve(slot, place)
        before = {slot.idx: self._account(slot.idx).spent for slot in slots if slot.charge}
        self._advance(call, slots, place)
        self._check_proof(call, slots, place)
        partner_gross = self._partner_gross(call, place)
        batch = Batch(
            place.batch or 0, log.block, log.tx_hash, call.size, slots,
            {idx: (spent, self._account(idx).spent) for idx, spent in before.items()}, partner_gross,
            call.receipts_root, log.args["gross"], log.args["rewards"], log.args["burned"],
        )  # fmt: skip
        self._check_sums(call, batch, log)
        self._check_rewards(batch)
        self.money.settle(batch.place, batch.tx_hash, partner_gross, batch.rewards_base, batch.burned_base)
        check_operator(transaction, log, self.operator, place, self.tally)
        self.batches.append(batch)

    def _account(self, idx: int) -> AccountState:
        return self.state.accounts.get(idx, AccountState())

    def _decode(self, call: BatchCall, place: Place) -> tuple[Slot, ...]:
        self.tally.equal("slot words", place.of("words per slot"), 0, len(call.words) % 2)
        slots: list[Slot] = []
        for position in range(call.size):
            where = place.of(f"slot {position}")
            w0, w1 = call.words[2 * position : 2 * position + 2]
            try:
                slot = decode_slot(w0, w1)
            except InvalidTransition as error:
                raise Mismatch("slot words", where, "a canonical word", str(error)) from error
            if slot is not None:
                self.tally.require(
                    "slot words", where, len(slots) == position, "padding last", "a slot after padding"
                )
                slots.append(slot)
        return tuple(slots)

    def _advance(self, call: BatchCall, slots: tuple[Slot, ...], place: Place) -> None:
        try:
            self.state.apply(slots)
        except InvalidTransition as error:
            raise Mismatch("slot words", place, "slots that keep the rules", str(error)) from error
        self.tally.equal("state roots", place, self.state.root, call.new_root)

    def _check_proof(self, call: BatchCall, slots: tuple[Slot, ...], place: Place) -> None:
        verifier = self.verifiers.get(call.size)
        if verifier is None:
            raise Mismatch("proofs", place, "a registered batch size", f"{call.size} slots")
        words = batch_words(self.state.domain, call.old_root, call.new_root, slots, call.size)
        commitment = commit_words(words)
        self.tally.equal("commitments", place, commitment, call.commitment)
        r = challenge(place.batch or 0, words, commitment)
        public = (commitment, r, evaluate(words, r))
        try:
            holds = verify_proof(verifier.key, call.proof, public)
        except ValueError as error:
            raise Mismatch("proofs", place, "a verifying key of curve points", str(error)) from error
        self.tally.require("proofs", place, holds, "a proof that holds", [hex(word) for word in call.proof])

    def _partner_gross(self, call: BatchCall, place: Place) -> dict[int, int]:
        gross: dict[int, int] = {}
        for word in call.partner_words:
            try:
                partner_id, gross_base = decode_partner_word(word)
            except InvalidTransition as error:
                raise Mismatch(
                    "gross sums", place.of("partner words"), "a canonical word", str(error)
                ) from error
            rising = not gross or partner_id > max(gross)
            self.tally.require(
                "gross sums", place.of("partner words"), rising, "rising partner ids", partner_id
            )
            gross[partner_id] = gross_base
        return gross

    def _check_sums(self, call: BatchCall, batch: Batch, log: Log) -> None:
        charges = sum(slot.charge for slot in batch.slots)
        where, equal = batch.place, self.tally.equal
        equal("gross sums", where.of("partner words"), charges, sum(batch.partner_gross_base.values()))
        equal("gross sums", where.of("receipts total"), charges, call.receipts_total)
        equal("gross sums", where.of("gross of the event"), charges, batch.gross_base)
        equal("batch calldata", where.of("slots of the event"), call.size, log.args["slots"])

    def _check_rewards(self, batch: Batch) -> None:
        rewards = sum(slot.reward for slot in batch.slots)
        where, pool_bps = batch.place, self.chain.facts.pool_bps
        self.tally.equal("rewards", where.of("rewards of the event"), rewards, batch.rewards_base)
        for slot in batch.slots:
            earned = self.accounts.rewards_base.get(slot.idx, 0)
            highest = self._account(slot.idx).spent * pool_bps // BPS
            self.tally.at_most("rewards", where.of(f"account {slot.idx}, cumulative"), highest, earned)


def replay_events(chain: Chain, logs: list[Log], tally: Tally, progress: Progress) -> Replay:
    """The state after all events.

    Raises:
        Mismatch: the first event that cannot follow from the ones before.
    """
    accounts = Accounts(tally, chain.facts.service_deadline_s, chain.time_s)
    replay = Replay(chain, tally, accounts, Money(chain.facts, tally))
    for done, log in enumerate(logs, start=1):
        replay.apply(log)
        if log.name == "BatchSettled":
            progress("batches", done, len(logs))
    progress("batches", len(logs), len(logs))
    return replay
