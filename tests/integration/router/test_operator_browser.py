"""The operator's pages in a real Chromium: live while calls run, by keyboard, on a phone, without scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from operator_world import Operated, make_operated, own_config
from playwright.sync_api import Page, expect
from router_upstream import Upstream
from support.page_checks import check_page
from support.tabs import Tabs
from test_money import body

PAGES = ("", "/money", "/routing", "/routing/file", "/conductor", "/routing/switch?scope=provider&name=east")
CALLERS = 8
SLOW_MS = 20_000


@pytest.fixture(scope="module")
def operated(new_world: Any, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Operated:
    made = make_operated(new_world, tmp_path_factory.mktemp("admin"), more=own_config(upstream.url))
    path = Path(made.world.router.environ["VIBES_CONFIG"])
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2) + "\n")
    return made


@pytest.fixture
def inside(operated: Operated, page: Page) -> Page:
    """A page on which alice has signed in."""
    return sign_in(operated, page)


@pytest.fixture
def load(operated: Operated) -> Iterator[list[int]]:
    """Calls without end by several callers; their answers' statuses."""
    user, over, statuses = operated.world.user(), threading.Event(), list[int]()

    def call() -> None:
        with user.http() as client:
            while not over.is_set():
                statuses.append(client.post("/chat/completions", json=body("fine", "load")).status_code)

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    yield statuses
    over.set()
    for thread in threads:
        thread.join()


