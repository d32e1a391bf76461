"""A changed file comes into force as a whole or not at all, under the rules of the start."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from mini_llm.config import RoutingConfig
from mini_llm.http_transport import HttpTransport
from mini_llm.routing.catalog import build_catalog
from router.config import RouterConfig, Settings, load_settings
from router.config_money import Policy
from router.reload import CHANGEABLE, SPLIT, Reload, fixed_changes

OFFER = {"model": "pithy-1", "provider": "p", "prompt_usd_per_mtok": "1", "completion_usd_per_mtok": "2"}
CONFIG: dict[str, Any] = {"providers": {"p": {"base_url": "http://127.0.0.1:9/v1"}}, "deployments": [OFFER]}


PARTNER = {"id": 1, "name": "one", "bps": 3000}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file, key = tmp_path / "router.json", tmp_path / "key"
    file.write_text(json.dumps(CONFIG))
    key.write_text("0x" + "11" * 32)
    environ = {
        "VIBES_CONFIG": str(file),
        "VIBES_LEDGER_URL": "sqlite:///x.db",
        "VIBES_CHAIN_ID": "31337",
        "VIBES_SETTLEMENT": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "VIBES_RECEIPT_KEY_FILE": str(key),
    }
    return load_settings(environ)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"deployments": [OFFER, OFFER | {"model": "pithy-2"}]}, ""),
        ({"deployments": [{"model": "pithy-1", "provider": "p"}]}, "no price is named"),
        ({"deployments": [OFFER | {"partner": 7}]}, "not in partners"),
        ({"hang_up": {"seconds": 0}}, ""),
        ({"policy": {"byok_fee_bps": 500, "wholesale_bps": 4000}}, ""),
        ({"promotion": {"sponsor": 9}}, ""),
        ({"tiers": [{"name": "only", "rate_bps": 9000}]}, ""),
        ({"tiers": [{"name": "only", "rate_bps": 900}]}, "each call would lose money"),
        ({"policy": {"wholesale_bps": 9000}}, "each call would lose money"),
        ({"partners": [PARTNER]}, "partner 1: cannot change while the router runs"),
        ({"vibes_per_usd": 101, "hang_up": {"seconds": 0}}, "vibes_per_usd: cannot change"),
        (
            {"policy": {"fee_bps": 1400, "pool_bps": 900, "byok_fee_bps": 1}, "partners": [PARTNER]},
            "policy.fee_bps, policy.pool_bps, partner 1: cannot change while the router runs: restart it",
        ),
    ],
)
async def test_a_file_is_put_into_force_as_a_whole_or_refused(
    settings: Settings, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], told: str
) -> None:
    http = HttpTransport()
    catalog = build_catalog(settings.config, settings.config.vibes_per_usd, http)
    before = catalog.table
    settings.config_path.write_text(json.dumps(CONFIG | changes))
    reload, adopted = Reload(settings, catalog), []
    reload.adopters.append(adopted.append)
    with caplog.at_level(logging.ERROR):
        assert await reload.now() is (told == "")
    assert told in caplog.text
    assert (catalog.table is before) is (told != "")
    assert adopted == ([] if told else [reload.config])
    assert (reload.config is settings.config) is (told != "")
    await http.aclose()


def test_every_field_is_fixed_unless_it_is_known_to_be_safe() -> None:
    own = RouterConfig.model_fields.keys() - RoutingConfig.model_fields.keys()
    assert own - CHANGEABLE == {"relay", "x402", "vibes_per_usd", "rate_feed"}
    assert Policy.model_fields.keys() - set(SPLIT) == {"wholesale_bps", "byok_fee_bps"}


def test_partners_may_be_renamed_and_their_shares_may_not_change() -> None:
    def partners(*those: dict[str, Any]) -> RouterConfig:
        return RouterConfig.model_validate({"providers": {}, "partners": those})

    old = partners(PARTNER, PARTNER | {"id": 2})
    assert fixed_changes(old, partners(PARTNER | {"id": 2}, PARTNER | {"name": "x", "accounts": [5]})) == []
    assert fixed_changes(old, partners(PARTNER)) == ["partner 2"]
    assert fixed_changes(old, partners(PARTNER | {"bps": 1}, PARTNER | {"id": 3})) == [
        "partner 1",
        "partner 2",
        "partner 3",
    ]
