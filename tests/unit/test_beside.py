"""Work that goes on beside a block: it outlives its errors, and a turn that has begun comes to its end."""

from __future__ import annotations

import asyncio
import logging

import pytest

from router.beside import beside, every


async def test_turns_go_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    done, turns = asyncio.Event(), 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise OSError("full")
        done.set()

    with caplog.at_level(logging.ERROR):
        async with beside(every(0.0, turn, "nothing was kept")):
            await asyncio.wait_for(done.wait(), 5)
    assert "nothing was kept: OSError" in caplog.text


@pytest.mark.parametrize("error", [None, OSError("full")])
async def test_a_turn_that_has_begun_is_over_when_the_block_is_left(error: OSError | None) -> None:
    begun, ended = asyncio.Event(), 0

    async def turn() -> None:
        nonlocal ended
        begun.set()
        await asyncio.sleep(0.05)
        ended += 1
        if error is not None:
            raise error

    async with beside(every(0.0, turn, "nothing was kept")):
        await begun.wait()
    assert ended == 1
