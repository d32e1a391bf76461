"""Router and upstream as processes of their own, and the commands that go with them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.anvil import ROOT
from support.operator import Operator
from support.stack import BURN_BPS, FEE_BPS, POOL_BPS

BIN = Path(sys.executable).parent
RUN_S = 120


@contextmanager
def child(command: list[Any], environment: dict[str, str], log: Path, ready: str) -> Iterator[str]:
    """A program that runs until the end of the block; yields what `ready` matched in its output."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command], env=os.environ | environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + RUN_S
        while (found := re.search(ready, log.read_text())) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text()}", pytrace=False)
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.wait(20)


def run(environment: dict[str, str], *command: Any) -> str:
    """What a finished command printed; it must succeed."""
    result = subprocess.run(
        [str(part) for part in command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def router_environment(operator: Operator, upstream_url: str) -> dict[str, str]:
    config = {
        "policy": {"fee_bps": FEE_BPS, "burn_bps": BURN_BPS, "pool_bps": POOL_BPS, "wholesale_bps": 5_000},
        "partners": [{"id": 1, "name": "pithy-labs", "bps": 3_000}],
        "providers": {"pithy": {"base_url": upstream_url}},
        "deployments": [
            {
                "model": "pithy-1",
                "provider": "pithy",
                "partner": 1,
                "prompt_usd_per_mtok": "1.5",
                "completion_usd_per_mtok": "6",
                "context_tokens": 8_192,
                "max_output_tokens": 256,
            }
        ],
    }
    config_file = operator.folder / "router.json"
    config_file.write_text(json.dumps(config))
    key_file = operator.folder / "receipt.key"
    key_file.write_text("0x" + bytes(operator.stack.receipt_signer.key).hex())
    refused = operator.folder / "refused.txt"
    refused.touch()
    return operator.environment | {
        "VIBES_SCREENING": f"file:{refused}",
        "VIBES_CONFIG": str(config_file),
        "VIBES_RECEIPT_KEY_FILE": str(key_file),
    }


@contextmanager
def router(operator: Operator) -> Iterator[tuple[dict[str, str], str]]:
    """Upstream and router as processes; yields the router's environment and base URL."""
    with ExitStack() as children:
        upstream_url = children.enter_context(
            child(
                [sys.executable, ROOT / "scripts" / "answerers.py"],
                {},
                operator.folder / "upstream.log",
                r'"base_url": "([^"]+)"',
            )
        )
        environment = router_environment(operator, upstream_url)
        address = children.enter_context(
            child(
                [BIN / "vibes-router", "serve", "--port", 0],
                environment,
                operator.folder / "router.log",
                r"running on (http://[\d.]+:\d+)",
            )
        )
        yield environment, f"{address}/v1"
