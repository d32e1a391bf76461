"""How `vibes status` tells people what it found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.standing import standing
from bridge.status import ChainFacts, Keys, OpenBatch, Status
from bridge.tables import Alert
from bridge.times import span
from mini_llm.wallet.money import vibes

SENT = "0x" + "ef" * 32
FOUND = Status(
    settlement="0x" + "ab" * 20,
    chain=ChainFacts(
        80_002, 12, 1_234_567, 1_790_000_000, 1_789_999_000, 5 * 10**17, Keys("0xo", "0xr", "0xg", {})
    ),
    indexed_block=1_234_000,
    lag_blocks=567,
    lag_s=1_000,
    accounts=3,
    frozen_accounts=1,
    paused=True,
    batches=7,
    last_batch=7,
    last_tx="0x" + "cd" * 32,
    open_batches=(OpenBatch(8, "submitted", 4, 1_500_000, 65, 2, SENT),),
    unsettled_base=2_000_001,
    unsettleable_base=5,
    queue_age_s=7_500,
    next_deadline_s=-30,
    waiting_requests=2,
    unmirrored_events=0,
    deficits={3: 1_000_000},
    leader="host:1",
    alerts=(Alert("reorg", "two blocks", 1_790_000_000, None),),
)


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_amounts_times_and_hashes_are_whole() -> None:
    told = rows(standing(FOUND, {"lagging": "blocks are not read"}))
    assert {
        f"settlement {FOUND.settlement} (deposits and batches are PAUSED)",
        "newest block 1,234,567 of 2026-09-21 14:13:20 UTC",
        "read up to 1,234,000, 567 blocks and 16 min 40 s behind",
        "charged, not settled 2.000001 VIBES",
        "never to be settled 0.000005 VIBES, of accounts that left",
        "oldest has waited 2 h 5 min",
        "next deadline in -30 s",
        f"final 7, the last is 7 in {FOUND.last_tx}",
        f"batch 8 submitted for 1 min 5 s: 4 accounts, 1.500000 VIBES, 2 transactions, the last {SENT}",
        "deficit of account 3 1.000000 VIBES",
        "operator 0xo, has 0.500000 ether for gas",
        "reorg two blocks (since 2026-09-21 14:13:20 UTC)",
    } <= set(told)
    assert told[-2:] == ["needs attention:", "lagging: blocks are not read"]


@pytest.mark.parametrize(
    ("amount_base", "words"),
    [(0, "0.000000"), (-1, "-0.000001"), (-1_500_000, "-1.500000"), (1_234_567_890_123, "1,234,567.890123")],
)
def test_amounts_of_vibes(amount_base: int, words: str) -> None:
    assert vibes(amount_base) == words


def test_a_node_that_is_away_is_said() -> None:
    told = rows(standing(replace(FOUND, chain=None, lag_blocks=None, lag_s=None, last_batch=None), {}))
    assert {"node does not answer", "read up to 1,234,000", "final 7"} <= set(told)
    assert told[-1] == "health: good"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_600, "1 h"), (90_061, "1 d 1 h"), (-61, "-1 min 1 s")],
)
def test_lengths_of_time(seconds: int, words: str) -> None:
    assert span(seconds) == words
