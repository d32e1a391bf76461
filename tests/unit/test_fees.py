"""What bridge and relay offer for the gas of their transactions."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_llm.wallet.gas import Fees, FeesTooHigh, Market, offer, raised

GWEI = 10**9
prices = st.integers(1, 10**13)


def test_the_first_offer_covers_six_full_blocks() -> None:
    assert offer(Market(10 * GWEI, 2 * GWEI), 100 * GWEI) == Fees(22 * GWEI, 2 * GWEI)
    assert offer(Market(None, 7 * GWEI), 100 * GWEI) == Fees(7 * GWEI, None)


def test_the_first_offer_stays_below_the_limit() -> None:
    assert offer(Market(10 * GWEI, 2 * GWEI), 15 * GWEI) == Fees(15 * GWEI, 2 * GWEI)
    assert offer(Market(400 * GWEI, 9000 * GWEI), 500 * GWEI) == Fees(500 * GWEI, 500 * GWEI)
    with pytest.raises(FeesTooHigh) as caught:
        offer(Market(10 * GWEI, 2 * GWEI), 10 * GWEI - 1)
    assert (caught.value.asked_wei, caught.value.limit_wei) == (10 * GWEI, 10 * GWEI - 1)
    with pytest.raises(FeesTooHigh):
        offer(Market(None, 501 * GWEI), 500 * GWEI)


def test_a_legacy_transaction_tips_all_that_it_pays() -> None:
    assert offer(Market(1, 1), 10_000, [Fees(1_000, None)]) == Fees(1_127, 1_125)


def test_all_that_hold_the_nonce_are_outbid() -> None:
    assert offer(Market(1, 1), 10_000, [Fees(3_000, 800), Fees(1_000, 900)]) == Fees(3_375, 1_013)


@pytest.mark.parametrize("base_fee_wei", [None, 1])
def test_a_replacement_beyond_the_limit_is_refused(base_fee_wei: int | None) -> None:
    old = Fees(1_000, None if base_fee_wei is None else 800)
    market = Market(base_fee_wei, 1)
    assert offer(market, 1_125, [old]).max_fee_wei == 1_125
    with pytest.raises(FeesTooHigh):
        offer(market, 1_124, [old])


def test_raising_rounds_up() -> None:
    assert [raised(one) for one in (1, 8, 9, 1_000)] == [2, 9, 11, 1_125]


@given(base_fee=prices, tip=prices, old_fee=prices, old_tip=prices)
def test_a_replacement_raises_both_fields_by_an_eighth(
    base_fee: int, tip: int, old_fee: int, old_tip: int
) -> None:
    old = Fees(max(old_fee, old_tip), old_tip)
    new = offer(Market(base_fee, tip), 10**15, [old])
    assert new.tip_wei is not None
    assert 8 * new.max_fee_wei >= 9 * old.max_fee_wei
    assert 8 * new.tip_wei >= 9 * old_tip
    assert new.max_fee_wei >= new.tip_wei
    assert new.max_fee_wei >= base_fee


@given(base_fee=st.none() | prices, tip=prices, old=prices, limit=prices)
def test_no_offer_exceeds_the_limit(base_fee: int | None, tip: int, old: int, limit: int) -> None:
    for replaced in ([], [Fees(old, None)], [Fees(old, old)]):
        with contextlib.suppress(FeesTooHigh):
            fees = offer(Market(base_fee, tip), limit, replaced)
            assert (fees.tip_wei or 0) <= fees.max_fee_wei <= limit
