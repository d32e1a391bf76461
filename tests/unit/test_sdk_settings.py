"""Where settings come from: explicit ones first, in their order; then the wallet; else an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mini_llm import Client, ConfigError, NotSetUp, Settings, read_settings
from mini_llm.config_sdk import VIBES_PER_USD
from mini_llm.engine import Engine
from mini_llm.errors import ConfigErrors
from mini_llm.routing.build import check
from mini_llm.settings import PROJECT_FILE

WALLET = {"type": "vibes", "endpoint": "http://127.0.0.1:9", "api_key": "w"}


class Places:
    """A project and a user's folder; ``read`` gathers what they and the environment say."""

    def __init__(self, root: Path) -> None:
        self.project, self.folder = root / "project", root / "home"
        self.project.mkdir()
        self.folder.mkdir()

    def write_project(self, fields: dict[str, Any], folder: Path | None = None) -> None:
        ((folder or self.project) / PROJECT_FILE).write_text(json.dumps(fields))

    def write_user(self, fields: dict[str, Any]) -> None:
        (self.folder / "config.json").write_text(json.dumps(fields))

    def read(
        self, explicit: dict[str, Any] | None = None, cwd: Path | None = None, **environ: str
    ) -> Settings:
        return read_settings(explicit, environ=environ, cwd=cwd or self.project, folder=self.folder)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def key(settings: Settings, name: str = "openai") -> str | None:
    secret = settings.providers[name].api_key
    return secret and secret.get_secret_value()


def test_a_provider_is_taken_from_the_first_place_that_has_it(places: Places) -> None:
    def named(key: str) -> dict[str, Any]:
        return {"providers": {"openai": {"api_key": key}}}

    assert key(places.read(OPENAI_API_KEY="environment")) == "environment"
    places.write_user(named("user"))
    assert key(places.read(OPENAI_API_KEY="environment")) == "user"
    places.write_project(named("project"))
    assert key(places.read(OPENAI_API_KEY="environment")) == "project"
    settings = places.read(named("arguments"), OPENAI_API_KEY="environment")
    assert key(settings) == "arguments"
    assert settings.origins["providers.openai"] == "arguments"


def test_providers_of_all_places_are_asked_in_the_order_of_the_places(places: Places) -> None:
    places.write_user({"providers": {"user": {"base_url": "http://u/v1"}}})
    places.write_project({"providers": {"project": {"base_url": "http://p/v1"}}})
    settings = places.read({"providers": {"mine": {"base_url": "http://m/v1"}}}, ANTHROPIC_API_KEY="k")
    assert list(settings.providers) == ["mine", "project", "user", "anthropic"]
    assert settings.origins == {
        "providers.mine": "arguments",
        "providers.project": str(places.project / PROJECT_FILE),
        "providers.user": str(places.folder / "config.json"),
        "providers.anthropic": "environment ANTHROPIC_API_KEY",
    }


def test_an_address_of_one_place_never_gets_the_key_of_another(places: Places) -> None:
    places.write_user({"providers": {"openai": {"api_key": "user"}}})
    places.write_project({"providers": {"openai": {"base_url": "http://elsewhere/v1"}}})
    assert key(places.read(OPENAI_API_KEY="environment")) is None


def test_the_environments_key_belongs_to_the_address_beside_it(places: Places) -> None:
    settings = places.read(OPENAI_API_KEY="k", OPENAI_BASE_URL="http://mine/v1", ANTHROPIC_API_KEY="a")
    assert str(settings.providers["openai"].base_url) == "http://mine/v1"
    assert settings.providers["anthropic"].base_url is None


def test_a_configured_company_without_a_key_gets_the_environments(places: Places) -> None:
    places.write_project({"providers": {"work": {"type": "mistral"}}})
    assert key(places.read(MISTRAL_API_KEY="k"), "work") == "k"


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("aliases", {"a": "user", "b": "user"}, {"a": "project"}),
        ("routes", {"a": {"groups": [["u/1"]]}, "b": {"groups": [["u/1"]]}}, {"a": {"groups": [["p/1"]]}}),
    ],
)
def test_names_are_taken_one_by_one(places: Places, field: str, low: Any, high: Any) -> None:
    places.write_user({field: low})
    places.write_project({field: high})
    told = places.read().model_dump(mode="json", include={field}, exclude_unset=True)[field]
    assert told == low | high


def test_deployments_of_all_places_are_listed_each_id_once(places: Places) -> None:
    def listed(*models: str, context: int) -> dict[str, Any]:
        return {
            "providers": {"p": {"base_url": "http://p/v1"}},
            "deployments": [{"model": m, "provider": "p", "context_tokens": context} for m in models],
        }

    places.write_user(listed("a", "b", context=2000))
    places.write_project(listed("a", context=1000))
    assert [(one.model, one.context_tokens) for one in places.read().deployments] == [
        ("a", 1000),
        ("b", 2000),
    ]


