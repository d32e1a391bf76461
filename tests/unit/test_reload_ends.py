"""A router that stops stops looking at its configuration file, whatever comes at that moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from router.reload import Reload


@pytest.mark.parametrize("turns", range(5))
async def test_a_word_to_reload_does_not_outlive_the_end(turns: int, tmp_path: Path) -> None:
    settings: Any = SimpleNamespace(
        config=SimpleNamespace(rate_feed=None), config_path=tmp_path / "none.json", environ={}
    )
    reload = Reload(settings, None)  # type: ignore[arg-type]

    async def run() -> None:
        async with reload.watching():
            await asyncio.sleep(0.01)
            reload._wanted.set()
            for _ in range(turns):
                await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await run()
