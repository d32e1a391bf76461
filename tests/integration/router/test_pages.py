"""Pages over HTTP: what frames them, the session in a cookie, and forms that only our own pages may send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from people_world import PUBLIC_URL, Person, Town, make_town, message, signed

OWN = {"origin": PUBLIC_URL}
SAFE_URL = PUBLIC_URL.replace("http:", "https:")


@pytest.fixture(scope="module")
def place(new_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Town:
    return make_town(new_world, tmp_path_factory.mktemp("keys"))


@pytest.fixture
def browser(place: Town) -> Iterator[httpx.Client]:
    """A browser that nobody has signed in with."""
    with httpx.Client(base_url=place.url.removesuffix("/v1"), timeout=30) as client:
        yield client


def enter(
    browser: httpx.Client, person: Person, headers: dict[str, str] = OWN, url: str = PUBLIC_URL
) -> httpx.Response:
    """Signs in as the page's script does."""
    nonce = browser.get("/v1/signin/nonce").json()["nonce"]
    text = message(person.address, nonce, uri=url)
    return browser.post(
        "/signin", json={"message": text, "signature": signed(person.wallet, text)}, headers=headers
    )


def test_a_page_lets_nothing_run_but_the_routers_own_files(browser: httpx.Client) -> None:
    answer = browser.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert " style=" not in answer.text
    assert not re.search(r"<script(?![^>]* src=)", answer.text)


@pytest.mark.parametrize(
    "path",
    ["/partners/1?before=last", "/partners/first", f"/partners/{'9' * 5000}"],
    ids=["query", "word", "endless number"],
)
def test_an_address_that_says_nothing_is_no_fault_of_the_router(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 400
    assert "That did not work" in answer.text
    assert "9" * 100 not in answer.text


def test_files_are_kept_under_their_version_only(browser: httpx.Client) -> None:
    page = browser.get("/").text
    found = re.search(r'href="(/static/app\.css\?v=[0-9a-f]{16})"', page)
    assert found is not None
    kept = browser.get(found[1])
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"] == "text/css; charset=utf-8"
    asked = browser.get("/static/app.css")
    assert asked.headers["cache-control"] == "no-cache"
    again = browser.get("/static/app.css", headers={"if-none-match": asked.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert browser.get("/static/app.css?v=0000000000000000").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["", "none.css", "../render.py", "%2e%2e/render.py", "..%2f__init__.py"])
def test_nothing_but_listed_files_is_served(browser: httpx.Client, name: str) -> None:
    assert browser.get(f"/static/{name}").status_code == 404


def test_a_session_lives_in_a_cookie_that_no_script_reads(place: Town, browser: httpx.Client) -> None:
    person = Person(place.url)
    answer = enter(browser, person)
    assert answer.json() == {"address": person.address}
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie  # the public address is plain http
    assert person.address[:8] in browser.get("/").text


def test_under_https_no_neighbouring_host_can_set_the_cookies(new_world: Any, tmp_path: Path) -> None:
    place = make_town(new_world, tmp_path, VIBES_PUBLIC_URL=SAFE_URL)
    person = Person(place.url)
    person.user = place.world.user(owner=person.address)
    with httpx.Client(base_url=place.url.removesuffix("/v1"), timeout=30) as browser:
        cookie = enter(browser, person, {"origin": SAFE_URL}, SAFE_URL).headers["set-cookie"]
        name, token = cookie.partition(";")[0].split("=", 1)
        assert name == "__Host-vibes_session"
        assert ("Secure" in cookie, "Path=/" in cookie, "Domain" in cookie) == (True, True, False)
        asked = {"cookie": f"{name}={token}", "origin": SAFE_URL}
        assert person.address[:8] in browser.get("/", headers=asked).text
        assert browser.get("/v1/sessions", headers=asked).status_code == 200
        for planted in ("vibes_session", "__Secure-vibes_session"):
            forged = {"cookie": f"{planted}={token}"}
            assert browser.get("/wallet", headers=forged).status_code == 303
            assert browser.get("/v1/sessions", headers=forged).status_code == 401
        chosen = browser.post("/wallet/account", data={"account": person.user.idx}, headers=asked)
        assert chosen.headers["set-cookie"].startswith("__Host-vibes_account=")
        left = browser.post("/signout", data={}, headers=asked).headers.get_list("set-cookie")
        assert [one.partition("=")[0] for one in left] == ["__Host-vibes_session", "__Host-vibes_account"]
        assert all("Max-Age=0" in one for one in left)


def test_signing_in_needs_our_own_page(place: Town, browser: httpx.Client) -> None:
    for headers in ({}, {"origin": "https://evil.example"}, {"origin": "null"}):
        answer = enter(browser, Person(place.url), headers)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "foreign_form"
    assert "set-cookie" not in answer.headers


def test_signing_out_ends_the_session_itself(place: Town, browser: httpx.Client) -> None:
    enter(browser, Person(place.url))
    token = browser.cookies["vibes_session"]
    foreign = browser.post("/signout", data={}, headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert "did not come from a page of this router" in foreign.text
    left = browser.post("/signout", data={}, headers=OWN)
    assert (left.status_code, left.headers["location"]) == (303, "/")
    assert "vibes_session" not in browser.cookies
    bearer = {"authorization": f"Bearer {token}"}
    assert browser.get("/v1/sessions", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("asked", "onward"),
    [
        pytest.param("/wallet/keys", "/wallet/keys", id="inside"),
        pytest.param("//evil.example", "/wallet", id="another-host"),
        pytest.param("/\\evil.example", "/wallet", id="another-host-by-backslash"),
        pytest.param("https://evil.example", "/wallet", id="another-site"),
        pytest.param('/"><script>', "/wallet", id="markup"),
    ],
)
def test_a_sign_in_goes_on_inside_only(browser: httpx.Client, asked: str, onward: str) -> None:
    page = browser.get("/signin", params={"next": asked}).text
    assert f'data-onward="{onward}"' in page


def test_the_pages_scripts_use_the_json_endpoints_with_the_cookie(place: Town, browser: httpx.Client) -> None:
    person = Person(place.url)
    enter(browser, person)
    assert browser.get("/v1/sessions").json()["data"][0]["address"] == person.address
    assert browser.post("/v1/signout", headers={"origin": "https://evil.example"}).status_code == 401
    assert browser.post("/v1/signout").status_code == 401
    assert browser.post("/v1/signout", headers=OWN).status_code == 204
    assert browser.get("/v1/sessions").status_code == 401


def test_a_cookie_never_pays_for_a_call(place: Town, browser: httpx.Client) -> None:
    person = Person(place.url)
    person.user = place.world.user(owner=person.address)
    enter(browser, person)
    call = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
    assert browser.post("/v1/chat/completions", json=call, headers=OWN).status_code == 401
