"""Every page of the site, with a month of business behind it, is what a page must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.page_checks import check_page
from support.scripts import load_script
from support.tabs import Tabs, browsing

showcase = load_script("showcase")


@pytest.fixture(scope="module")
def shown() -> Iterator[Any]:
    with showcase.running_showcase(load_script("progress").Reporter(), batches=1) as running:
        yield running


@pytest.fixture(scope="module")
def cookies(shown: Any) -> Any:
    return shown.cookies()


@pytest.mark.parametrize("one", showcase.PAGES, ids=lambda one: one.name)
def test_a_page_is_light_accessible_and_fits_a_phone(shown: Any, cookies: Any, tabs: Tabs, one: Any) -> None:
    page = tabs.open()
    browsing.give_cookies(page, cookies)
    check_page(page, shown.address(one))
