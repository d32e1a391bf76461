"""Numbers that no column holds, wherever something from outside may be a number: refused, never a 500."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from operator_world import make_operated
from people_world import PUBLIC_URL, Person, Town

from router.db import MAX_ROW
from router.web import pages
from router.web.door import COOKIE

LARGE = (str(MAX_ROW), str(MAX_ROW + 1), "9" * 19, "9" * 400, "9" * 5000, "-1")
READABLE = 4300
"""Python reads no longer numbers."""
FORM = {
    **dict.fromkeys(("day_limit_base", "month_limit_base", "auto_day_base", "auto_month_base"), "1"),
    **dict.fromkeys(("requests_per_minute", "tokens_per_minute", "parallel"), "1"),
    **{"label": "x", "name": "x", "role": "member", "grace_s": "0", "until": "2030-01-01", "team": ""},
}
KEPT_OPEN = ("/close", "/signout", "/remove", "/revoke")
"""Ends of the addresses that would end what the others need."""


@pytest.fixture(scope="module")
def person(town: Town) -> Person:
    return town.person()


@pytest.fixture(scope="module")
def known(town: Town, person: Person) -> dict[str, Any]:
    """Things that there are, by the name of the parameter that names them."""
    return {
        "team": person.ask("POST", "/teams", name="x").json()["team"],
        "member": town.visitor().address,
        "address": town.visitor().address,
        "key_id": person.key()[0],
        "key_commit": person.ask("POST", "/session-keys").json()["key_commit"],
        "idx": person.user.idx if person.user else 0,
        **{"provider": "up", "role": "member", "api_key": "sk-of-the-user-0123456789"},
        **{"number": 1, "partner_id": 0, "model": "plain"},
    }


def filled(path: str, known: dict[str, Any]) -> str:
    return re.sub(r"{(\w+)(?::\w+)?}", lambda found: str(known.get(found[1], "x")), path)


def attacks(document: dict[str, Any], known: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A large number in the place of each parameter and of each member of a body, one at a time."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for name in re.findall(r"{(\w+)", path):
                for text in LARGE:
                    body = {} if method in ("get", "delete") else {"json": {"role": "member"}}
                    yield method, filled(path, {**known, name: text}), body
            for asked in operation.get("parameters", ()):
                if asked["in"] == "query":
                    for text in LARGE:
                        yield method, filled(path, known), {"params": {asked["name"]: text}}
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = content.get("schema", {})
            if "$ref" in schema:
                schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            needed = {name: known[name] for name in schema.get("required", ()) if name in known}
            for name in schema.get("properties", ()):
                for text in LARGE:
                    yield method, filled(path, known), {"json": {**needed, name: text}}
                    if len(text) < READABLE:
                        yield method, filled(path, known), {"json": {**needed, name: int(text)}}


def assert_survived(client: httpx.Client, tries: Iterator[tuple[str, str, dict[str, Any]]]) -> set[str]:
    """The addresses that were asked, none of which answered with a fault of the router."""
    asked = set()
    for method, path, more in tries:
        answer = client.request(method, path, **more)
        assert answer.status_code != 500, (method, path[:100], json.dumps(more)[:200])
        asked.add(path)
    return asked


def test_the_api(town: Town, person: Person, known: dict[str, Any]) -> None:
    with httpx.Client(
        base_url=town.url.removesuffix("/v1"),
        headers={"authorization": f"Bearer {person.token}"},
        timeout=30,
    ) as client:
        asked = assert_survived(client, attacks(client.get("/openapi.json").json(), known))
    assert {f"/v1/teams/{MAX_ROW + 1}", "/v1/session-keys", "/v1/keys"} <= asked
    team = person.ask("POST", "/keys", team=10**30)
    assert (team.status_code, team.json()["error"]["code"]) == (404, "not_found")
    for limit_base in (2**63, 10**19 - 1):
        refused = person.ask("POST", "/session-keys", limit_base=str(limit_base))
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "limit_base")
    assert person.ask("POST", "/session-keys", limit_base=str(2**63 - 1)).status_code == 201
    assert person.ask("GET", "/session-keys").status_code == 200


def test_the_pages(town: Town, person: Person, known: dict[str, Any]) -> None:
    def tries() -> Iterator[tuple[str, str, dict[str, Any]]]:
        for module in pkgutil.iter_modules(pages.__path__):
            routes = getattr(importlib.import_module(f"router.web.pages.{module.name}"), "routes", None)
            for route in () if routes is None else routes.routes:
                for method in route.methods:
                    for name in re.findall(r"{(\w+)", route.path):
                        for text in LARGE:
                            yield method, filled(route.path, {**known, name: text}), {}
                    if method == "GET":
                        for asked in route.dependant.query_params:
                            for text in (*LARGE, "9999-12-31", "0000-00-00"):
                                yield method, filled(route.path, known), {"params": {asked.alias: text}}
                    elif not route.path.endswith(KEPT_OPEN):
                        for name in FORM:
                            for text in (*LARGE, "9999-12-31", "0001-01-01"):
                                sent = {**FORM, "address": known["address"], name: text}
                                yield method, filled(route.path, known), {"data": sent}

    with httpx.Client(
        base_url=town.url.removesuffix("/v1"),
        headers={"origin": PUBLIC_URL},
        cookies={COOKIE: person.token},
        timeout=30,
    ) as client:
        asked = assert_survived(client, tries())
    assert {f"/wallet/team/{MAX_ROW + 1}", "/wallet/keys", f"/partners/{MAX_ROW + 1}"} <= asked


def test_the_operators_api_and_pages(new_world: Any, tmp_path: Path) -> None:
    operated = make_operated(new_world, tmp_path)
    known = {"idx": operated.world.user().idx, "number": 1}
    with operated.signed_in() as client:
        bearer = {"authorization": f"Bearer {operated.key}"}
        document = client.get("/openapi.json").json()
        told = (
            (method, path, {**more, "headers": bearer}) for method, path, more in attacks(document, known)
        )
        assert f"/admin/v1/accounts/{MAX_ROW + 1}" in assert_survived(client, told)
        for text in LARGE:
            for path in (f"/operator/conductor?below={text}", f"/operator/money?days={text}"):
                assert client.get(path).status_code in (200, 400), path
