"""A person's whole journey through the pages, in a real browser, every part behind them real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.anvil import running_anvil
from support.injected import InjectedWallet
from support.operator import operating
from support.site import Site, running_site
from support.stack import VIBES, Stack
from support.tabs import Tabs


@pytest.fixture(scope="module")
def site(circuits_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with (
        running_anvil() as node,
        operating(Stack(node), folder, circuits_dir) as operator,
        running_site(operator) as running,
    ):
        yield running


def sign_in(site: Site, page: Page, wallet: InjectedWallet) -> None:
    """Connects and signs, as a visitor who wants to see the wallet page."""
    page.goto(f"{site.url}/wallet")
    page.get_by_role("button", name=f"Sign in with {wallet.name}").click()
    page.wait_for_url(f"{site.url}/wallet")


def test_who_declines_to_sign_in_is_told_and_nothing_is_kept(site: Site, tabs: Tabs) -> None:
    wallet = site.wallet("decliner", VIBES)
    page = tabs.open(wallet)
    page.goto(f"{site.url}/signin")
    button = page.get_by_role("button", name="Sign in with Test Wallet")
    for refused in ("eth_requestAccounts", "personal_sign"):
        wallet.refuses = frozenset({refused})
        button.click()
        expect(page.get_by_role("status")).to_contain_text("You declined in your wallet")
        assert page.context.cookies() == []
    wallet.refuses, wallet.locked = frozenset(), True
    button.click()
    expect(page.get_by_role("status")).to_contain_text("Unlock it")
    assert page.context.cookies() == []
    wallet.locked = False
    button.click()
    page.wait_for_url(f"{site.url}/wallet")
