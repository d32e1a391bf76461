"""The rate of VIBES and USD from a file: bounds, age, and what a new one changes."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from mini_llm.errors import ConfigError
from mini_llm.http_transport import HttpTransport
from mini_llm.routing.catalog import build_catalog
from router.config import RouterConfig, load_router_config, load_settings
from router.errors import StaleRate
from router.reload import Reload

NOW_S = 1_800_000_000
OFFER = {"model": "m", "provider": "p", "prompt_usd_per_mtok": "1", "completion_usd_per_mtok": "2"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    feed = {"file": str(tmp_path / "rate.json"), "least": 50, "most": 200, "max_age_s": 600}
    config = {
        "providers": {"p": {"base_url": "http://127.0.0.1:9/v1"}},
        "deployments": [OFFER],
        "rate_feed": feed,
    }
    (tmp_path / "router.json").write_text(json.dumps(config))
    return tmp_path / "router.json"


def tell(file: Path, told: Any) -> None:
    text = told if isinstance(told, str) else json.dumps(told)
    (file.parent / "rate.json").write_text(text)


def rate(vibes_per_usd: int, at_s: float = 0) -> dict[str, int]:
    return {"vibes_per_usd": vibes_per_usd, "at_s": int(at_s or time.time())}


def test_the_file_tells_the_rate_and_how_long_it_holds(file: Path) -> None:
    told = rate(120)
    tell(file, told)
    config = load_router_config(file, {})
    assert config.vibes_per_usd == 120
    config.require_rate(told["at_s"] + 599)
    with pytest.raises(StaleRate):
        config.require_rate(told["at_s"] + 600)


def test_a_fixed_rate_never_ages() -> None:
    RouterConfig(providers={}).with_rate(0).require_rate(10**12)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (rate(49, NOW_S), "49 is not within 50 and 200"),
        (rate(201, NOW_S), "201 is not within 50 and 200"),
        (rate(100, 2**40), "seconds from now"),
        ('{"vibes_per_usd": 100}', "is not like"),
        ('{"vibes_per_usd": 99.5, "at_s": 1}', "is not like"),
        ("100", "is not like"),
        (None, "cannot be read"),
    ],
)
def test_what_is_not_to_be_believed_is_refused(file: Path, told: Any, problem: str) -> None:
    if told is not None:
        tell(file, told)
    with pytest.raises(ConfigError, match=problem):
        load_router_config(file, {})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"vibes_per_usd": 100}, "either"), ({"rate_feed": {"file": "x", "least": 2, "most": 1}}, "least")],
)
def test_a_feed_that_makes_no_sense_is_refused(file: Path, changes: dict[str, Any], problem: str) -> None:
    tell(file, rate(100))
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ConfigError, match=problem):
        load_router_config(file, {})


async def test_a_new_rate_changes_prices_while_the_router_runs(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tell(file, rate(100))
    (file.parent / "key").write_text("0x" + "11" * 32)
    settings = load_settings(
        {
            "VIBES_CONFIG": str(file),
            "VIBES_LEDGER_URL": "sqlite:///x.db",
            "VIBES_CREDIT_ONLY": "yes",
            "VIBES_RECEIPT_KEY_FILE": str(file.parent / "key"),
        }
    )
    http = HttpTransport()
    catalog = build_catalog(settings.config, settings.config.vibes_per_usd, http)
    reload = Reload(settings, catalog)

    async def priced() -> tuple[int | None, int]:
        (deployment,) = await catalog.deployments()
        return deployment.vibes_per_usd, deployment.price.prompt_base_per_mtok

    assert await priced() == (100, 100_000_000)
    tell(file, rate(150))
    assert await reload.now()
    assert await priced() == (150, 150_000_000)
    assert reload.config.vibes_per_usd == 150
    tell(file, rate(1))
    with caplog.at_level(logging.ERROR):
        assert not await reload.now()
    assert "1 is not within 50 and 200" in caplog.text
    assert await priced() == (150, 150_000_000)
    await http.aclose()
