"""Takes the pictures of the pages that the README shows: ``screenshots.py [NAME …]``.

Starts the showcase (a month of calls, settled by real proofs) and writes docs/images/NAME.png. They are
taken with the system's fonts, so they look a little different on each machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from browsing import give_cookies, running_browser, visit
from playwright.sync_api import Page
from progress import Reporter
from showcase import PAGES, Showcase, running_showcase
from tools import MissingTools

IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "images"
MAX_BYTES: Final = 200_000
CALLS: Final = 40
"""How many the operator sees."""
CALM_MS: Final = 120_000
PHONE: Final = {"width": 390, "height": 844}


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: of its file.
        page: name of the page in the showcase.
        height: of the picture on a desk, CSS pixels.
        before: what a visitor does on the page first.
    """

    name: str
    page: str
    dark: bool = False
    phone: bool = False
    height: int = 860
    before: Callable[[Page, Showcase], None] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """For Playwright's new_context."""
        return {
            "viewport": PHONE if self.phone else {"width": 1200, "height": self.height},
            "device_scale_factor": 2 if self.phone else 1,
            "color_scheme": "dark" if self.dark else "light",
        }


def verify(page: Page, shown: Showcase) -> None:
    """Has the browser check a partner's figures against the chain."""
    page.get_by_label("Address of the node").fill(shown.stack.rpc_url)
    page.get_by_role("button", name="Verify all figures").click()
    page.get_by_text("checks hold").wait_for()
    page.get_by_role("heading", name="Verify in your browser").scroll_into_view_if_needed()


def work(page: Page, shown: Showcase) -> None:
    """Waits until the written days are settled (the bridge warns of charges so old) and calls are seen."""
    page.get_by_text("Nothing is wrong").wait_for(timeout=CALM_MS)
    shown.ask(CALLS)
    page.wait_for_function("document.querySelector('[data-figure=calls]').textContent !== '0.0 /s'")


PICTURES: Final = (
    Picture("wallet", "wallet", height=1040),
    Picture("usage", "usage"),
    Picture("batch", "batch"),
    Picture("partner", "partner", before=verify),
    Picture("operator", "operator", dark=True, before=work),
    Picture("phone", "wallet", phone=True, dark=True),
)


class TooHeavy(Exception):
    """A picture has more bytes than a README should load."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        super().__init__(f"{path} has {size_bytes} bytes, {MAX_BYTES} are the most")
        self.path, self.size_bytes = path, size_bytes


def main() -> None:
    """Takes all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="which; by default all")
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    wanted = [one for one in PICTURES if not options.names or one.name in options.names]
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with running_showcase(Reporter()) as shown:
            take(shown, wanted, options.out)
    except (MissingTools, TooHeavy) as error:
        sys.exit(f"screenshots: {error}")


def take(shown: Showcase, wanted: list[Picture], folder: Path) -> None:
    """Takes pictures.

    Raises:
        TooHeavy: one is no picture for a README.
    """
    pages = {one.name: one for one in PAGES}
    cookies = shown.cookies()
    with running_browser() as browser:
        for one in wanted:
            context = browser.new_context(**one.options)
            page = context.new_page()
            give_cookies(page, cookies)
            visit(page, shown.address(pages[one.page]))
            if one.before:
                one.before(page, shown)
            path = folder / f"{one.name}.png"
            page.screenshot(path=path)
            context.close()
            if (size_bytes := path.stat().st_size) > MAX_BYTES:
                raise TooHeavy(path, size_bytes)


if __name__ == "__main__":
    main()
