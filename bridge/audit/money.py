"""Partner shares, burn, fee, treasury and token moves, recomputed from gross alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bridge.audit.chain import Facts, Log
from bridge.audit.checks import Mismatch, Place, Tally
from mini_llm.wallet.limits import BPS

_ZERO: Final = "0x" + "0" * 40
_PAYOUTS: Final = {
    "Withdrawn": "owner",
    "AccountExited": "owner",
    "PartnerClaimed": "to",
    "FeeClaimed": "to",
    "TreasuryClaimed": "to",
}
"""Events of payouts and the argument that names the recipient."""


@dataclass(frozen=True)
class PartnerBatch:
    """What one batch brought a partner, base units; share is what the partner's earnings grew by."""

    number: int
    block: int
    gross_base: int
    bps: int
    share_base: int


@dataclass
class Partner:
    """One partner's account; amounts in base units.

    Args:
        bps: the registry's share, basis points.
        applied_bps: the share that the settlement applied last.
        known: False before the settlement applied any.
        gross_base: settled charges.
        checkpoint_base: gross when the share last changed.
        accrued_base: earned up to the checkpoint.
        paid_base: claimed so far.
    """

    name: str
    payout: str
    bps: int
    applied_bps: int = 0
    known: bool = False
    gross_base: int = 0
    checkpoint_base: int = 0
    accrued_base: int = 0
    paid_base: int = 0
    batches: list[PartnerBatch] = field(default_factory=list)

    @property
    def earned_base(self) -> int:
        """Earned so far, paid or not: floored once per checkpoint, never per batch."""
        return self.accrued_base + (self.gross_base - self.checkpoint_base) * self.applied_bps // BPS

    @property
    def claimable_base(self) -> int:
        """Earned and not yet paid."""
        return self.earned_base - self.paid_base