def sign_in(operated: Operated, page: Page) -> Page:
    page.goto(f"{operated.url}/operator")
    page.get_by_label("Operator’s key").fill(operated.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What happens now")).to_be_visible()
    return page


def test_the_live_page_keeps_up_while_calls_run(operated: Operated, inside: Page, load: list[int]) -> None:
    figure = inside.locator("[data-figure=calls-today]")
    before = figure.inner_text()
    expect(figure).not_to_have_text(before, timeout=SLOW_MS)
    expect(inside.locator("[data-rows=providers] th").first).to_have_text("east")
    at = inside.locator("#at").inner_text()
    expect(inside.locator("#at")).not_to_have_text(at)
    expect(inside.locator("[data-figure=charged]")).to_contain_text("VIBES")
    expect(inside.locator("#connection")).to_be_empty()
    assert set(load) == {200}


def test_several_pages_stay_up_to_date_at_once(operated: Operated, tabs: Tabs, load: list[int]) -> None:
    pages = [sign_in(operated, tabs.open()) for _ in range(4)]
    first = [page.locator("[data-figure=calls-today]").inner_text() for page in pages]
    for page, before in zip(pages, first, strict=True):
        expect(page.locator("[data-figure=calls-today]")).not_to_have_text(before, timeout=SLOW_MS)
    assert set(load) == {200}


def test_a_page_says_when_its_session_has_ended(new_world: Any, tmp_path: Path, page: Page) -> None:
    operated = make_operated(new_world, tmp_path)
    sign_in(operated, page)
    operated.keys_file.write_text("# nobody\n")
    expect(page.locator("#connection")).to_contain_text("Your session has ended", timeout=SLOW_MS)


def test_a_page_says_that_the_router_is_gone(new_world: Any, tmp_path: Path, tabs: Tabs) -> None:
    operated, page = make_operated(new_world, tmp_path), tabs.open()
    sign_in(operated, page)
    tabs.announce("/operator/live")
    with page.expect_event("requestfailed", lambda one: one.url.endswith("/live"), timeout=SLOW_MS):
        operated.world.router.stop()
    expect(page.locator("#connection")).to_contain_text("The router cannot be reached", timeout=SLOW_MS)


def test_a_deployment_is_stopped_and_let_go_by_keyboard(operated: Operated, inside: Page) -> None:
    inside.goto(f"{operated.url}/operator/routing")
    inside.get_by_role("link", name="Stop deployment east/fine").focus()
    inside.keyboard.press("Enter")
    expect(inside.get_by_role("heading", name="Stop the deployment east/fine?")).to_be_visible()
    inside.get_by_label("Why?").focus()
    inside.keyboard.type("answers <b>nonsense</b>")
    inside.keyboard.press("Enter")
    row = inside.locator("tr", has=inside.get_by_role("rowheader", name="east/fine"))
    expect(row).to_contain_text("stopped")
    expect(row).to_contain_text("alice: answers <b>nonsense</b>")
    inside.get_by_role("link", name="Let go deployment east/fine").click()
    inside.get_by_label("Why?").fill("mended")
    inside.get_by_role("button", name="Let the deployment east/fine go").click()
    expect(row).to_contain_text("serves")


def test_a_slider_and_its_field_move_together(operated: Operated, inside: Page) -> None:
    inside.goto(f"{operated.url}/operator/routing")
    slider, field = inside.get_by_label("Part of the calls"), inside.get_by_label("Percent")
    slider.fill("40")
    expect(field).to_have_value("40")
    field.fill("25")
    expect(slider).to_have_value("25")
    inside.get_by_role("button", name="Hold it there").click()
    inside.get_by_label("Why?").fill("a look at a quarter")
    inside.get_by_role("button", name="Hold the rollout of fine at 25 %").click()
    expect(inside.get_by_text("held there by alice")).to_contain_text("25 %")


def test_an_error_in_the_file_leads_to_its_line(operated: Operated, inside: Page, tabs: Tabs) -> None:
    inside.goto(f"{operated.url}/operator/routing/file")
    text = inside.get_by_label("Text of the file")
    good = text.input_value()
    text.fill(good.replace('"provider": "west"', '"provider": "wst"'))
    tabs.announce("422")
    inside.get_by_role("button", name="Check, and show what changes").click()
    told = inside.get_by_role("alert")
    expect(told).to_contain_text("'wst' is not configured; there is: east, west")
    told.get_by_role("link").click()
    expect(text).to_be_focused()
    chosen = text.evaluate("(one) => one.value.slice(one.selectionStart, one.selectionEnd)")
    assert chosen.strip() == '"provider": "wst",'
    expect(inside.locator(".editor .wrong")).to_have_count(1)
    text.fill(good.replace('"weight": 1', '"weight": 2').replace("west/fine", "west/finer"))
    inside.get_by_role("button", name="Check, and show what changes").click()
    expect(inside.locator("ins").first).to_contain_text("west/finer")
    inside.get_by_label("Why?").fill("a better name")
    inside.get_by_role("button", name="Write config.json").click()
    expect(inside.get_by_role("status")).to_contain_text("Written.")
    inside.goto(f"{operated.url}/operator/routing")
    expect(inside.get_by_role("rowheader", name="west/finer")).to_be_visible()


def test_without_scripts_the_pages_do_their_work(operated: Operated, tabs: Tabs) -> None:
    page = sign_in(operated, tabs.open(java_script_enabled=False))
    expect(page.locator("[data-figure=unsettled]")).to_contain_text("VIBES")
    page.goto(f"{operated.url}/operator/routing")
    expect(page.get_by_label("Part of the calls")).to_be_hidden()
    page.get_by_label("Percent").fill("5")
    page.get_by_role("button", name="Hold it there").click()
    page.get_by_label("Why?").fill("without scripts")
    page.get_by_role("button", name="Hold the rollout of fine at 5 %").click()
    expect(page.get_by_text("held there by alice")).to_contain_text("5 %")


@pytest.mark.parametrize("path", PAGES, ids=[path.partition("?")[0] or "live" for path in PAGES])
def test_every_page_is_light_accessible_and_fits_a_phone(operated: Operated, inside: Page, path: str) -> None:
    check_page(inside, f"{operated.url}/operator{path}")


def test_the_sign_in_is_accessible_too(operated: Operated, page: Page) -> None:
    check_page(page, f"{operated.url}/operator/signin")
    assert httpx.get(f"{operated.url}/operator").status_code == 303
