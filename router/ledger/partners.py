"""Partners as the chain has them: what the bridge reads off it, and the router shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from router.ledger import batches
from router.ledger.shares import earned_base


@dataclass(frozen=True)
class PartnerFigures:
    """A partner in the registry and in the settlement contract; amounts in base units.

    Args:
        partner_id: its number, from 1.
        name: its name in the registry.
        payout: address that its share is paid to.
        active: False once it was deactivated.
        registered_bps: its share as the registry has it.
        bps: its share as it is applied, which follows the registry's with its first batch or `applyTerms`.
        gross_base: all charges that batches have settled for it.
        checkpoint_gross_base: the part of them from before `bps` applied.
        accrued_base: what it had earned then.
        paid_base: what it was paid.
    """

    partner_id: int
    name: str
    payout: str
    active: bool
    registered_bps: int
    bps: int
    gross_base: int
    checkpoint_gross_base: int
    accrued_base: int
    paid_base: int

    @property
    def shown_bps(self) -> int:
        """The share that its calls earn: the registry's until the first batch takes that over."""
        return self.bps if self.gross_base else self.registered_bps

    @property
    def earned_base(self) -> int:
        """Its share of all that was settled, rounded down as the contract does it."""
        return earned_base(self.gross_base, self.checkpoint_gross_base, self.accrued_base, self.bps)

    @property
    def claimable_base(self) -> int:
        """What `claimPartner` would pay."""
        return self.earned_base - self.paid_base


@dataclass(frozen=True)
class Partners:
    """All partners as of a block, by number; `written_s` is when the bridge said so, unix seconds."""

    block: int
    written_s: int
    by_id: Mapping[int, PartnerFigures]


def partners_document(block: int, partners: Sequence[PartnerFigures]) -> dict[str, Any]:
    """The bridge's report on partners, as JSON."""
    return {"block": block, "partners": [asdict(one) for one in partners]}


def partners(connection: Connection) -> Partners | None:
    """What the bridge last told of partners, None if it has not yet."""
    report = batches.bridge_report(connection)
    told = report and report.document.get("partners")
    if not report or not told:
        return None
    figures = [PartnerFigures(**one) for one in told["partners"]]
    return Partners(told["block"], report.written_s, {one.partner_id: one for one in figures})
