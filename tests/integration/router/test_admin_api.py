"""The operator's API: its own address and keys, and an audit log that nobody can change."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from router_world import World
from sqlalchemy import exc, text

from mini_llm.errors import ConfigError
from router.api.admin_door import FAILURES, AdminDoor, KeysFile, new_admin_key, read_admin_keys
from router.errors import TooManyWrongKeys, UnknownAdminKey

IN_FORCE = {"reloaded": True, "refused": [], "needs_restart": []}


@dataclass
class Operated:
    """A router with an operator, alice."""

    world: World
    key: str

    def http(self, key: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.world.router.admin_url + "/admin/v1", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def operated(new_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Operated:
    command = [sys.executable, "-m", "router.cli", "admin-key", "alice"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    file = tmp_path_factory.mktemp("admin") / "admin.keys"
    file.write_text("# who may operate\n" + made.stderr)
    key = made.stdout.strip()
    assert key not in made.stderr
    world = new_world("--admin-port", "0", VIBES_ADMIN_KEYS_FILE=str(file))
    return Operated(world, key)


def test_the_operator_looks_around(operated: Operated) -> None:
    user = operated.world.user()
    with user.http() as client:
        body = {"model": "plain", "messages": [{"role": "user", "content": "x"}]}
        assert client.post("/chat/completions", json=body).status_code == 200
    with operated.http() as admin:
        listed = admin.get("/accounts", params={"after": user.idx, "limit": 1}).json()["accounts"]
        shown = admin.get(f"/accounts/{user.idx}").json()
        deployments = admin.get("/deployments").json()["deployments"]
        checked = admin.get("/ledger/check").json()
        summary = admin.get("/metrics").json()
        assert admin.get("/accounts/424242").status_code == 404
    assert [one["account"] for one in listed] == [user.idx]
    assert shown["spent_base"] == str(user.view().spent_base)
    assert [call["model"] for call in shown["calls"]] == ["plain"]
    assert "up/plain" in [one["id"] for one in deployments]
    assert (checked["balanced"], checked["problems"]) == (True, [])
    assert summary["outcomes"]["chat/ok"] >= 1
    assert summary["ready"] is True


def test_a_key_is_made_and_revoked_and_both_are_in_the_audit_log(operated: Operated) -> None:
    user = operated.world.user()
    with operated.http() as admin:
        made = admin.post(
            f"/accounts/{user.idx}/keys", json={"label": "ci"}, headers={"x-request-id": "make-it"}
        )
        assert made.status_code == 201
        account = httpx.get(
            operated.world.router.url + "/account",
            headers={"authorization": "Bearer " + made.json()["api_key"]},
        )
        assert account.json()["account"] == user.idx
        key_id = made.json()["key_id"]
        assert key_id in [one["key_id"] for one in admin.get(f"/accounts/{user.idx}/keys").json()["keys"]]
        assert admin.delete(f"/keys/{key_id}").json() == {"key_id": key_id, "revoked": True}
        assert admin.delete(f"/keys/{key_id}").status_code == 404
        log = admin.get("/audit", params={"limit": 2})
        older = admin.get("/audit", params={"below": log.json()["acts"][-1]["number"]}).json()["acts"]
    revoked, created = log.json()["acts"]
    assert (created["actor"], created["action"], created["subject"]) == (
        "alice",
        "key.create",
        f"account:{user.idx}",
    )
    assert created["after"] == {"key_id": key_id, "label": "ci"}
    assert created["request_id"] == "make-it"
    assert (revoked["action"], revoked["before"], revoked["after"]) == (
        "key.revoke",
        {"revoked": False},
        {"revoked": True},
    )
    assert created["number"] not in [one["number"] for one in older]
    assert made.json()["api_key"] not in log.text


def test_a_deployment_is_drained_and_comes_back(operated: Operated) -> None:
    user = operated.world.user()
    body = {"model": "renamed", "messages": [{"role": "user", "content": "x"}]}
    with operated.http() as admin, user.http() as client:
        (mine,) = [
            one for one in admin.get("/deployments").json()["deployments"] if one["model"] == "renamed"
        ]
        assert (mine["breaker"], mine["drained"]) == ("closed", False)
        assert client.post("/chat/completions", json=body).status_code == 200
        assert admin.post("/deployments/drain", json={"id": mine["id"]}).json()["drained"] is True
        refused = client.post("/chat/completions", json=body)
        assert refused.status_code == 503
        assert admin.post("/deployments/undrain", json={"id": mine["id"]}).json()["drained"] is False
        assert client.post("/chat/completions", json=body).status_code == 200
        assert admin.post("/deployments/reset", json={"id": mine["id"]}).status_code == 200
        unknown = admin.post("/deployments/drain", json={"id": "no/such"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_configured")
        assert "there is no deployment 'no/such'; there is: " in unknown.text
        assert mine["id"] in unknown.text
        unknown = admin.post("/rollouts/restart", json={"model": mine["model"]})
        assert f"there is no rollout of model '{mine['model']}'; there is: none" in unknown.text
        assert admin.post("/deployments/explode", json={"id": mine["id"]}).status_code == 400
        acts = admin.get("/audit", params={"limit": 3}).json()["acts"]
    assert [one["action"] for one in acts] == ["deployment.reset", "deployment.undrain", "deployment.drain"]
    assert acts[-1]["after"] == {"breaker": "closed", "drained": True}
    assert user.view().reserved_base == 0


def test_the_configuration_is_read_again(operated: Operated) -> None:
    file = Path(operated.world.router.environ["VIBES_CONFIG"])
    before = file.read_text()
    config = json.loads(before)
    config["deployments"].append({**config["deployments"][0], "model": "brought-later"})
    with operated.http() as admin:
        file.write_text("{ no JSON")
        broken = admin.post("/config/reload").json()
        assert (broken["reloaded"], broken["needs_restart"]) == (False, [])
        assert "is not JSON" in broken["refused"][0]
        file.write_text(json.dumps(config | {"vibes_per_usd": 7, "policy": {"burn_bps": 0}}))
        refused = admin.post("/config/reload").json()
        assert refused.pop("refused")[0].startswith("vibes_per_usd, policy.burn_bps: cannot change")
        assert refused == {"reloaded": False, "needs_restart": ["vibes_per_usd", "policy.burn_bps"]}
        file.write_text(json.dumps(config))
        assert admin.post("/config/reload").json() == IN_FORCE
        assert "brought-later" in [one["model"] for one in admin.get("/deployments").json()["deployments"]]
        assert [one["action"] for one in admin.get("/audit?limit=2").json()["acts"]] == ["config.reload"] * 2
        file.write_text(before)
        assert admin.post("/config/reload").json() == IN_FORCE


def test_what_fails_leaves_no_trace_of_having_been_done(operated: Operated) -> None:
    with operated.http() as admin:
        before = admin.get("/audit").json()["acts"]
        assert admin.post("/accounts/424242/keys", json={"label": "x"}).status_code == 404
        assert admin.post("/accounts/1/keys", json={"label": "x" * 101}).status_code == 400
        assert admin.post("/accounts/1/keys", json={"label": "x", "sudo": True}).status_code == 400
        assert admin.get("/audit").json()["acts"] == before


def test_the_audit_log_is_append_only(operated: Operated) -> None:
    user = operated.world.user()
    with operated.http() as admin:
        admin.post(f"/accounts/{user.idx}/keys", json={})
    for change in ("UPDATE audit SET actor = 'mallory'", "DELETE FROM audit"):
        with operated.world.ledger.engine.connect() as connection:
            with pytest.raises(exc.DatabaseError, match="audit log"):
                connection.execute(text(change))
            connection.rollback()


def test_nobody_else_gets_in(operated: Operated) -> None:
    user = operated.world.user()
    for key in ("sk-admin-wrong", user.api_key):
        with operated.http(key) as admin:
            for method, path in (("GET", "/accounts"), ("GET", "/audit"), ("DELETE", "/keys/" + "0" * 16)):
                answer = admin.request(method, path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_admin_key")
    public = operated.world.router.url.removesuffix("/v1")
    answer = httpx.get(public + "/admin/v1/accounts", headers={"authorization": f"Bearer {operated.key}"})
    assert answer.status_code == 404


def test_without_a_keys_file_there_is_no_operator(new_world: Any) -> None:
    world: World = new_world("--admin-port", "0")
    answer = httpx.get(world.router.admin_url + "/admin/v1/accounts", headers={"authorization": "Bearer x"})
    assert answer.status_code == 401


def test_guessers_wait(tmp_path: Path) -> None:
    key, line = new_admin_key("bob")
    (tmp_path / "keys").write_text(line)
    door = AdminDoor(KeysFile(tmp_path / "keys"))
    assert door.admit(f"Bearer {key}", "10.0.0.1") == "bob"
    for _ in range(FAILURES):
        with pytest.raises(UnknownAdminKey):
            door.admit("Bearer sk-admin-guess", "10.0.0.1")
    with pytest.raises(TooManyWrongKeys):
        door.admit(f"Bearer {key}", "10.0.0.1")
    assert door.admit(f"Bearer {key}", "10.0.0.2") == "bob"


def test_the_keys_file_counts_as_it_is_now(tmp_path: Path) -> None:
    file, (key, line), (other, other_line) = tmp_path / "keys", new_admin_key("bob"), new_admin_key("carol")
    file.write_text(line)
    door = AdminDoor(KeysFile(file))
    assert door.admit_key(key, "10.0.0.1") == "bob"
    file.write_text(f"{other_line}\n# nobody else\n")
    assert door.admit_key(other, "10.0.0.1") == "carol"
    assert door.digest_of("bob") is None
    with pytest.raises(UnknownAdminKey):
        door.admit_key(key, "10.0.0.1")
    for broken in (b"no hash here at all", b"\xff\xfe", None):
        file.write_bytes(other_line.encode())
        assert door.admit_key(other, "10.0.0.2") == "carol"
        file.write_bytes(broken) if broken else file.unlink()
        for _ in range(2):
            with pytest.raises(UnknownAdminKey):
                door.admit_key(other, "10.0.0.2")


def test_a_keys_file_that_holds_a_key_itself_is_refused(tmp_path: Path) -> None:
    key, _ = new_admin_key("bob")
    (tmp_path / "keys").write_text(f"bob {key}\n")
    with pytest.raises(ConfigError) as refused:
        read_admin_keys(tmp_path / "keys")
    assert key not in str(refused.value)


def test_a_name_that_no_field_has_is_not_repeated(operated: Operated) -> None:
    secret = "sk-secret-in-the-wrong-place"
    with operated.http() as admin:
        refused = admin.post(f"/accounts/{operated.world.user().idx}/keys", json={secret: 1})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert secret not in refused.text
