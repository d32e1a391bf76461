"""A real Chromium, and what it takes to load a page: for tests, measurements and screenshots."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import Browser, Page, Request, sync_playwright
from tools import MissingTools

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
QUIET_S: Final = 15
"""How long a page may go on loading after its load event."""
_LOADED_MS: Final = """() => Math.max(
  performance.getEntriesByType("navigation")[0].loadEventEnd,
  ...performance.getEntriesByType("resource").map((entry) => entry.responseEnd))"""


@dataclass(frozen=True)
class Visit:
    """What a page took with nothing cached.

    Attributes:
        requests: the page itself and all that it loads, streams of events aside.
        size_bytes: of their answers as they were sent, headers included.
        load_ms: from the start of the navigation to the end of the last answer.
    """

    url: str
    status: int
    requests: int
    size_bytes: int
    load_ms: float


def find_browser() -> str:
    """Path of the system's browser.

    Raises:
        MissingTools: there is none.
    """
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise MissingTools(["chromium (opens the pages): apt-get install chromium"])


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A headless Chromium.

    Raises:
        MissingTools: there is none.
    """
    path = find_browser()
    with sync_playwright() as playwright:
        # Without its sandbox: in a container it has no right to make one, and it opens our own pages only.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def give_cookies(page: Page, cookies: Mapping[str, str]) -> None:
    """Puts cookies of this machine's servers, by name, into the browser that a page is in."""
    page.context.add_cookies(
        [
            {"name": name, "value": value, "domain": "127.0.0.1", "path": "/"}
            for name, value in cookies.items()
        ]
    )


def visit(page: Page, url: str) -> Visit:
    """Opens a page as if for the first time, and waits until it has loaded everything.

    Raises:
        TimeoutError: it goes on loading.
    """
    sizes: list[int] = []
    running: set[Request] = set()

    def began(request: Request) -> None:
        if request.resource_type != "eventsource":
            running.add(request)

    def ended(request: Request) -> None:
        running.discard(request)

    def finished(event: dict[str, Any]) -> None:
        sizes.append(int(event["encodedDataLength"]))

    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.on("Network.loadingFinished", finished)
    page.on("request", began)
    page.on("requestfinished", ended)
    page.on("requestfailed", ended)
    try:
        answer = page.goto(url)
        until = time.monotonic() + QUIET_S
        while running:
            if time.monotonic() > until:
                raise TimeoutError(f"{url} still loads {sorted(request.url for request in running)}")
            page.wait_for_timeout(20)
        load_ms = float(page.evaluate(_LOADED_MS))
    finally:
        page.remove_listener("request", began)
        page.remove_listener("requestfinished", ended)
        page.remove_listener("requestfailed", ended)
        session.detach()
    return Visit(url, answer.status if answer else 0, len(sizes), sum(sizes), round(load_ms, 1))