def test_sections_are_overlaid_field_by_field(places: Places) -> None:
    places.write_user({"retry": {"retries": 5, "base_s": 3}})
    places.write_project({"retry": {"retries": 1}})
    assert (places.read().retry.retries, places.read().retry.base_s) == (1, 3)


def test_a_wallet_is_taken_whole(places: Places) -> None:
    places.write_user({"wallet": WALLET})
    places.write_project({"wallet": {"endpoint": "http://elsewhere"}})
    wallet = places.read().wallet
    assert wallet is not None
    assert wallet.api_key is None


def test_a_wallet_can_be_put_aside(places: Places) -> None:
    places.write_user({"wallet": WALLET})
    assert places.read({"wallet": None}).wallet is None


def test_a_named_file_stands_for_the_projects(places: Places) -> None:
    places.write_project({"aliases": {"a": "project"}})
    file = places.folder / "other.json"
    file.write_text('{"aliases": {"b": "other"}}')
    settings = read_settings(file=file, environ={}, cwd=places.project, folder=places.folder)
    assert settings.aliases == {"b": "other"}


def test_the_projects_file_is_found_from_folders_inside_its_repository(places: Places) -> None:
    inner = places.project / "src" / "deep"
    inner.mkdir(parents=True)
    places.write_project({"aliases": {"a": "b"}})
    assert places.read(cwd=inner).aliases == {}, "outside of a repository nobody searches above"
    (places.project / ".git").mkdir()
    assert places.read(cwd=inner).aliases == {"a": "b"}


def test_the_search_ends_at_the_repositorys_root(places: Places) -> None:
    inner = places.project / "repository"
    (inner / ".git").mkdir(parents=True)
    places.write_project({"aliases": {"a": "b"}})
    assert places.read(cwd=inner).aliases == {}


def test_references_are_resolved_and_missing_ones_told_with_their_line(places: Places) -> None:
    (places.project / PROJECT_FILE).write_text('{"providers": {\n"openai": {"api_key": "${WORK_KEY}"}}}')
    assert key(places.read(WORK_KEY="k")) == "k"
    with pytest.raises(ConfigError, match=r"mini-llm\.config\.json:2: providers\.openai\.api_key.*WORK_KEY"):
        places.read()


def test_what_is_wrong_with_arguments_is_told_with_its_place() -> None:
    with pytest.raises(ConfigErrors) as caught:
        read_settings({"provider": {}, "retry": {"retries": -1}}, environ={}, folder=Path("/nowhere"))
    assert {error.where for error in caught.value.errors} == {
        "arguments: provider",
        "arguments: retry.retries",
    }


def test_an_unknown_type_is_told(places: Places) -> None:
    with pytest.raises(ConfigError, match=r"providers\.x\.type: 'opnai' is unknown; there is:.*openai"):
        places.read({"providers": {"x": {"type": "opnai"}}})


def test_the_wallets_name_is_taken(places: Places) -> None:
    with pytest.raises(ConfigError, match="set it up under 'wallet'"):
        places.read({"providers": {"wallet": {"base_url": "http://p/v1"}}})


@pytest.mark.parametrize("told", ["0", "false", "No", "off"])
def test_the_usage_log_can_be_switched_off(places: Places, told: str) -> None:
    assert places.read().usage_path == places.folder / "usage.db"
    assert places.read({"usage_log": False}).usage_path is None
    assert places.read(MINI_LLM_USAGE_LOG=told).usage_path is None
    assert places.read({"usage_log": True}, MINI_LLM_USAGE_LOG=told).usage_path is not None


def test_without_anything_both_ways_are_shown(places: Places) -> None:
    with pytest.raises(NotSetUp) as caught:
        Engine(places.read())
    said = str(caught.value)
    assert "mini-llm login" in said
    assert "export OPENAI_API_KEY=" in said
    assert "mini-llm providers add" in said


def test_a_wallets_key_is_one_that_a_header_can_carry(places: Places) -> None:
    with pytest.raises(ConfigError, match=r"wallet\.api_key: contains a line break or another"):
        places.read({"wallet": WALLET | {"api_key": "sk\n"}})


def test_a_wallet_alone_is_enough(places: Places) -> None:
    places.write_user({"wallet": WALLET})
    assert Engine(places.read()).settings.wallet is not None


def test_settings_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with Client(Settings.model_validate({"providers": {"p": {"base_url": "http://p/v1"}}})) as client:
        assert list(client.engine.settings.providers) == ["p"]


