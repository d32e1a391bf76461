"""Prices are exact and charges are rounded once, upward."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_llm.price import MAX_TOKENS, TOKENS_PER_PRICE, Price, Usage, base_per_mtok


def test_usd_price_becomes_base_units_exactly() -> None:
    assert base_per_mtok("0.15", 100) == 15_000_000
    assert base_per_mtok("60", 100) == 6_000_000_000
    assert base_per_mtok("0", 100) == 0


@pytest.mark.parametrize("text", ["", "-1", "1e3", "NaN", "0.1 ", ".5", "1.", "0,15", "+1", "١", "9" * 10])
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain decimal"):
        base_per_mtok(text, 100)


def test_price_finer_than_a_base_unit_is_refused() -> None:
    assert base_per_mtok("0.00000001", 100) == 1
    with pytest.raises(ValueError, match="finer than a base unit"):
        base_per_mtok("0.000000001", 100)


def test_price_beyond_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="more than any model costs"):
        base_per_mtok("1000001", 100)


def test_charge_is_rounded_up_over_the_whole_call() -> None:
    price = Price(prompt_base_per_mtok=1, completion_base_per_mtok=1)
    assert price.cost_base(Usage(0, 0)) == 0
    assert price.cost_base(Usage(1, 0)) == 1
    assert price.cost_base(Usage(500_000, 500_000)) == 1  # 2 if each part were rounded
    assert price.cost_base(Usage(500_000, 500_001)) == 2


def test_each_part_of_a_usage_costs_what_it_is_priced_at() -> None:
    m = TOKENS_PER_PRICE
    price = Price(
        10 * m,
        20 * m,
        cached_base_per_mtok=m,
        cache_write_base_per_mtok=12 * m,
        audio_prompt_base_per_mtok=100 * m,
        reasoning_base_per_mtok=30 * m,
        audio_completion_base_per_mtok=200 * m,
        cache_write_1h_base_per_mtok=15 * m,
    )
    usage = Usage(
        1000,
        500,
        cached_tokens=100,
        cache_write_tokens=50,
        audio_prompt_tokens=10,
        reasoning_tokens=40,
        audio_completion_tokens=5,
        cache_write_1h_tokens=20,
    )
    read_base = 840 * 10 + 100 * 1 + 30 * 12 + 20 * 15 + 10 * 100
    written_base = 455 * 20 + 40 * 30 + 5 * 200
    assert price.cost_base(usage) == read_base + written_base
    assert price.dearest(usage) == (100 * m, 200 * m)
    assert price.scaled(5_000).cost_base(usage) == (read_base + written_base) // 2


def test_what_a_cache_keeps_for_an_hour_has_a_price_of_its_own() -> None:
    usage = Usage(100, 0, cached_tokens=10, cache_write_tokens=60, cache_write_1h_tokens=40)
    million = TOKENS_PER_PRICE
    for price, expected in (
        (
            Price(
                million, 0, cache_write_base_per_mtok=2 * million, cache_write_1h_base_per_mtok=5 * million
            ),
            280,
        ),
        (Price(million, 0, cache_write_base_per_mtok=2 * million), 160),
        (Price(million, 0, cache_write_1h_base_per_mtok=5 * million), 260),
        (Price(million, 0), 100),
        (Price(9 * million, 0, cache_write_base_per_mtok=2 * million, cache_write_1h_base_per_mtok=0), 400),
    ):
        assert price.cost_base(usage) == expected
        read, _ = price.dearest(usage)
        assert price.cost_base(usage) * million <= read * usage.prompt_tokens
        assert read <= price.highest_prompt_base_per_mtok
    only = Usage(40, 0, cache_write_tokens=40, cache_write_1h_tokens=40)
    assert Price(9, 0, cache_write_base_per_mtok=2, cache_write_1h_base_per_mtok=5).dearest(only) == (5, 0)
    assert Price(9, 0, cache_write_base_per_mtok=2).dearest(only) == (2, 0)
    assert Usage.split(100, 0, cache_write_tokens=10, cache_write_1h_tokens=11).cache_write_1h_tokens == 0
    assert Usage.split(10, 0, cache_write_tokens=11, cache_write_1h_tokens=11) == Usage(10, 0)


tokens = st.integers(0, MAX_TOKENS)
prices = st.builds(Price, st.integers(0, 10**12), st.integers(0, 10**12))


@given(prices, tokens, tokens, tokens, tokens)
def test_cost_never_falls_with_more_tokens_and_is_the_ceiling(
    price: Price, prompt: int, completion: int, more_prompt: int, more_completion: int
) -> None:
    cost_base = price.cost_base(Usage(prompt, completion))
    exact = prompt * price.prompt_base_per_mtok + completion * price.completion_base_per_mtok
    assert (
        cost_base - 1
    ) * TOKENS_PER_PRICE < exact <= cost_base * TOKENS_PER_PRICE or exact == cost_base == 0
    assert cost_base <= price.cost_base(Usage(prompt + more_prompt, completion + more_completion))


@pytest.mark.parametrize(
    "reported",
    [
        None,
        [],
        {},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": "2"},
        {"prompt_tokens": 1, "completion_tokens": None},
        {"prompt_tokens": 1, "completion_tokens": 2**63},
    ],
)
def test_implausible_usage_is_not_believed(reported: object) -> None:
    assert Usage.from_openai(reported) is None


def test_usage_is_read_with_fields_to_spare() -> None:
    reported = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": {}}
    assert Usage.from_openai(reported) == Usage(3, 4)
