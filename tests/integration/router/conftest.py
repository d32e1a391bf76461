"""Fixtures of the router's tests: one upstream, routers that share it, a node that can be shut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from people_world import Town, make_town
from router_upstream import Upstream, running_upstream
from router_world import World, make_world
from support.anvil import running_anvil
from support.stack import Stack
from x402_world import Gate, Shop, make_shop


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as server:
        yield server


@contextmanager
def making_worlds(upstream: Upstream, folders: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """Makes worlds with a router and a ledger of their own, and stops them all at once."""
    worlds: list[World] = []

    def make(*options: str, more: dict[str, Any] | None = None, **settings: str) -> World:
        worlds.append(make_world(folders.mktemp("router"), upstream, more, options, **settings))
        return worlds[-1]

    yield make
    upstream.release.set()
    with ThreadPoolExecutor() as stopping:
        list(stopping.map(lambda world: world.router.stop(), worlds))
    for world in worlds:
        world.ledger.close()


@pytest.fixture(scope="module")
def new_world(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Makes worlds that end with the module: a router that nobody asks takes its share of the machine too."""
    with making_worlds(upstream, tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="session")
def new_lasting_world(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Makes worlds for all modules."""
    with making_worlds(upstream, tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="session")
def world(new_lasting_world: Any) -> World:
    """One router for all tests that do not kill it."""
    made: World = new_lasting_world()
    return made


@pytest.fixture(scope="session")
def town(new_lasting_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A router where wallets sign in and keys are kept."""
    return make_town(new_lasting_world, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def shop(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A router of the module's own, on its own chain, that takes x402 payments."""
    with running_anvil() as anvil:
        made = make_shop(tmp_path_factory.mktemp("shop"), upstream, Stack(anvil))
        yield made
        made.world.router.stop()
        made.world.ledger.close()


@pytest.fixture(scope="module")
def gate(stack: Stack) -> Iterator[Gate]:
    """The node of a module's own chain, to be shut. The module has a `stack` of its scope."""
    made = Gate(stack.url)
    yield made
    made.close()


@pytest.fixture
def unmined(stack: Stack) -> Iterator[None]:
    """No block comes unless the test asks for it."""
    stack.anvil.rpc("evm_setAutomine", False)
    yield
    stack.anvil.rpc("evm_setAutomine", True)
    stack.anvil.rpc("evm_mine")
