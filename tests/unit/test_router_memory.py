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
    "stopwordsiso",  # the quality analyser
)


def test_a_router_that_serves_loads_nothing_for_others() -> None:
    code = f"import sys, router.cli; print(*[name for name in {OTHERS_NEED!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
