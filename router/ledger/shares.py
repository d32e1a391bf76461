"""How a charge is split. Every share is floored on its cumulative total, exactly as the contract does it.

leg = earned(total after) − earned(total before), so the legs of any sequence of charges add up to
floor(total × bps / 10000); the treasury gets the rest, which differs by a few base units from call to call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from mini_llm.wallet.limits import BPS
from router.ledger import post
from router.ledger.errors import InvalidTerms
from router.ledger.models import SHARE
from router.ledger.post import Leg

MAX_PARTNER_ID: Final = 2**16 - 1

_FIND: Final = select(SHARE).where(SHARE.c.code.in_(bindparam("codes", expanding=True)))
_INSERT: Final = insert(SHARE)
_ADD: Final = (
    update(SHARE)
    .where(SHARE.c.code.in_(bindparam("codes", expanding=True)))
    .values(gross_base=SHARE.c.gross_base + bindparam("charge_base"), sequence=SHARE.c.sequence + 1)
)
_CHECKPOINT: Final = (
    update(SHARE)
    .where(SHARE.c.code == bindparam("share_code"))
    .values(
        bps=bindparam("new_bps"),
        checkpoint_gross_base=SHARE.c.gross_base,
        accrued_base=bindparam("accrued_base"),
    )
)


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

    def bps_by_code(self) -> dict[str, int]:
        """Share in basis points by ledger account."""
        return {
            post.partner(self.partner_id): self.partner_bps,
            post.FEE: self.fee_bps,
            post.BURN: self.burn_bps,
            post.POOL: self.pool_bps,
        }


@dataclass(frozen=True)
class Split:
    """A charge split into legs.

    Args:
        legs: the receivers' legs, summing to the charge.
        partner_sequence: the partner's receipt number, from 1.
        partner_total_base: the partner's gross, this charge included.
    """

    legs: tuple[Leg, ...]
    partner_sequence: int
    partner_total_base: int


def earned_base(gross_base: int, checkpoint_gross_base: int, accrued_base: int, bps: int) -> int:
    """What a share has earned in all, rounded down once on the total since its last change."""
    return accrued_base + (gross_base - checkpoint_gross_base) * bps // BPS


def split_charge(connection: Connection, terms: Terms, charge_base: int) -> Split:
    """Adds a charge to the cumulative totals and returns its split.

    A share whose basis points have changed is checkpointed first: a change is never retroactive.
    """
    wanted = terms.bps_by_code()
    rows = {row.code: row for row in connection.execute(_FIND, {"codes": list(wanted)})}
    legs: list[Leg] = []
    for code, bps in wanted.items():
        gross_base, checkpoint_base, accrued_base = _totals(connection, code, bps, rows.get(code))
        before = earned_base(gross_base, checkpoint_base, accrued_base, bps)
        after = earned_base(gross_base + charge_base, checkpoint_base, accrued_base, bps)
        legs.append((code, after - before))
    legs.append((post.TREASURY, charge_base - sum(amount_base for _, amount_base in legs)))
    connection.execute(_ADD, {"codes": list(wanted), "charge_base": charge_base})
    served = rows.get(post.partner(terms.partner_id))
    return Split(
        legs=tuple(legs),
        partner_sequence=(served.sequence if served else 0) + 1,
        partner_total_base=(served.gross_base if served else 0) + charge_base,
    )


def _totals(connection: Connection, code: str, bps: int, row: Row[Any] | None) -> tuple[int, int, int]:
    """(gross, checkpoint, accrued) of a share at `bps`, opened or checkpointed if need be."""
    if row is None:
        new = {"code": code, "bps": bps, "gross_base": 0, "checkpoint_gross_base": 0}
        connection.execute(_INSERT, new | {"accrued_base": 0, "sequence": 0})
        return 0, 0, 0
    if row.bps == bps:
        return row.gross_base, row.checkpoint_gross_base, row.accrued_base
    accrued_base = earned_base(row.gross_base, row.checkpoint_gross_base, row.accrued_base, row.bps)
    connection.execute(_CHECKPOINT, {"share_code": code, "new_bps": bps, "accrued_base": accrued_base})
    return row.gross_base, row.gross_base, accrued_base
