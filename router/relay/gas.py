"""What a chain tx offers for gas: the market's price within the operator's limit, or more than a stuck one.

Source: EIP-1559; the rule for replacements is that of the public transaction pools.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.relay.node import Market

RAISE_PERCENT: Final = 113
"""A replacement offers at least this much of the old offer; pools refuse less than 110 to 112.5."""


class FeesTooHigh(Exception):
    """The chain asks for more than the operator pays."""

    def __init__(self, asked_wei: int, limit_wei: int) -> None:
        super().__init__(f"gas costs {asked_wei} wei, the limit is {limit_wei}")
        self.asked_wei, self.limit_wei = asked_wei, limit_wei


@dataclass(frozen=True)
class Fees:
    """An offer.

    Args:
        max_fee_wei: most for one gas, or the gas price of a legacy tx.
        tip_wei: the part for the block's producer, None for a legacy tx.
    """

    max_fee_wei: int
    tip_wei: int | None


def offer(market: Market, limit_wei: int, replaced: Fees | None = None) -> Fees:
    """Fees for a new tx, or for one that takes the place of a stuck one.

    Twice the base fee stays enough through six full blocks in a row; a limit that still covers the present
    base fee is offered instead.

    Raises:
        FeesTooHigh: the limit does not do.
    """
    least_wei = _raised(replaced.max_fee_wei) if replaced else 0
    if market.base_fee_wei is None:
        least_wei = max(market.tip_wei, least_wei)
        if least_wei > limit_wei:
            raise FeesTooHigh(least_wei, limit_wei)
        return Fees(least_wei, None)
    least_tip_wei = _raised(replaced.tip_wei or 0) if replaced else 0
    tip_wei = max(min(market.tip_wei, limit_wei), least_tip_wei)
    least_wei = max(least_wei, tip_wei, market.base_fee_wei)
    if least_wei > limit_wei:
        raise FeesTooHigh(least_wei, limit_wei)
    return Fees(max(least_wei, min(2 * market.base_fee_wei + tip_wei, limit_wei)), tip_wei)


def _raised(fee_wei: int) -> int:
    return -(-fee_wei * RAISE_PERCENT // 100)
