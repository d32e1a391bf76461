"""How a charge is split. Every share is floored on its cumulative total, exactly as the contract does it.

leg = earned(total after) − earned(total before), so the legs of any sequence of charges add up to
floor(total × bps / 10000); the treasury gets the rest, which differs by a few base units from call to call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from mini_llm.wallet.limits import BPS
from router.ledger import post
from router.ledger.errors import InvalidTerms
from router.ledger.post import Leg

MAX_PARTNER_ID: Final = 2**16 - 1


@dataclass(frozen=True)
class Terms:
    """Who gets what of a charge, in basis points; the treasury gets the rest.

    Args:
        partner_id: partner that serves the call, 0 for the house.
        partner_bps: its share of its own gross (0 for the house).
        fee_bps: protocol fee of all gross.
        burn_bps: burned part of all gross.
        pool_bps: part of all gross that feeds the reward pool.

    Raises:
        InvalidTerms: if a share is negative, all together exceed 10,000, or the partner id is out of range.
    """

    partner_id: int
    partner_bps: int
    fee_bps: int
    burn_bps: int
    pool_bps: int

    def __post_init__(self) -> None:
        shares = (self.partner_bps, self.fee_bps, self.burn_bps, self.pool_bps)
        if min(shares) < 0 or sum(shares) > BPS:
            raise InvalidTerms(f"{shares} bps are not shares of one whole")
        if not 0 <= self.partner_id <= MAX_PARTNER_ID:
            raise InvalidTerms(f"partner id {self.partner_id} is not in 0 … {MAX_PARTNER_ID}")

    @cached_property
    def bps_by_code(self) -> Mapping[str, int]:
        """Share in basis points by ledger account, the partner's first."""
        return {
            post.partner(self.partner_id): self.partner_bps,
            post.FEE: self.fee_bps,
            post.BURN: self.burn_bps,
            post.POOL: self.pool_bps,
        }


class Split(NamedTuple):
    """A charge split into legs.

    Args:
        legs: the receivers' legs, summing to the charge.
        partner_sequence: the partner's receipt number, from 1.
        partner_total_base: the partner's gross, this charge included.
    """

    legs: tuple[Leg, ...]
    partner_sequence: int
    partner_total_base: int


@dataclass(slots=True)
class ShareSum:
    """One receiver's running sums, as in the table `share`."""

    code: str
    bps: int
    gross_base: int = 0
    checkpoint_gross_base: int = 0
    accrued_base: int = 0
    sequence: int = 0

    def earned_base(self) -> int:
        """What it has earned in all."""
        return earned_base(self.gross_base, self.checkpoint_gross_base, self.accrued_base, self.bps)

    def leg_base(self, bps: int, charge_base: int) -> int:
        """What a charge at `bps` would add; a share that changes with it starts from a new checkpoint."""
        if bps != self.bps:
            return charge_base * bps // BPS
        since_base = self.gross_base - self.checkpoint_gross_base
        return (since_base + charge_base) * bps // BPS - since_base * bps // BPS

    def add(self, bps: int, charge_base: int) -> None:
        """Adds a charge. A change of basis points is checkpointed first: it is never retroactive."""
        if bps != self.bps:
            self.accrued_base = self.earned_base()
            self.checkpoint_gross_base = self.gross_base
            self.bps = bps
        self.gross_base += charge_base
        self.sequence += 1


def earned_base(gross_base: int, checkpoint_gross_base: int, accrued_base: int, bps: int) -> int:
    """What a share has earned in all, rounded down once on the total since its last change."""
    return accrued_base + (gross_base - checkpoint_gross_base) * bps // BPS


def split_charge(shares: Mapping[str, ShareSum], terms: Terms, charge_base: int) -> Split:
    """Splits a charge on the cumulative totals, without adding it to them.

    Args:
        shares: the sums of every share of the terms.
        terms: who gets what.
        charge_base: base units.
    """
    wanted = terms.bps_by_code
    legs = [(code, shares[code].leg_base(bps, charge_base)) for code, bps in wanted.items()]
    legs.append((post.TREASURY, charge_base - sum([amount_base for _, amount_base in legs])))
    served = shares[next(iter(wanted))]
    return Split(tuple(legs), served.sequence + 1, served.gross_base + charge_base)
