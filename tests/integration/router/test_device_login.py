"""Logins of devices over HTTP: codes, decisions, one key, and what is refused."""

from __future__ import annotations

import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from people_world import PUBLIC_URL, Person, Town, chat
from router_world import SIGNER, World

from router.api.device import GRANT_TYPE

CLIENT = "test-client"


def root(town: Town) -> str:
    return town.url.removesuffix("/v1")


def begin(town: Town, client_id: str = CLIENT, **more: str) -> dict[str, Any]:
    answer = httpx.post(f"{town.url}/device/code", data={"client_id": client_id} | more)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def poll(town: Town, begun: dict[str, Any], **changes: str) -> httpx.Response:
    form = {"grant_type": GRANT_TYPE, "device_code": begun["device_code"], "client_id": CLIENT} | changes
    return httpx.post(f"{town.url}/device/token", data=form, timeout=30)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def decide(person: Person, what: str, begun: dict[str, Any], **more: Any) -> httpx.Response:
    return person.ask("POST", f"/device/{what}", user_code=begun["user_code"], **more)


def database(town: Town) -> sqlite3.Connection:
    return sqlite3.connect(town.world.router.folder / "ledger.db", timeout=30)


def test_an_approved_device_gets_one_key_of_the_account(town: Town) -> None:
    begun = begin(town, device_name="anna's laptop")
    assert (begun["expires_in"], begun["interval"]) == (600, 5)
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", begun["user_code"])
    assert begun["verification_uri"] == f"{PUBLIC_URL}/device"
    assert begun["verification_uri_complete"] == f"{PUBLIC_URL}/device?user_code={begun['user_code']}"
    assert error_of(poll(town, begun)) == (400, "authorization_pending")

    person = town.person(deposit_base=10**10)
    assert person.user is not None
    shown = decide(person, "show", begun).json()
    assert (shown["client_id"], shown["device_name"]) == (CLIENT, "anna's laptop")
    assert shown["accounts"] == [person.user.idx]
    assert "keys:write" not in shown["scopes"]
    until_s = int(time.time()) + 86_400
    assert decide(person, "approve", begun, day_limit_base="5000", expires_s=until_s).status_code == 204

    time.sleep(begun["interval"])
    answer = poll(town, begun)
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert (told["token_type"], told["account"]) == ("Bearer", person.user.idx)
    assert told["receipt_signer"] == SIGNER
    assert 0 < told["expires_in"] <= 86_400
    assert person.ask("GET", "/account", told["access_token"]).status_code == 200
    assert chat(person, told["access_token"]).json()["error"]["code"] == "spending_limit"
    (listed,) = [key for key in person.ask("GET", "/keys").json()["data"] if key["id"] == told["key_id"]]
    assert (listed["label"], listed["day_limit_base"]) == (f"{CLIENT} on anna's laptop", "5000")
    assert error_of(poll(town, begun)) == (400, "invalid_grant")
    assert decide(person, "approve", begun).status_code == 404


def test_a_device_ends_its_own_key_and_no_other(town: Town) -> None:
    person = town.person()
    other, _ = person.key()
    key_id, api_key = person.key(scopes=["chat"])
    assert person.ask("DELETE", f"/keys/{other}", api_key).status_code == 403
    assert person.ask("DELETE", f"/keys/{key_id}", api_key).status_code == 204
    assert person.ask("DELETE", f"/keys/{key_id}", api_key).status_code == 401


def test_a_denied_device_is_told_so(town: Town) -> None:
    begun, person = begin(town), town.visitor()
    assert decide(person, "deny", begun).status_code == 204
    assert error_of(poll(town, begun)) == (400, "access_denied")
    assert decide(person, "show", begun).status_code == 404


def test_a_device_that_asks_too_soon_must_wait_longer(town: Town) -> None:
    begun = begin(town)
    assert error_of(poll(town, begun)) == (400, "authorization_pending")
    assert error_of(poll(town, begun)) == (400, "slow_down")
    with database(town) as rows:
        assert rows.execute("SELECT max(interval_s) FROM device_login").fetchone() == (10,)


def test_codes_expire(town: Town) -> None:
    begun, person = begin(town), town.person()
    with database(town) as rows:
        rows.execute("UPDATE device_login SET expires_s = ? WHERE state = 'pending'", (int(time.time()),))
    assert error_of(poll(town, begun)) == (400, "expired_token")
    assert decide(person, "approve", begun).status_code == 404


def test_neither_code_is_in_the_database(town: Town) -> None:
    begun = begin(town)
    with database(town) as rows:
        stored = str(rows.execute("SELECT * FROM device_login").fetchall())
    for secret in (begun["device_code"], begun["user_code"], begun["user_code"].replace("-", "")):
        assert secret not in stored
    log = town.world.router.log.read_text()
    assert begun["device_code"] not in log


def test_a_device_code_is_good_for_the_client_that_began(town: Town) -> None:
    begun = begin(town)
    assert error_of(poll(town, begun, client_id="another")) == (400, "invalid_grant")
    assert error_of(poll(town, {"device_code": "dc-vibes-wrong"})) == (400, "invalid_grant")
    assert error_of(poll(town, begun)) == (400, "authorization_pending")


