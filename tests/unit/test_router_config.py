"""Settings: errors say where and what to do, and a policy that loses money is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from mini_llm.config_file import load_config
from mini_llm.errors import ConfigError
from mini_llm.httpx_transport import HttpxTransport
from mini_llm.routing.catalog import build_catalog
from router.config import RouterConfig, check_economics, load_settings
from router.errors import LosesMoney, SplitExceedsCharge
from router.operating import load_operating

CONFIG: dict[str, Any] = {
    "partners": [{"id": 1, "name": "pithy-labs", "bps": 3000}],
    "providers": {"pithy": {"base_url": "http://127.0.0.1:9001/v1", "api_key": "${PITHY_KEY}"}},
    "deployments": [
        {
            "model": "pithy-1",
            "provider": "pithy",
            "partner": 1,
            "prompt_usd_per_mtok": "0.15",
            "completion_usd_per_mtok": "0.60",
        }
    ],
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "router.json").write_text(json.dumps(CONFIG))
    (tmp_path / "key").write_text("0x" + "11" * 32 + "\n")
    return {
        "VIBES_CONFIG": str(tmp_path / "router.json"),
        "VIBES_LEDGER_URL": "sqlite:///x.db",
        "VIBES_CHAIN_ID": "31337",
        "VIBES_SETTLEMENT": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "VIBES_RECEIPT_KEY_FILE": str(tmp_path / "key"),
        "PITHY_KEY": "sk-secret",
    }


def rewrite(environ: dict[str, str], **changes: Any) -> None:
    Path(environ["VIBES_CONFIG"]).write_text(json.dumps(CONFIG | changes))


def test_settings_are_read_and_hide_their_secrets(environ: dict[str, str]) -> None:
    settings = load_settings(environ)
    assert settings.config.providers["pithy"].api_key is not None
    assert settings.config.providers["pithy"].api_key.get_secret_value() == "sk-secret"
    assert settings.receipt_key == b"\x11" * 32
    assert (settings.max_body_bytes, settings.lease_s, settings.config.vibes_per_usd) == (4 * 2**20, 60, 100)
    assert "sk-secret" not in repr(settings)
    assert "11" * 32 not in repr(settings)
    assert repr(settings.receipt_key) not in repr(settings)


@pytest.mark.parametrize(
    "name",
    ["VIBES_CONFIG", "VIBES_LEDGER_URL", "VIBES_CHAIN_ID", "VIBES_SETTLEMENT", "VIBES_RECEIPT_KEY_FILE"],
)
def test_missing_variable_is_named(environ: dict[str, str], name: str) -> None:
    del environ[name]
    with pytest.raises(ConfigError, match=f"^{name}: is not set") as refused:
        load_settings(environ)
    assert refused.value.where == name


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("VIBES_CHAIN_ID", "local", "not a positive integer"),
        ("VIBES_CHAIN_ID", "0", "not a positive integer"),
        ("VIBES_MAX_BODY_BYTES", "-1", "not a positive integer"),
        ("VIBES_LEASE_S", "1.5", "not a positive integer"),
        ("VIBES_SETTLEMENT", "0x1234", "no address"),
        ("VIBES_CONFIG", "/nowhere.json", "cannot be read"),
        ("VIBES_RECEIPT_KEY_FILE", "/nowhere", "cannot be read"),
        ("VIBES_TRUSTED_PROXIES", "10.0.0.1,1.2.3", "'1.2.3' is not an address"),
        ("VIBES_TRUSTED_PROXIES", "10.0.0.1/8", "whose other bits are 0"),
        ("VIBES_TRUSTED_PROXIES", "10.0.0.0/33", "is not an address"),
    ],
)
def test_unusable_variable_is_explained(environ: dict[str, str], name: str, value: str, problem: str) -> None:
    environ[name] = value
    with pytest.raises(ConfigError, match=problem):
        load_settings(environ)


@pytest.mark.parametrize("content", ["", "0x12", "0x" + "00" * 32, "zz" * 32])
def test_key_file_must_hold_a_key_and_is_not_quoted(environ: dict[str, str], content: str) -> None:
    Path(environ["VIBES_RECEIPT_KEY_FILE"]).write_text(content)
    with pytest.raises(ConfigError, match="64 hex digits") as refused:
        load_settings(environ)
    assert not content or content not in str(refused.value)


def test_unset_reference_is_named(environ: dict[str, str]) -> None:
    del environ["PITHY_KEY"]
    with pytest.raises(ConfigError, match=r"api_key.*PITHY_KEY"):
        load_settings(environ)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"polcy": {}}, "polcy"),
        ({"providers": {"pithy": {"base_url": "not a url"}}}, r"providers\.pithy\.base_url"),
        ({"providers": {"pithy": {"base_url": "ftp://x"}}}, r"providers\.pithy\.base_url"),
        ({"providers": {"pithy": {"surfaces": ["telex"]}}}, r"providers\.pithy\.surfaces"),
        ({"providers": {"pithy": {"surfaces": "chat"}}}, r"providers\.pithy\.surfaces"),
        ({"providers": {"pithy": {"surfaces": []}}}, r"providers\.pithy\.surfaces"),
        (
            {"deployments": [{"model": "m", "provider": "pithy", "prompt_usd_per_mtok": 0.15}]},
            "deployments.0",
        ),
        (
            {"deployments": [{"model": "m", "provider": "pithy", "prompt_usd_per_mtok": "1e3"}]},
            "plain decimal",
        ),
        ({"deployments": [{"model": "m", "provider": "pithy", "partner": 7}]}, "names partner 7"),
        ({"deployments": [{"model": "m", "provider": "pithy", "max_output_tokens": 0}]}, "max_output_tokens"),
        ({"partners": [{"id": 1, "name": "a", "bps": 1}, {"id": 1, "name": "b", "bps": 1}]}, "same id"),
        ({"partners": [{"id": 0, "name": "a", "bps": 1}]}, r"partners\.0\.id"),
        ({"policy": {"fee_bps": 999}}, r"policy\.fee_bps"),
        ({"policy": {"fee_bps": 2_001}}, r"policy\.fee_bps"),
    ],
)
def test_bad_value_is_located(environ: dict[str, str], changes: dict[str, Any], problem: str) -> None:
    rewrite(environ, **changes)
    with pytest.raises(ConfigError, match=problem):
        load_settings(environ)


def test_secrets_do_not_show_in_errors(environ: dict[str, str]) -> None:
    rewrite(environ, providers={"pithy": {"base_url": "http://x/v1", "api_key": ["${PITHY_KEY}"]}})
    with pytest.raises(ConfigError, match="api_key") as refused:
        load_settings(environ)
    assert "sk-secret" not in str(refused.value)


def test_config_that_is_no_json_is_located(environ: dict[str, str]) -> None:
    Path(environ["VIBES_CONFIG"]).write_text("{\n  oops\n}")
    with pytest.raises(ConfigError, match="line 2"):
        load_settings(environ)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"providers": {"pithy": {"type": "opnai"}}}, "'opnai' is unknown; there is: .*openai"),
        ({"deployments": CONFIG["deployments"] * 2}, "offered twice"),
        ({"deployments": [{"model": "m", "provider": "nobody"}]}, "'nobody' is not configured"),
        ({"providers": {"pithy": {"type": "local"}}}, "finds its models itself"),
        (
            {"providers": {"pithy": {"type": "google", "api_key": "k", "surfaces": ["chat"]}}},
            r"pithy\.surfaces: is not for Google",
        ),
        (
            {"deployments": [{"model": "m", "provider": "pithy", "capabilities": ["embeddings"]}]},
            r"deployments\.0\.capabilities: 'pithy' is not known to take embeddings",
        ),
        (
            {"deployments": [{"model": "m", "provider": "pithy", "prompt_usd_per_mtok": "0.000000001"}]},
            "finer than a base unit",
        ),
    ],
)
async def test_catalogue_refuses_what_does_not_fit(
    environ: dict[str, str], changes: dict[str, Any], problem: str
) -> None:
    rewrite(environ, **changes)
    config = load_config(Path(environ["VIBES_CONFIG"]), RouterConfig, environ)
    async with httpx.AsyncClient() as client:
        http = HttpxTransport(client)
        with pytest.raises(ConfigError, match=problem):
            build_catalog(config, config.vibes_per_usd, http)


def economics(partner_bps: int = 3000, **policy: int) -> RouterConfig:
    partners = [{"id": 1, "name": "pithy-labs", "bps": partner_bps}]
    return RouterConfig.model_validate({"providers": {}, "partners": partners, "policy": policy})


def test_default_policy_pays_its_bills() -> None:
    check_economics(economics())


@pytest.mark.parametrize(("pool_bps", "loses"), [(4500, False), (4501, True)])
def test_policy_must_keep_the_wholesale_price(pool_bps: int, loses: bool) -> None:
    config = economics(partner_bps=0, burn_bps=500, pool_bps=pool_bps)
    if not loses:
        return check_economics(config)
    with pytest.raises(LosesMoney, match="each call would lose money") as refused:
        check_economics(config)
    assert (refused.value.partner, refused.value.kept_bps, refused.value.wholesale_bps) == (
        "house",
        4999,
        5000,
    )


@pytest.mark.parametrize(("partner_bps", "too_much"), [(7000, False), (7001, True)])
def test_shares_must_fit_into_the_charge(partner_bps: int, too_much: bool) -> None:
    if not too_much:
        return check_economics(economics(partner_bps))
    with pytest.raises(SplitExceedsCharge) as refused:
        check_economics(economics(partner_bps))
    assert (refused.value.partner, refused.value.total_bps) == ("pithy-labs", 10_001)


def test_start_refuses_a_losing_policy(environ: dict[str, str]) -> None:
    rewrite(environ, policy={"wholesale_bps": 9000})
    with pytest.raises(LosesMoney):
        load_settings(environ)


@pytest.mark.parametrize(
    ("switch", "traced"), [("true", False), (" TRUE ", False), ("false", True), ("", True)]
)
def test_opentelemetrys_own_switch_turns_traces_off(switch: str, traced: bool) -> None:
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": switch}
    assert (load_operating(told).otlp_endpoint is not None) is traced
