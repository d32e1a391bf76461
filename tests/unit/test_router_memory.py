"""What a router that serves need not carry: each of these is megabytes in every worker."""

from __future__ import annotations

import subprocess
import sys

OTHERS_NEED = (
    "alembic",  # revisions of the ledger's tables
    "cryptography",  # a master key for users' keys
    "eth_hash.backends",  # what mini_llm.wallet.keccak does without them
    "eth_utils",  # what mini_llm.wallet.address does without it
    "httpx",  # a wallet that pays others' gas: a client of the chain
    "pycld2",  # the quality analyser
    "router.commands.keys",  # the other commands
    "router.supervisor",  # several workers
    "stopwordsiso",  # the quality analyser
)


SERVES = ("fastapi", "router.api.app", "starlette", "uvicorn")


def loaded(names: tuple[str, ...], by: str) -> list[str]:
    """Which of these modules are there once others are imported."""
    code = f"import sys, {by}; print(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_router_that_serves_loads_nothing_for_others() -> None:
    serving = "router.cli, router.commands.serve, router.commands.serving, router.api.app, router.serve"
    assert loaded(OTHERS_NEED, serving) == []


def test_a_process_that_commits_for_workers_loads_nothing_that_serves() -> None:
    assert (
        loaded(SERVES, "router.cli, router.commands.serve, router.commands.serving, router.supervisor") == []
    )


STARTS = """
import asyncio, gc, uvicorn
from router.serve import DrainingServer

async def start():
    server = DrainingServer(uvicorn.Config(None, port=0, lifespan="off", log_config=None), None)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    print(gc.isenabled(), gc.get_freeze_count() > 10_000)
    for one in server.servers:
        one.close()

gc.disable()
asyncio.run(start())
"""


def test_a_router_that_has_started_searches_for_garbage_in_what_is_new() -> None:
    done = subprocess.run([sys.executable, "-c", STARTS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