@pytest.mark.parametrize(
    ("path", "form", "error"),
    [
        ("code", {"scope": "chat"}, "invalid_client"),
        ("code", {"client_id": "a b"}, "invalid_client"),
        ("code", {"client_id": "x" * 41}, "invalid_client"),
        ("code", {"client_id": "x", "scope": "keys:write"}, "invalid_scope"),
        ("code", {"client_id": "x", "scope": "chat nonsense"}, "invalid_scope"),
        ("code", {"client_id": "x", "device_name": "two\nlines"}, "invalid_request"),
        ("code", {"client_id": "x", "device_name": "\u202egnp.exe"}, "invalid_request"),
        ("code", {"client_id": ["x", "x"]}, "invalid_request"),
        ("token", {"client_id": "x", "device_code": "y"}, "unsupported_grant_type"),
        ("token", {"client_id": "x", "grant_type": "password"}, "unsupported_grant_type"),
        ("token", {"client_id": "x", "grant_type": GRANT_TYPE}, "invalid_request"),
        ("token", {"client_id": "x", "grant_type": GRANT_TYPE, "device_code": "y" * 129}, "invalid_request"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_malformed_form_is_refused_in_oauths_shape(
    town: Town, path: str, form: dict[str, Any], error: str
) -> None:
    refused = httpx.post(f"{town.url}/device/{path}", data=form)
    assert error_of(refused) == (400, error)
    assert refused.json()["error_description"]


def test_json_is_no_form(town: Town) -> None:
    refused = httpx.post(f"{town.url}/device/code", json={"client_id": CLIENT})
    assert error_of(refused) == (400, "invalid_request")


def test_only_a_wallet_decides_and_only_about_its_own_account(town: Town) -> None:
    begun, person, stranger = begin(town), town.person(), town.person()
    assert stranger.user is not None
    _, api_key = person.key(scopes=["chat", "keys:read", "keys:write"])
    for what in ("show", "approve", "deny"):
        path, code = f"/device/{what}", begun["user_code"]
        assert person.ask("POST", path, api_key, user_code=code).json()["error"]["code"] == "needs_wallet"
        assert httpx.post(f"{town.url}{path}", json={"user_code": code}).status_code == 401
    with person.http(**{"x-vibes-account": str(stranger.user.idx)}) as client:
        assert client.post("/device/approve", json={"user_code": begun["user_code"]}).status_code == 404
    assert decide(town.visitor(), "approve", begun).json()["error"]["code"] == "no_account"
    assert error_of(poll(town, begun)) == (400, "authorization_pending")


def test_an_approval_gives_at_most_what_was_asked_for(town: Town) -> None:
    begun, person = begin(town, scope="chat models"), town.person()
    assert decide(person, "approve", begun, scopes=["chat", "account:read"]).status_code == 403
    assert decide(person, "approve", begun, day_limit_base="-1").status_code == 400
    assert decide(person, "approve", begun, scopes=["chat"]).status_code == 204
    told = poll(town, begun).json()
    assert told["scope"] == "chat"
    assert person.ask("GET", "/account", told["access_token"]).status_code == 403


def test_an_account_that_changed_hands_gives_no_key(town: Town) -> None:
    begun, person = begin(town), town.person()
    assert person.user is not None
    assert decide(person, "approve", begun).status_code == 204
    with database(town) as rows:
        rows.execute("UPDATE account SET owner = ? WHERE idx = ?", (SIGNER, person.user.idx))
    assert error_of(poll(town, begun)) == (400, "access_denied")


def test_guessing_user_codes_ends_after_ten(town: Town) -> None:
    begun, guesser = begin(town), town.person()
    with ThreadPoolExecutor(8) as pool:
        tries = list(pool.map(lambda n: decide(guesser, "show", {"user_code": f"BBBB-{n:04}"}), range(20)))
    assert sorted(answer.status_code for answer in tries) == [404] * 10 + [429] * 10
    late = decide(guesser, "approve", begun)
    assert late.json()["error"]["code"] == "too_many_codes"
    assert 0 < int(late.headers["retry-after"]) <= 600
    assert decide(town.person(), "show", begun).status_code == 200


def test_case_and_dashes_of_a_user_code_do_not_matter(town: Town) -> None:
    begun, person = begin(town), town.person()
    typed = begun["user_code"].lower().replace("-", " ")
    assert person.ask("POST", "/device/show", user_code=f" {typed} ").status_code == 200


def test_the_page_runs_its_own_script_and_nothing_else(town: Town) -> None:
    answer = httpx.get(f"{root(town)}/device", params={"user_code": '"><script>alert(1)'})
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script>alert" not in answer.text
    assert 'value="&#34;&gt;&lt;script&gt;alert' in answer.text
    (policy,) = answer.headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (
        answer.text.count("<script")
        == len(re.findall('<script type="module" src="/static/', answer.text))
        == 1
    )
    assert not re.search(r"https?://(?!router\.test)", answer.text)
    script = httpx.get(f"{root(town)}/static/device.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["x-content-type-options"] == "nosniff"


def test_where_nobody_signs_in_no_device_does(world: World) -> None:
    for method, path in (("POST", "/v1/device/code"), ("GET", "/device")):
        refused = httpx.request(method, world.router.url.removesuffix("/v1") + path, data={"client_id": "x"})
        assert refused.status_code == 404
        assert "VIBES_PUBLIC_URL" in refused.text
