"""What to offer for a transaction: the market's price, or enough to replace the one that is stuck.

Source: EIP-1559; the replacement rule is that of the public transaction pools (geth: 10 %, erigon: 12.5 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.errors import FeeLimitReached
from bridge.tables import Fees

RAISE_BPS = 1_250
"""By how much a replacement offers more, at least; pools refuse less than 10 to 12.5 %."""
WHOLE_BPS = 10_000


@dataclass(frozen=True)
class Market:
    """What the chain asks for now, wei per gas.

    base_fee_wei: of the newest block, None for legacy transactions. tip_wei: the node's suggestion for the
    tip, or for the whole gas price of a legacy transaction.
    """

    base_fee_wei: int | None
    tip_wei: int


def raised(amount_wei: int) -> int:
    """The least that replaces an offer."""
    return -(-amount_wei * (WHOLE_BPS + RAISE_BPS) // WHOLE_BPS)


def offer(market: Market, limit_wei: int, replaced: Sequence[Fees] = ()) -> Fees:
    """Fees for a new transaction that has to replace all of `replaced`, which have its nonce.

    limit_wei: most to pay per gas. Raises FeeLimitReached if that does not do.
    """
    least_wei = max((raised(fees.max_fee_wei) for fees in replaced), default=0)
    if market.base_fee_wei is None:
        least_wei = max(least_wei, 1)
        price_wei = max(least_wei, min(market.tip_wei, limit_wei))
        if price_wei > limit_wei:
            raise FeeLimitReached(price_wei, limit_wei)
        return Fees(price_wei, None)
    least_tip_wei = max((raised(_tip(fees)) for fees in replaced), default=0)
    least_wei = max(least_wei, least_tip_wei, market.base_fee_wei)
    if least_wei > limit_wei:
        raise FeeLimitReached(least_wei, limit_wei)
    tip_wei = max(least_tip_wei, min(market.tip_wei, limit_wei))
    # Twice the base fee stays includable through six full blocks in a row (EIP-1559: +12.5 % each).
    wanted_wei = 2 * market.base_fee_wei + tip_wei
    return Fees(max(least_wei, min(wanted_wei, limit_wei)), tip_wei)


def _tip(fees: Fees) -> int:
    return fees.max_fee_wei if fees.tip_wei is None else fees.tip_wei
