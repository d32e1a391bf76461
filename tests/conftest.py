"""Shared fixtures: a local chain and the deployed contracts."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from httptools import HttpResponseParser
from hypothesis import settings
from support.anvil import Anvil, circuits, running_anvil
from support.databases import DIALECTS, new_database
from support.operator import Operator, operating
from support.settling import Scenario, played
from support.stack import Stack

from mini_llm import http_parser
from router.ledger import Ledger, open_database

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from support.tabs import Tabs

TESTS = Path(__file__).parent
LONG = ("circuits", "e2e", "invariant", "integration")
"""Folders with files that take longest, longest first."""

OPENS_LEDGER = frozenset({"books", "ledger"})
"""Fixtures whose first act is to open a ledger in the test's database."""

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 2**30
"""Free bytes that it must have."""

PARSERS = {"httptools": HttpResponseParser, "h11": http_parser.PlainParser}


def files_fit_in_memory() -> bool:
    """True if temporary files can be there, programs among them, and nobody has said where they are to be."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(MEMORY).free >= MEMORY_BYTES


# Each commit of a ledger is synced to the disk. That took half of the processor time of ledgers' tests, and
# checks nothing: they end processes, never the machine.
if files_fit_in_memory():
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)  # of what is started from here, and of this process

# What a shell starts in its background inherits that Ctrl-C is ignored, and so would each command under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: a test asserts what code does, not how fast a busy machine does it. CI tries the same examples
# each time, so that a change fails for what it changed; everywhere else the search goes on at random.
settings.register_profile("house", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that no worker begins one when the others are done."""
    folder = {item: item.path.relative_to(TESTS).parts[0] for item in items}
    items.sort(key=lambda item: LONG.index(folder[item]) if folder[item] in LONG else len(LONG))


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    """A fresh local chain."""
    with running_anvil() as node:
        yield node


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What reads the answers of HTTP servers: the test runs once with each."""
    name: str = request.param
    monkeypatch.setattr(http_parser, "make_parser", PARSERS[name])
    return name


@pytest.fixture(params=DIALECTS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a new database, empty unless a ledger is opened in it: the test runs once per dialect."""
    with_tables = not OPENS_LEDGER.isdisjoint(request.fixturenames)
    with new_database(request.param, with_tables) as url:
        yield url


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """A ledger in `database`."""
    engine = open_database(database)
    with Ledger(engine) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def stack(anvil: Anvil) -> Stack:
    """The contracts on a fresh chain, with the verifier for batches of four."""
    return Stack(anvil)


@pytest.fixture(scope="session")
def circuits_dir() -> Path:
    """Folder of the proving artefacts."""
    return circuits()


@pytest.fixture
def operator(stack: Stack, tmp_path: Path, circuits_dir: Path) -> Iterator[Operator]:
    """An operator of the deployed contracts, with an empty ledger and an empty bridge store."""
    with operating(stack, tmp_path, circuits_dir) as running:
        yield running


@pytest.fixture(scope="session")
def scenario(circuits_dir: Path) -> Iterator[Scenario]:
    """A settled history on a chain of its own; tests that go on settling do so in a `branch`."""
    with running_anvil() as node, played(Stack(node), circuits_dir) as played_out:
        yield played_out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium, for a module: Playwright's event loop is not to be there for asynchronous tests."""
    from support.tabs import running_browser

    with running_browser() as running:
        yield running


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    """Opens pages; whatever goes wrong in them unannounced fails the test."""
    from support.tabs import Tabs

    opened = Tabs(browser)
    yield opened
    opened.close()


@pytest.fixture
def page(tabs: Tabs) -> Page:
    """One such page."""
    return tabs.open()
