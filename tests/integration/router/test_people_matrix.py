"""Every endpoint that concerns people, by every kind of caller: nobody gets what is another's."""

from __future__ import annotations

import httpx
import pytest
from people_world import Person, Town
from router_world import World
from starlette.routing import Route

from router.api import account, byok, deposits, device, keys, models, signin, teams

PARTS = (account, byok, deposits, device, keys, models, signin, teams)
OPEN = {
    ("GET", "/v1/signin/nonce"),
    ("POST", "/v1/signin"),
    ("POST", "/v1/device/code"),
    ("POST", "/v1/device/token"),
}
"""What needs no credential."""
WALLET_ONLY = (
    *("/v1/sessions", "/v1/signout", "/v1/signin/deposit", "/v1/teams", "/v1/session-keys", "/v1/deposits"),
    "/v1/device/",
)
SCOPES = {
    "/v1/models": "models",
    "/v1/account": "account:read",
    "/v1/account/ceiling": "account:write",
    "/v1/receipts": "account:read",
    "/v1/provider-keys": "providers:write",
}


def endpoints() -> list[tuple[str, str]]:
    """Method and path of each, as the routers declare them."""
    return sorted(
        (method, route.path)
        for part in PARTS
        for route in part.routes.routes
        if isinstance(route, Route)
        for method in (route.methods or ()) - {"HEAD"}
    )


class Scene:
    """A victim with one of everything, and what names each of its things."""

    def __init__(self, town: Town) -> None:
        self.victim = town.person()
        self.key_id, self.api_key = self.victim.key(label="the victim's own label")
        self.team = self.victim.ask("POST", "/teams", name="the victim's team").json()["team"]
        self.victim.ask("PUT", "/provider-keys/up", api_key="sk-key-of-the-victim-0123456789")
        self.commit = self.victim.ask("POST", "/session-keys").json()["key_commit"]
        body = {"model": "plain", "messages": [{"role": "user", "content": "x"}]}
        self.receipt = self.victim.ask("POST", "/chat/completions", **body).headers["x-vibes-request-id"]
        session = self.victim.ask("GET", "/sessions").json()["data"][0]["session"]
        self.names = {
            "key_id": self.key_id,
            "team": str(self.team),
            "member": self.victim.address,
            "provider": "up",
            "key_commit": self.commit,
            "request_id": self.receipt,
            "session_id": session,
            "deposit_id": "00" * 32,  # nothing is sent here; test_relayed_deposits.py asks for another's
        }

    def url(self, path: str) -> str:
        path = path.replace("{model:path}", "plain").format(**self.names)
        return self.victim.url.removesuffix("/v1") + path


BODIES = {
    "/v1/keys/{key_id}": {"label": "a stranger's"},
    "/v1/keys/{key_id}/rotate": {"grace_s": 0},
    "/v1/teams/{team}": {"month_limit_base": "1"},
    "/v1/teams/{team}/members/{member}": {"role": "viewer"},
    "/v1/provider-keys/{provider}": {"api_key": "sk-of-a-stranger-0123456789"},
    "/v1/session-keys/{key_commit}": {"limit_base": "1"},
}
NAMED = ("{key_id}", "{team}", "{member}", "{key_commit}", "{request_id}", "{session_id}")


@pytest.fixture(scope="module")
def scene(town: Town) -> Scene:
    return Scene(town)


def ask(person: Person, method: str, path: str, scene: Scene, token: str | None = None) -> httpx.Response:
    return person.ask(method, scene.url(path), token, **BODIES.get(path, {}))


@pytest.mark.parametrize(("method", "path"), endpoints())
def test_nobody_gets_in_without_a_valid_credential(scene: Scene, method: str, path: str) -> None:
    url = scene.url(path)
    for headers in (
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer sk-vibes-wrong"},
        {"authorization": "Bearer " + "x" * 5000},
        {"authorization": scene.api_key},
        {"x-api-key": "vs-vibes-wrong"},
        {"authorization": "Bearer wrong", "x-api-key": scene.api_key},
    ):
        answer = httpx.request(method, url, headers=headers)
        expected = (200, 400) if (method, path) in OPEN else (401,)
        assert answer.status_code in expected, (headers, answer.text)


@pytest.mark.parametrize(("method", "path"), [one for one in endpoints() if any(n in one[1] for n in NAMED)])
def test_what_is_anothers_is_as_if_it_were_not_there(
    scene: Scene, town: Town, method: str, path: str
) -> None:
    """By a wallet with an account, one without, and the API key of another account: 404 or 403, no detail."""
    stranger, visitor = town.person(), town.visitor()
    every = ["account:read", "account:write", "chat", "keys:read", "keys:write", "providers:write"]
    _, strong = stranger.key(scopes=every)
    for person, token in ((stranger, None), (visitor, None), (stranger, strong)):
        answer = ask(person, method, path, scene, token)
        assert answer.status_code in (403, 404), (method, path, answer.text)
        for word in ("the victim's", "0123456789", scene.victim.address.lower()[4:]):
            assert word not in answer.text.lower()
    there = scene.victim.ask("GET", "/keys").json()["data"]
    assert next(key for key in there if key["id"] == scene.key_id)["revoked_s"] is None
    assert scene.victim.ask("GET", f"/teams/{scene.team}").json()["month_limit_base"] is None


@pytest.mark.parametrize(("method", "path"), endpoints())
def test_an_api_key_reaches_what_its_scopes_say(scene: Scene, method: str, path: str) -> None:
    """A key without any useful scope, by its own account's owner, reaches nothing."""
    if (method, path) in OPEN:
        return
    _, bare = scene.victim.key(scopes=["embeddings"])
    answer = ask(scene.victim, method, path, scene, bare)
    error = answer.json()["error"]
    code = error["details"][0]["reason"] if path.startswith("/v1beta/") else error["code"]
    if path.startswith(WALLET_ONLY):
        assert (answer.status_code, code) == (403, "needs_wallet"), path
    else:
        assert (answer.status_code, code) == (403, "scope_missing"), path


@pytest.mark.parametrize(("prefix", "scope"), SCOPES.items())
def test_the_one_scope_is_enough(scene: Scene, prefix: str, scope: str) -> None:
    _, token = scene.victim.key(scopes=[scope])
    for method, path in endpoints():
        if path == prefix or (path.startswith(prefix + "/") and prefix != "/v1/account"):
            answer = ask(scene.victim, method, path, scene, token)
            assert answer.status_code != 403, (method, path, answer.text)
    scene.victim.ask("PUT", "/provider-keys/up", api_key="sk-key-of-the-victim-0123456789")


def test_a_wallet_names_only_its_own_account(scene: Scene, town: Town) -> None:
    stranger = town.person()
    assert scene.victim.user is not None
    idx = str(scene.victim.user.idx)
    for path in ("/account", "/keys", "/provider-keys", "/models"):
        for wanted, status in ((idx, 404), ("x", 404), ("-1", 404), ("", 404)):
            with stranger.http(**{"x-vibes-account": wanted}) as client:
                assert client.get(path).status_code == status, (path, wanted)
        with scene.victim.http(**{"x-vibes-account": idx}) as client:
            assert client.get(path).status_code == 200


def test_a_wallet_with_two_accounts_chooses(town: Town) -> None:
    person = town.person()
    world: World = town.world
    second = world.user(owner=person.address)
    person.sign_in()
    with person.http(**{"x-vibes-account": str(second.idx)}) as client:
        assert client.get("/account").json()["account"] == second.idx
    assert person.user is not None
    assert person.ask("GET", "/account").json()["account"] == person.user.idx
