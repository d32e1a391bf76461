"""How heavy the pages are and how long a browser takes to load them: ``pages.py``.

Starts the showcase (`scripts/showcase.py`: a month of calls, settled by real proofs), opens each page in
headless Chromium, several times, nothing cached, and writes benchmarks/results/pages.json: bytes on the wire,
requests, and milliseconds until the last answer was there. The router and the bridge run on the same machine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any, Final

from browsing import give_cookies, running_browser, visit
from gateway import commit, machine
from progress import Reporter
from showcase import PAGES, Showcase, running_showcase

OUTPUT: Final = Path(__file__).resolve().parent / "results" / "pages.json"
VISITS: Final = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=VISITS, help="of each page, after a first")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    with running_showcase(Reporter(), batches=1) as shown:
        report = {"machine": machine(), "commit": commit(), **measured(shown, options.visits)}
    text = json.dumps(report, indent=1)
    options.output.write_text(text + "\n")
    print(text)


def measured(shown: Showcase, visits: int) -> dict[str, Any]:
    """Each page's weight and times."""
    pages = {}
    with running_browser() as browser:
        page = browser.new_page()
        give_cookies(page, shown.cookies())
        for one in PAGES:
            seen = [visit(page, shown.address(one)) for _ in range(visits + 1)][1:]
            times_ms = sorted(one.load_ms for one in seen)
            pages[one.name] = {
                "status": seen[-1].status,
                "requests": seen[-1].requests,
                "size_bytes": max(one.size_bytes for one in seen),
                "load_ms": {"median": median(times_ms), "most": times_ms[-1]},
            }
        version = browser.version
    return {"browser": f"Chromium {version}", "visits": visits, "pages": pages}


if __name__ == "__main__":
    main()
