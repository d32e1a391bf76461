"""Pages in a real Chromium that fail a test for whatever goes wrong in them unannounced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from support.injected import InjectedWallet
from support.scripts import load_script

browsing = load_script("browsing")
tools = load_script("tools")
TIMEOUT_MS = 15_000


@contextmanager
def running_browser() -> Iterator[Browser]:
    """The system's Chromium; the test fails with the command that installs it."""
    try:
        browsing.find_browser()
    except tools.MissingTools as missing:
        pytest.fail(str(missing), pytrace=False)
    with browsing.running_browser() as browser:
        yield browser


class Tabs:
    """Opens pages, and collects what goes wrong in any of them.

    A problem is an error on the console (a breach of the content security policy is one), an exception that
    nobody caught, or a request that failed. One that a test provokes is announced: `tabs.announce("404")`.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self._problems: list[str] = []
        self._announced: list[str] = []
        self._pages: list[Page] = []

    def open(self, *wallets: InjectedWallet, **options: Any) -> Page:
        """A page in a browser of its own: no cookie, no cache. `options` as for Playwright's new_context."""
        page = self.browser.new_context(**options).new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: self._problems.append(f"{page.url}: uncaught {error}"))
        page.on("console", self._said)
        page.on("requestfailed", self._failed)
        for wallet in wallets:
            wallet.attach(page)
        self._pages.append(page)
        return page

    def announce(self, *texts: str) -> None:
        """Each problem that contains one of these texts is meant to happen, and must."""
        self._announced += texts

    def close(self) -> None:
        """Ends all pages.

        Raises:
            AssertionError: a problem was not announced, or an announced one did not come.
        """
        for page in self._pages:
            page.context.close()
        unannounced = [one for one in self._problems if not any(text in one for text in self._announced)]
        assert unannounced == [], "\n".join(unannounced)
        absent = [text for text in self._announced if not any(text in one for one in self._problems)]
        assert absent == [], f"announced, and did not come: {absent}"

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._problems.append(f"{message.location.get('url', '')}: {message.text}")

    def _failed(self, request: Request) -> None:
        # A page that is left breaks off what it still reads, its stream of events above all.
        # The console has told of what the policy forbids.
        if request.failure not in ("net::ERR_ABORTED", "csp"):
            self._problems.append(f"{request.method} {request.url}: {request.failure}")
