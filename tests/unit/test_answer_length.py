"""How long answers are expected to be: configured at first, then as a deployment's own answers were."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import fmean

import pytest
from support.routing import Bench
from test_auto_plan import MIDDLE, STRONG, bench

from mini_llm.price import Usage
from mini_llm.routing.health import Health
from mini_llm.routing.lengths import MOST_APART, AnswerLength


def used(rig: Bench, name: str, answers: int, tokens: int, choices: int = 1, cap: int | None = None) -> None:
    for _ in range(answers):
        rig.health(name).used(rig.clock(), Usage(10, tokens), choices, cap)


def test_what_is_configured_counts_until_answers_tell() -> None:
    length = AnswerLength()
    assert length.expected(400) == 400
    for _ in range(8):
        length.measured(100)
    assert 240 <= length.expected(400) <= 260  # eight answers weigh as much as the setting
    for _ in range(500):
        length.measured(100)
    assert 100 <= length.expected(400) <= 130


def test_it_follows_a_change_within_some_hundred_answers() -> None:
    length = AnswerLength()
    for tokens in [100] * 500 + [900] * 300:
        length.measured(tokens)
    assert 800 <= length.expected(400) <= 900


@pytest.mark.parametrize(("tokens", "expected"), [(1, 400 // MOST_APART), (10**6, 400 * MOST_APART)])
def test_odd_answers_move_it_no_further_than_its_bounds(tokens: int, expected: int) -> None:
    length = AnswerLength()
    for _ in range(1000):
        length.measured(tokens)
    assert length.expected(400) == expected


def test_answers_that_were_cut_short_or_empty_tell_nothing() -> None:
    health = Health()
    for cap, written in ((16, 16), (16, 0), (None, 0)):
        for _ in range(100):
            health.used(0.0, Usage(10, written), 1, cap)
    assert health.length.expected(400) == 400
    health.used(0.0, Usage(10, 15), 1, 16)
    assert health.length.expected(400) < 400


async def test_the_cost_of_a_candidate_follows_its_own_answers() -> None:
    rig = bench(STRONG, MIDDLE)
    used(rig, "strong", 1000, 3 * 200, choices=3)
    used(rig, "middle", 1000, 900)
    decision = (await rig.plan(model="auto")).decision
    assert decision is not None
    costs = {one.model: one.cost_base for one in decision.ranked}
    tokens = decision.prompt_tokens
    assert costs["gpt-4o"] == pytest.approx(tokens * 250 + 215 * 1000, rel=0.02)
    assert costs["gpt-4o-mini"] == pytest.approx(tokens * 15 + 863 * 60, rel=0.02)


async def test_a_wordy_model_is_no_bargain() -> None:
    near = {**STRONG, "completion_usd_per_mtok": "1.0", "prompt_usd_per_mtok": "0.2"}
    rig = bench(near, MIDDLE)
    assert (await rig.names(model="auto"))[0] == "middle"
    used(rig, "middle", 1000, 2000)
    used(rig, "strong", 1000, 200)
    assert (await rig.names(model="auto"))[0] == "strong"


@pytest.mark.skipif("ROUTING_DATA" not in os.environ, reason="needs real answers: ROUTING_DATA")
@pytest.mark.parametrize("column", ["resp_mixtral", "resp_gpt4"])
def test_real_answers_are_foretold_better_than_by_the_setting(column: str) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(Path(os.environ["ROUTING_DATA"]) / "gsm8k_pair.parquet").to_pylist()
    length = AnswerLength()
    by_setting, by_answers = [], []
    for row in rows:
        written = max(1, len(row[column].encode()) // 4)
        by_setting.append(abs(400 - written))
        by_answers.append(abs(length.expected(400) - written))
        length.measured(written)
    assert fmean(by_answers) < fmean(by_setting) / 5