@pytest.mark.parametrize("secret", ["http://ada:s3cret@127.0.0.1/v1", "http://127.0.0.1/v1?key=s3cret"])
@pytest.mark.parametrize(
    "field", ["providers.x.base_url", "providers.x.servers", "wallet.endpoint", "OPENAI_BASE_URL"]
)
def test_no_secret_stands_in_an_address(places: Places, secret: str, field: str) -> None:
    x: dict[str, Any] = {"base_url": secret}
    if field.endswith("servers"):
        x = {"type": "local", "servers": [secret]}
    fields = {"wallet": {"endpoint": secret}} if field.startswith("wallet") else {"providers": {"x": x}}
    environ = {}
    if field == "OPENAI_BASE_URL":
        fields, environ = {}, {field: secret, "OPENAI_API_KEY": "k"}
    places.write_user(fields)
    with pytest.raises(ConfigErrors) as caught:
        places.read(**environ)
    assert field in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_keys_are_never_shown(places: Places) -> None:
    shown = repr(places.read({"wallet": WALLET}, OPENAI_API_KEY="sk-secret"))
    assert "sk-secret" not in shown


SECRET = "${OPENAI_API_KEY}"
STRANGERS = {
    "key": {"providers": {"openai": {"base_url": "https://evil.example/v1", "api_key": SECRET}}},
    "address": {"providers": {"x": {"base_url": "https://evil.example/${OPENAI_API_KEY}"}}},
    "file": {
        "providers": {"x": {"base_url": "https://evil.example/v1", "api_key": "${file:/proc/self/environ}"}}
    },
    "lookalike": {"providers": {"x": {"base_url": "http://127.0.0.1.evil.example/v1", "api_key": SECRET}}},
    "implied key": {"providers": {"x": {"type": "azure", "base_url": "https://evil.example/v1"}}},
    "local": {"providers": {"x": {"type": "local", "servers": ["http://evil.example/${OPENAI_API_KEY}"]}}},
    "wallet": {"wallet": {"type": "custom", "endpoint": "https://evil.example", "api_key": SECRET}},
}


@pytest.mark.parametrize("fields", STRANGERS.values(), ids=STRANGERS.keys())
def test_a_project_that_nobody_named_sends_no_secret_to_its_own_addresses(
    places: Places, fields: dict[str, Any]
) -> None:
    places.write_project(fields)
    secrets = {"OPENAI_API_KEY": "sk-mine", "AZURE_OPENAI_API_KEY": "az-mine"}
    with pytest.raises(ConfigErrors, match="this user's secrets") as caught:
        places.read(**secrets)
    assert "mine" not in str(caught.value)
    file = places.project / PROJECT_FILE
    if "file" not in str(fields):
        read_settings(file=file, environ=secrets, cwd=places.project, folder=places.folder)


@pytest.mark.parametrize(
    "address", ["https://api.openai.com/v1/", "http://127.0.0.1:8080/v1", "http://[::1]:1/v1", "${MINE}"]
)
def test_a_project_may_use_secrets_at_known_addresses(places: Places, address: str) -> None:
    places.write_project({"providers": {"openai": {"base_url": address, "api_key": SECRET}}})
    assert key(places.read(OPENAI_API_KEY="sk-mine", MINE="https://mine.example/v1")) == "sk-mine"


def test_folders_that_may_not_be_looked_into_hold_no_settings(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: Any) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    monkeypatch.setattr(Path, "exists", refuse)
    assert not places.read().providers


def test_what_does_not_fit_together_is_told_with_the_place_where_it_was_written(places: Places) -> None:
    up = {"base_url": "http://up/v1", "models": ["a"]}
    places.write_user({"providers": {"up": up}, "deployments": [{"model": "a", "provider": "up"}]})
    project = places.project / PROJECT_FILE
    project.write_text("""{
 "deployments": [
  {"model": "b", "provider": "up"},
  {"model": "c", "provider": "nobody"}]
}""")
    settings = places.read({"deployments": [{"model": "d", "provider": "none"}]})
    with pytest.raises(ConfigErrors) as caught:
        check(settings, VIBES_PER_USD)
    told = {error.where.replace(f"{places.project}/", ""): error.line for error in caught.value.errors}
    assert told == {
        f"{PROJECT_FILE}:4: deployments.1.provider": 4,
        "arguments: deployments.0.provider": None,
    }


@pytest.mark.parametrize("where", ["project", "user"])
def test_a_folder_in_the_place_of_a_file_is_told(places: Places, where: str) -> None:
    folder = places.project / PROJECT_FILE if where == "project" else places.folder / "config.json"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        places.read()
