"""What x402's chain transactions offer for gas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.relay.gas import Fees, FeesTooHigh, offer
from router.relay.node import Market

GWEI = 10**9
WEI = st.integers(1, 10**13)


def test_the_market_is_offered_with_room_for_a_rising_base_fee() -> None:
    assert offer(Market(30 * GWEI, 2 * GWEI), 500 * GWEI) == Fees(62 * GWEI, 2 * GWEI)


def test_a_legacy_chain_gets_one_price() -> None:
    assert offer(Market(None, 7 * GWEI), 500 * GWEI) == Fees(7 * GWEI, None)


def test_the_limit_is_offered_while_it_covers_the_base_fee() -> None:
    assert offer(Market(400 * GWEI, 9000 * GWEI), 500 * GWEI) == Fees(500 * GWEI, 500 * GWEI)
    with pytest.raises(FeesTooHigh):
        offer(Market(501 * GWEI, GWEI), 500 * GWEI)
    with pytest.raises(FeesTooHigh):
        offer(Market(None, 501 * GWEI), 500 * GWEI)


@given(st.none() | WEI, WEI, WEI, WEI, WEI)
def test_a_replacement_outbids_within_the_limit(
    base: int | None, tip: int, limit: int, old_fee: int, old_tip: int
) -> None:
    old = Fees(max(old_fee, old_tip), None if base is None else old_tip)
    try:
        new = offer(Market(base, tip), limit, old)
    except FeesTooHigh as error:
        return asked_more(error, limit)
    assert new.max_fee_wei <= limit
    assert new.max_fee_wei * 1000 >= old.max_fee_wei * 1125
    assert new.max_fee_wei >= (base or 0)
    if base is not None:
        assert new.tip_wei is not None
        assert old.tip_wei is not None
        assert old.tip_wei * 1125 <= new.tip_wei * 1000 <= new.max_fee_wei * 1000


def asked_more(error: FeesTooHigh, limit: int) -> None:
    assert error.asked_wei > limit