@dataclass
class Money:
    """Everything that gross was split into, and every token that moved.

    Args:
        facts: shares and addresses of the contract.
        tally: counts the checks.
    """

    facts: Facts
    tally: Tally
    partners: dict[int, Partner] = field(default_factory=dict)
    gross_base: int = 0
    rewards_base: int = 0
    fee_paid_base: int = 0
    treasury_paid_base: int = 0
    tokens_in_base: int = 0
    tokens_out_base: int = 0
    deposited: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    explained: Counter[tuple[str, str]] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)

    def part(self, bps: int) -> int:
        """A share of all gross, floored on the cumulative total; base units."""
        return self.gross_base * bps // BPS

    @property
    def treasury_base(self) -> int:
        """What is left of gross after burn, fee, pool and partners."""
        facts = self.facts
        taken = self.part(facts.burn_bps) + self.part(facts.fee_bps) + self.part(facts.pool_bps)
        return self.gross_base - taken - sum(partner.earned_base for partner in self.partners.values())

    def settle(
        self, place: Place, tx_hash: str, gross: Mapping[int, int], rewards_base: int, burned_base: int
    ) -> None:
        """Counts one batch.

        Raises:
            Mismatch: rewards above the pool, a share that was never applied, or a wrong burn.
        """
        pool_base = self.part(self.facts.pool_bps) - self.rewards_base
        self.tally.at_most("rewards", place.of("pool before the batch"), pool_base, rewards_base)
        burned_before = self.part(self.facts.burn_bps)
        for partner_id, gross_base in gross.items():
            partner = self._partner(partner_id, place)
            subject = place.of(f"share of partner {partner_id}")
            self.tally.require("partner terms", subject, partner.known, "one that was applied", "none")
            earned_before = partner.earned_base
            partner.gross_base += gross_base
            share_base = partner.earned_base - earned_before
            partner.batches.append(
                PartnerBatch(place.batch or 0, place.block or 0, gross_base, partner.applied_bps, share_base)
            )
            self.gross_base += gross_base
        self.rewards_base += rewards_base
        due_base = self.part(self.facts.burn_bps) - burned_before
        self.tally.equal("burns", place.of("burned of the event"), due_base, burned_base)
        self._explain(tx_hash, _ZERO, burned_base)

    def apply(self, log: Log) -> None:
        """Counts an event that is not about one account or a batch; others are passed over.

        Raises:
            Mismatch: it pays more or less than was earned, or not to whom it should.
        """
        args, place = log.args, Place(log.block)
        if log.name == "PartnerAdded":
            self.partners[args["id"]] = Partner(args["name"], args["payout"], args["bps"])
        elif log.name == "PartnerBpsChanged":
            self._partner(args["id"], place).bps = args["bps"]
        elif log.name == "PartnerPayoutChanged":
            self._partner(args["id"], place).payout = args["payout"]
        elif log.name == "PartnerTermsApplied":
            self._apply_terms(log)
        elif log.name == "PartnerClaimed":
            self._claimed(log)
        elif log.name == "FeeClaimed":
            self.fee_paid_base += args["amount"]
            earned_base = self.part(self.facts.fee_bps)
            self._check_treasury(log, "fee", earned_base, self.fee_paid_base)
        elif log.name == "TreasuryClaimed":
            self.treasury_paid_base += args["amount"]
            self._check_treasury(log, "treasury", self.treasury_base, self.treasury_paid_base)
        elif log.name == "Transfer":
            self._transferred(log)

    def note(self, log: Log) -> None:
        """Remembers which token moves an event of the settlement explains."""
        if log.source != "settlement":
            return
        if log.name == "Deposited":
            self.deposited[log.tx_hash] += log.args["amount"]
        elif log.name in _PAYOUTS:
            self._explain(log.tx_hash, log.args[_PAYOUTS[log.name]], log.args["amount"])

    def check_flow(self, places: Mapping[str, Place]) -> None:
        """Compares, per transaction, the tokens that moved with the events that explain them.

        Args:
            places: where each transaction is, by hash.

        Raises:
            Mismatch: a payout without tokens, tokens without a payout, a deposit without tokens.
        """
        for key in sorted(self.explained.keys() | self.moved.keys()):
            tx_hash, to = key
            check = "burns" if to == _ZERO else "token flow"
            subject = f"tokens to {to} in transaction {tx_hash}"
            self.tally.equal(check, places[tx_hash].of(subject), self.explained[key], self.moved[key])
        for tx_hash, amount_base in self.deposited.items():
            place, received = places[tx_hash].of(f"deposits in transaction {tx_hash}"), self.received[tx_hash]
            self.tally.require(
                "token flow", place, received >= amount_base, f"at least {amount_base}", received
            )

    def _explain(self, tx_hash: str, to: str, amount_base: int) -> None:
        if amount_base:
            self.explained[tx_hash, to] += amount_base

    def _partner(self, partner_id: int, place: Place) -> Partner:
        if partner_id not in self.partners:
            known = ", ".join(str(known_id) for known_id in sorted(self.partners))
            raise Mismatch("partner terms", place, f"one of partners {known}", partner_id)
        return self.partners[partner_id]

    def _apply_terms(self, log: Log) -> None:
        args, place = log.args, Place(log.block, subject=f"partner {log.args['partnerId']}")
        partner = self._partner(args["partnerId"], place)
        for what, expected, actual in (
            ("gross at the checkpoint", partner.gross_base, args["checkpointGross"]),
            ("accrued at the checkpoint", partner.earned_base, args["accrued"]),
            ("share in basis points", partner.bps, args["bps"]),
        ):
            self.tally.equal("partner terms", place.of(f"{place.subject}, {what}"), expected, actual)
        partner.accrued_base, partner.checkpoint_base = partner.earned_base, partner.gross_base
        partner.applied_bps, partner.known = args["bps"], True

    def _claimed(self, log: Log) -> None:
        args, place = log.args, Place(log.block, subject=f"partner {log.args['partnerId']}")
        partner = self._partner(args["partnerId"], place)
        self.tally.equal("partner payouts", place, partner.claimable_base, args["amount"])
        self.tally.equal(
            "partner payouts", place.of(f"{place.subject}, payout address"), partner.payout, args["to"]
        )
        partner.paid_base += args["amount"]

    def _check_treasury(self, log: Log, what: str, earned_base: int, paid_base: int) -> None:
        place = Place(log.block, subject=f"{what} paid in all")
        self.tally.at_most("treasury payouts", place, earned_base, paid_base)
        self.tally.equal(
            "treasury payouts", place.of(f"recipient of {what}"), self.facts.treasury, log.args["to"]
        )

    def _transferred(self, log: Log) -> None:
        sender, to, amount_base = log.args["from"], log.args["to"], log.args["value"]
        if sender == self.facts.settlement:
            self.tokens_out_base += amount_base
            if amount_base:
                self.moved[log.tx_hash, to] += amount_base
        if to == self.facts.settlement:
            self.tokens_in_base += amount_base
            self.received[log.tx_hash] += amount_base
