"""The device page in a real browser, with wallets as browsers have them. Needs Debian's `chromium`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from people_world import Person, Town, make_public_town
from playwright.sync_api import Page, expect
from support.injected import InjectedWallet
from support.tabs import Tabs

from router.api.device import GRANT_TYPE


@pytest.fixture(scope="module")
def place(new_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A router whose public address is the one that the browser sees."""
    return make_public_town(new_world, tmp_path_factory.mktemp("keys"))


def newcomer(place: Town, *, injected: bool = False) -> tuple[Person, InjectedWallet]:
    """Somebody who has an account here and is not signed in, and the wallet in their browser."""
    person = Person(place.url)
    person.user = place.world.user(owner=person.address)
    return person, InjectedWallet(person.wallet, injected=injected, announced=not injected)


def begin(place: Town) -> dict[str, Any]:
    told: dict[str, Any] = httpx.post(
        f"{place.url}/device/code", data={"client_id": "mini-llm", "device_name": "<b>box</b>"}
    ).json()
    return told


def answer(place: Town, begun: dict[str, Any]) -> dict[str, Any]:
    form = {"grant_type": GRANT_TYPE, "device_code": begun["device_code"], "client_id": "mini-llm"}
    told: dict[str, Any] = httpx.post(f"{place.url}/device/token", data=form).json()
    return told


def test_a_wallet_approves_by_keyboard_alone(place: Town, page: Page) -> None:
    (person, wallet), begun = newcomer(place), begin(place)
    wallet.attach(page)
    page.goto(begun["verification_uri_complete"])
    expect(page.get_by_label("Code on your device")).to_have_value(begun["user_code"])
    assert begun["user_code"] not in page.url
    button = page.get_by_role("button", name="Sign in with Test Wallet")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#asks")).to_be_focused()
    expect(page.locator("#client")).to_have_text("mini-llm, on “<b>box</b>”")
    expect(page.locator("#scopes")).to_contain_text("call models")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("2.5")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Approved")
    told = answer(place, begun)
    person.sign_in_at(place.url.removesuffix("/v1"))
    (key,) = [one for one in person.ask("GET", "/keys").json()["data"] if one["id"] == told["key_id"]]
    assert (key["day_limit_base"], key["month_limit_base"]) == ("2500000", None)
    assert key["expires_s"] is not None
    assert len(person.ask("GET", "/sessions").json()["data"]) == 1  # the page's own has ended


def test_a_wallet_denies(place: Town, page: Page) -> None:
    (_, wallet), begun = newcomer(place, injected=True), begin(place)
    wallet.attach(page)
    page.goto(begun["verification_uri"])
    page.get_by_label("Code on your device").fill(begun["user_code"].lower())
    page.get_by_role("button", name="Sign in with the wallet of this browser").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("status")).to_contain_text("Denied")
    assert answer(place, begun)["error"] == "access_denied"


def test_a_wrong_code_is_told(place: Town, tabs: Tabs, page: Page) -> None:
    person, wallet = newcomer(place, injected=True)
    wallet.attach(page)
    tabs.announce("404 (Not Found)")
    page.goto(f"{place.url.removesuffix('/v1')}/device")
    page.get_by_label("Code on your device").fill("BBBB-BBBB")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("status")).to_contain_text("no login waits for this code")
    person.sign_in_at(place.url.removesuffix("/v1"))
    assert len(person.ask("GET", "/sessions").json()["data"]) == 1  # the page's own has ended


def test_without_a_wallet_the_page_tells_another_way(place: Town, page: Page) -> None:
    page.goto(f"{place.url.removesuffix('/v1')}/device")
    expect(page.get_by_role("status")).to_have_text("No wallet was found in this browser.")
    expect(page.get_by_text("mini-llm approve CODE")).to_be_visible()


def test_the_page_is_whole_without_scripts(place: Town, tabs: Tabs) -> None:
    page = tabs.open(java_script_enabled=False)
    page.goto(f"{place.url.removesuffix('/v1')}/device?user_code=BCDF-GHJK")
    assert page.get_by_label("Code on your device").input_value() == "BCDF-GHJK"
    expect(page.get_by_text("mini-llm approve CODE")).to_be_visible()
