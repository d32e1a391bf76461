"""The operator's pages over HTTP: who gets in, what is shown, and that no form of another site counts."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
import pytest
from operator_world import Operated, host_of, make_operated, new_key, own_config
from router_upstream import Upstream
from router_world import World
from support.books import SIGNER, TERMS, facts, reservation
from test_money import CHARGE_BASE, body

from router.api.admin_door import FAILURES
from router.ledger import Charge, batches, settled
from router.web.operator.door import COOKIE

EVENTS = "text/event-stream; charset=utf-8"
PAGES = ("", "/money", "/routing", "/routing/file", "/conductor", "/routing/switch?scope=everything")


@pytest.fixture(scope="module")
def operated(new_world: Any, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Operated:
    return make_operated(new_world, tmp_path_factory.mktemp("admin"), more=own_config(upstream.url))


def events(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    """So many events of the live stream."""
    found: list[dict[str, Any]] = []
    with client.stream("GET", "/operator/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
            if len(found) == count:
                break
    return found


def test_a_key_opens_a_session_that_holds_no_key(operated: Operated) -> None:
    with operated.browser() as client:
        asked = client.get("/operator/money?since=2026-01-01")
        assert asked.status_code == 303
        sign_in = client.get(asked.headers["location"])
        assert 'value="/operator/money?since=2026-01-01"' in sign_in.text
        entered = client.post(
            "/operator/signin", data={"key": operated.key, "next": "/operator/money?since=2026-01-01"}
        )
        assert entered.headers["location"] == "/operator/money?since=2026-01-01"
        cookie = entered.headers["set-cookie"]
        assert operated.key not in cookie
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/operator"))
        assert (operated.acts(client)[0]["actor"], operated.acts(client)[0]["action"]) == (
            "alice",
            "operator.signin",
        )
        for page in PAGES:
            shown = client.get(f"/operator{page}")
            assert shown.status_code == 200, page
            policy = shown.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert " style=" not in shown.text
            assert not re.search(r"<script(?![^>]* src=)", shown.text)
            assert operated.key not in shown.text
            assert "sk-operator-secret" not in shown.text
        assert client.post("/operator/signout").headers["location"] == "/operator/signin"
        assert client.get("/operator").status_code == 303


@pytest.mark.parametrize("onward", ["//evil.example", "https://evil.example", "/operator/\\evil", "/wallet"])
def test_a_sign_in_goes_on_to_these_pages_only(operated: Operated, onward: str) -> None:
    with operated.browser() as client:
        entered = client.post("/operator/signin", data={"key": operated.key, "next": onward})
        assert entered.headers["location"] == "/operator"


def test_a_made_up_session_opens_nothing(operated: Operated) -> None:
    with operated.signed_in() as client:
        good = client.cookies[COOKIE]
        name, began, renewed, mac = good.rsplit(".", 3)
        later = int(renewed) + 9_999
        for forged in (
            f"bob.{began}.{renewed}.{mac}",
            f"{name}.{began}.{later}.{mac}",
            f"{name}.{began}.{renewed}.{'0' * len(mac)}",
            "alice",
            "....",
            "é" * 300,
        ):
            answer = httpx.get(f"{operated.url}/operator", headers={b"cookie": f"{COOKIE}={forged}".encode()})
            assert answer.status_code == 303, forged
        assert client.get("/operator").status_code == 200


def test_forms_of_other_pages_do_not_count(operated: Operated) -> None:
    form = {"scope": "everything", "name": "", "to": "0", "reason": "not me"}
    port = host_of(operated.url).rpartition(":")[2]
    with operated.signed_in() as client:
        del client.headers["origin"]
        for origin in (
            {},
            {"origin": "null"},
            {"origin": "http://["},
            {"origin": "http://127.0.0.1:1"},
            {"origin": f"http://evil.example:{port}"},
        ):
            for path in (
                "/routing/switch",
                "/routing/file",
                "/routing/file/check",
                "/conductor/undo",
                "/signout",
            ):
                answer = client.post(f"/operator{path}", data=form, headers=origin)
                assert answer.status_code == 403, (path, origin)
                assert "did not come from a page of this router" in answer.text
            key = {"key": operated.key}
            assert client.post("/operator/signin", data=key, headers=origin).status_code == 403
        assert [one["action"] for one in operated.acts(client)] == ["operator.signin"]


def test_a_name_that_somebody_else_owns_leads_nowhere(operated: Operated, new_world: Any) -> None:
    port = host_of(operated.url).rpartition(":")[2]
    for path in ("/operator", "/operator/signin", "/operator/live"):
        answer = httpx.get(operated.url + path, headers={"host": f"evil.example:{port}"})
        assert answer.status_code == 421
    assert httpx.get(operated.url + "/operator/signin", headers={"host": "["}).status_code == 421
    assert httpx.get(f"{operated.url}/metrics").status_code == 200
    rebound = httpx.get(f"{operated.url}/metrics", headers={"host": f"evil.example:{port}"})
    assert rebound.status_code == 401
    for host in (f"localhost:{port}", f"[::1]:{port}", "10.1.2.3"):
        assert httpx.get(operated.url + "/operator/signin", headers={"host": host}).status_code == 200


def test_a_name_may_be_allowed(new_world: Any, tmp_path: Any) -> None:
    operated = make_operated(new_world, tmp_path, VIBES_ADMIN_HOSTS="ops.example")
    headers = {"host": "ops.example", "origin": "https://ops.example"}
    assert httpx.get(operated.url + "/operator/signin", headers=headers).status_code == 200
    entered = httpx.post(operated.url + "/operator/signin", data={"key": operated.key}, headers=headers)
    assert entered.status_code == 303


def test_guessers_of_keys_wait(new_world: Any, tmp_path: Any) -> None:
    operated = make_operated(new_world, tmp_path)
    with operated.browser() as client:
        for _ in range(FAILURES):
            wrong = client.post("/operator/signin", data={"key": "sk-admin-guess"})
            assert wrong.status_code == 401
            assert "sk-admin-guess" not in wrong.text
        waits = client.post("/operator/signin", data={"key": operated.key})
        assert (waits.status_code, COOKIE in client.cookies) == (429, False)
        assert int(waits.headers["retry-after"]) > 0


def test_who_leaves_the_keys_file_is_out_at_once(new_world: Any, tmp_path: Any) -> None:
    operated = make_operated(new_world, tmp_path)
    with operated.signed_in() as client:
        assert client.get("/operator").status_code == 200
        with client.stream("GET", "/operator/live") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("data: ")
            operated.keys_file.write_text(new_key("bob")[1])
            assert "event: end" in list(lines)
        again = client.get("/operator/live")  # as a page does that lost its stream meanwhile
        assert (again.headers["content-type"], again.text) == (EVENTS, "event: end\ndata: {}\n\n")
        assert client.get("/operator").status_code == 303


def test_without_keys_there_is_only_a_page_that_says_how_to_make_one(new_world: Any) -> None:
    world: World = new_world("--admin-port", "0")
    for page in (*PAGES, "/live", "/signin"):
        answer = httpx.get(f"{world.router.admin_url}/operator{page}")
        assert answer.status_code == 404
        assert "vibes-router admin-key" in answer.text


def test_the_public_address_has_none_of_it(operated: Operated) -> None:
    public = operated.world.router.url.removesuffix("/v1")
    with operated.signed_in() as client:
        for path in ("/operator", "/operator/signin", "/operator/live"):
            assert httpx.get(public + path, cookies=dict(client.cookies)).status_code == 404


def test_the_live_stream_follows_calls(operated: Operated) -> None:
    user = operated.world.user()
    with operated.signed_in() as client, user.http() as caller:
        before = events(client, 1)[0]["figures"]
        for _ in range(5):
            assert caller.post("/chat/completions", json=body("fine", "live")).status_code == 200
        deadline = time.monotonic() + 20
        while (told := events(client, 1)[0])["figures"]["calls-today"] == before["calls-today"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)  # streams that have just been left still count among those that are open
        assert told["figures"]["charged"].endswith(" VIBES")
        assert [row["cells"][0] for row in told["tables"]["providers"]] == ["east"]
        assert told["figures"]["calls"] != "0.0 /s"
        page = client.get("/operator").text
        assert told["figures"]["unsettled"] in page
    assert user.view().spent_base == 5 * CHARGE_BASE


def test_a_bridge_that_has_fallen_silent_is_told_with_what_to_do(operated: Operated) -> None:
    alert = {"code": "low_funds", "detail": "0.001 ether left", "opened_at": 1, "advice": "Send some."}
    document = {"alerts": [alert], "leader": "box:7", "chain": None, "proofs": [], "open_batches": []}
    ledger = operated.world.ledger
    with operated.signed_in() as client:
        assert "never" in client.get("/operator").text
        ledger.run(lambda connection: settled.report(connection, document, int(time.time())))
        deadline = time.monotonic() + 20
        while "box:7" not in (page := client.get("/operator").text):
            assert time.monotonic() < deadline
        assert "0.001 ether left (low_funds)" in page
        assert "Send some." in page
        assert "has not reported" not in page
        ledger.run(lambda connection: settled.report(connection, document, int(time.time()) - 3_600))
        while "The bridge has not reported for 1 hour" not in (page := client.get("/operator").text):
            assert time.monotonic() < deadline
        assert "vibes settle --watch" in page
    assert ledger.read(batches.bridge_report) is not None


def test_money_is_by_tier_and_model_over_a_period(operated: Operated) -> None:
    user = operated.world.user()
    with operated.signed_in() as client, user.http() as caller:
        assert caller.post("/chat/completions", json=body("fine", "money")).status_code == 200
        page = client.get("/operator/money").text
        line = re.search(
            r'<tr><td data-label="Tier">simple</td><th scope="row">fine</th>(.*?)</tr>', page, re.DOTALL
        )
        assert line is not None
        assert '<tr class="bad">' not in page
        assert "the house" in page
        held = operated.world.ledger.run(reservation(user.idx, 10_000))
        used = facts(10_000, time_s=int(time.time()), model="dear-1")._replace(
            tier="gift", wholesale_base=9_000
        )
        operated.world.ledger.run(Charge(held.entry_id, used, TERMS, SIGNER))
        page = client.get("/operator/money").text
        red = re.search(
            r'<tr class="bad"><td data-label="Tier">gift</td><th scope="row">dear-1 (.*?)</tr>',
            page,
            re.DOTALL,
        )
        assert red is not None
        assert "loses money" in red[1]
        assert 'class="number bad-figure">−0.0005</td>' in red[1]  # 8,500 of 10,000 are kept
        assert "Retail leaves out" not in page
        held = operated.world.ledger.run(reservation(user.idx, 20_000))
        unlisted = facts(20_000, time_s=int(time.time()))
        operated.world.ledger.run(Charge(held.entry_id, unlisted, TERMS, SIGNER))
        page = client.get("/operator/money").text
        assert "Retail leaves out 1 call, charged with 0.02 VIBES" in page
        empty = client.get("/operator/money?since=2020-01-01&until=2020-01-31")
        assert "No call ended in this time." in empty.text
        for query in (
            *("since=2020-01-01&until=2026-01-01", "since=2026-02-02&until=2026-02-01", "since=soon"),
            *("since=0001-01-01", "until=0001-01-01", "since=9999-12-31&until=9999-12-31", "since=%00"),
        ):
            assert client.get(f"/operator/money?{query}").status_code == 400, query


def test_the_bare_address_leads_to_the_pages(operated: Operated) -> None:
    with operated.browser() as client:
        answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/operator")


def test_every_page_stays_small(operated: Operated) -> None:
    with operated.signed_in() as client:
        for page in PAGES:
            answer = client.get(f"/operator{page}")
            loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text))
            assert len(answer.content) + sum(len(client.get(one).content) for one in loaded) < 150_000
