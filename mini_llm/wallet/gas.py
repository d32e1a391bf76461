"""What a transaction offers for gas: the market's price within a limit, or enough to replace stuck ones.

Source: EIP-1559; the rule for replacements is that of the public pools (geth: 10 %, erigon: 12.5 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_RAISE_PERMILLE: Final = 1_125
"""A replacement offers at least this much of the old offer."""


class FeesTooHigh(Exception):
    """The chain asks for more than is to be paid."""

    def __init__(self, asked_wei: int, limit_wei: int) -> None:
        super().__init__(f"gas costs {asked_wei} wei, the limit is {limit_wei}")
        self.asked_wei, self.limit_wei = asked_wei, limit_wei


@dataclass(frozen=True)
class Market:
    """What the chain asks for gas, wei.

    Args:
        base_fee_wei: of the newest block, None on a chain of legacy transactions.
        tip_wei: what the node suggests on top of it, or as the whole price of a legacy tx.
    """

    base_fee_wei: int | None
    tip_wei: int


@dataclass(frozen=True)
class Fees:
    """An offer.

    Args:
        max_fee_wei: most for one gas, or the gas price of a legacy tx.
        tip_wei: the part for the block's producer, None for a legacy tx.
    """

    max_fee_wei: int
    tip_wei: int | None

    @property
    def fields(self) -> dict[str, int]:
        """As fields of a transaction."""
        if self.tip_wei is None:
            return {"gasPrice": self.max_fee_wei}
        return {"maxFeePerGas": self.max_fee_wei, "maxPriorityFeePerGas": self.tip_wei}


def raised(fee_wei: int) -> int:
    """The least that replaces an offer."""
    return -(-fee_wei * _RAISE_PERMILLE // 1_000)


def offer(market: Market, limit_wei: int, replaced: Sequence[Fees] = ()) -> Fees:
    """Fees for a new tx that has to replace all of `replaced`, which have its nonce.

    Twice the base fee stays enough through six full blocks in a row; a limit that still covers the present
    base fee is offered instead.

    Raises:
        FeesTooHigh: the limit does not do.
    """
    least_wei = max((raised(one.max_fee_wei) for one in replaced), default=0)
    if market.base_fee_wei is None:
        return Fees(_within(max(market.tip_wei, least_wei), limit_wei), None)
    # a legacy tx tips all that it pays
    tips = (one.max_fee_wei if one.tip_wei is None else one.tip_wei for one in replaced)
    tip_wei = max((min(market.tip_wei, limit_wei), *map(raised, tips)))
    least_wei = _within(max(least_wei, tip_wei, market.base_fee_wei), limit_wei)
    return Fees(max(least_wei, min(2 * market.base_fee_wei + tip_wei, limit_wei)), tip_wei)


def _within(fee_wei: int, limit_wei: int) -> int:
    if fee_wei > limit_wei:
        raise FeesTooHigh(fee_wei, limit_wei)
    return fee_wei
