"""The wallet's pages in a real browser: what axe-core and a phone say of them, and the copy buttons."""

from __future__ import annotations

import re
from typing import Any

import pytest
from page_world import enter
from people_world import Person, Town, chat, make_public_town
from playwright.sync_api import Page, expect
from support.page_checks import check_page
from support.tabs import Tabs, browsing

LONG = "a name that somebody has made as long as they could, to see what becomes of the page, and of them"
PATHS = (
    "/wallet",
    "/wallet/usage",
    "/wallet/requests",
    "/wallet/requests/{request}",
    "/wallet/keys",
    "/wallet/rewards",
    "/wallet/team",
    "/wallet/team/{team}",
)


@pytest.fixture(scope="module")
def place(new_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A router whose public address is the one that the browser sees."""
    return make_public_town(new_world, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def person(place: Town) -> Person:
    """Somebody with long names and large amounts."""
    person = Person(place.url)
    person.user = place.world.user(owner=person.address, deposit_base=10**15, ceiling_base=10**15)
    person.token = enter(person, place.url.removesuffix("/v1"))
    return person


@pytest.fixture(scope="module")
def names(person: Person) -> dict[str, str]:
    """What the paths name."""
    _, secret = person.key(label=LONG, day_limit_base="123456789012345", models=["plain", "x" * 200])
    request = chat(person, secret).headers["x-vibes-request-id"]
    team = person.ask("POST", "/teams", name=LONG).json()["team"]
    person.ask("PUT", f"/teams/{team}/members/{'0x' + '1' * 40}", role="member", month_limit_base="1")
    return {"request": request, "team": str(team)}


def opened(tabs: Tabs, place: Town, person: Person) -> Page:
    page = tabs.open(base_url=place.url.removesuffix("/v1"))
    browsing.give_cookies(page, {"vibes_session": person.token})
    return page


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_what_a_page_must_be(
    tabs: Tabs, place: Town, person: Person, names: dict[str, str], path: str
) -> None:
    page = opened(tabs, place, person)
    check_page(page, place.url.removesuffix("/v1") + path.format(**names))
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wider) == 0  # nor does anything beside a table that scrolls make the page scroll


def test_a_newcomers_page_too(tabs: Tabs, place: Town) -> None:
    newcomer = Person(place.url)
    newcomer.token = enter(newcomer, place.url.removesuffix("/v1"))
    check_page(opened(tabs, place, newcomer), place.url.removesuffix("/v1") + "/wallet")


def test_a_new_key_is_copied_and_a_reload_makes_no_second(tabs: Tabs, place: Town, person: Person) -> None:
    page = opened(tabs, place, person)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/wallet/keys")
    page.get_by_role("textbox", name="Name", exact=True).fill("made here")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator(".secret").text_content()
    assert secret is not None
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert chat(person, secret).status_code == 200
    tabs.announce("409")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("was done then, once")
    assert secret not in page.content()
    expect(page.get_by_role("heading", name=re.compile("made here"))).to_have_count(1)


def test_what_a_browser_does_not_let_a_page_copy_is_selected(tabs: Tabs, place: Town, person: Person) -> None:
    page = opened(tabs, place, person)
    page.add_init_script("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    page.goto("/wallet/keys")
    page.get_by_role("button", name="Copy").nth(1).click()
    assert page.evaluate("getSelection().toString()").startswith("curl ")
    expect(page.get_by_role("status")).to_contain_text("copy it with your keyboard")
