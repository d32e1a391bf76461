"""What the dearest choice would have cost: which models count, and which calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mini_llm.deployment import Deployment
from mini_llm.price import Price
from mini_llm.request import Need
from router.ledger.usage import Source, Usage
from router.web.savings import compare

CHEAP = Deployment("up/cheap", "cheap", "up", "cheap", 0, Price(100, 200), 128_000, 4_000)
DEAR = replace(CHEAP, id="up/dear", model="dear", price=Price(1_000, 5_000))
SHORT = replace(CHEAP, id="up/short", model="short", price=Price(9_000, 9_000), context_tokens=1_000)
VECTORS = replace(
    CHEAP, id="up/v", model="vectors", price=Price(50_000, 0), capabilities=frozenset({Need.EMBEDDINGS})
)
ROW = Usage(20_000, Source.ACCOUNT, "cheap", 0, 3, 2_000_000, 1_000_000, 2_000, 400, 0)


def test_the_dearest_that_has_room_counts_at_the_accounts_price() -> None:
    found = compare([ROW], [CHEAP, DEAR, SHORT, VECTORS], 8_000)
    assert found.dearest_base == 2 * 800 + 4_000
    assert (found.paid_base, found.saved_base) == (400, 5_200)
    assert found.saved_bps == 5_200 * 10_000 // 5_600
    assert (found.dearest, found.calls, found.left_out) == (("dear",), 3, 0)


def test_a_small_call_could_have_gone_to_a_model_with_little_room() -> None:
    assert compare([replace(ROW, largest_tokens=1_000)], [CHEAP, SHORT], 10_000).dearest == ("short",)


def test_what_wrote_nothing_is_compared_with_what_embeds() -> None:
    row = replace(ROW, completion_tokens=0)
    assert compare([row], [CHEAP, DEAR, VECTORS], 10_000).dearest == ("vectors",)
    assert compare([row], [CHEAP, DEAR], 10_000).left_out == 3


@pytest.mark.parametrize("source", [Source.OWN_KEY, Source.OTHERS])
def test_what_the_account_did_not_pay_is_left_out(source: str) -> None:
    found = compare([ROW, replace(ROW, source=source, calls=2)], [DEAR], 10_000)
    assert (found.calls, found.left_out) == (3, 2)


def test_a_choice_that_cost_more_saved_nothing() -> None:
    found = compare([replace(ROW, charge_base=10**9)], [CHEAP], 10_000)
    assert (found.saved_base, found.saved_bps) == (0, 0)


def test_without_usage_there_is_nothing_to_compare() -> None:
    found = compare([], [CHEAP], 10_000)
    assert (found.calls, found.saved_base, found.saved_bps) == (0, 0, 0)
