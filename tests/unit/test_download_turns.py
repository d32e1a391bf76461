"""Downloads take turns, also those whose readers hang up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event

import pytest

from router.web.pages.partners import in_turns


async def test_pieces_come_in_order_and_the_turn_is_given_back() -> None:
    turns = asyncio.Semaphore(1)
    assert [piece async for piece in in_turns(iter((b"1", b"2")), turns)] == [b"1", b"2"]
    assert not turns.locked()


async def test_who_hangs_up_keeps_the_turn_until_the_piece_is_made() -> None:
    begun, done = Event(), Event()

    def slow() -> Iterator[bytes]:
        begun.set()
        done.wait(30)
        yield b"1"

    turns = asyncio.Semaphore(1)
    reading = asyncio.ensure_future(anext(in_turns(slow(), turns)))
    assert await asyncio.to_thread(begun.wait, 30)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert turns.locked()
    done.set()
    async with asyncio.timeout(30):
        assert [piece async for piece in in_turns(iter((b"2",)), turns)] == [b"2"]


async def test_a_piece_that_cannot_be_made_gives_the_turn_back() -> None:
    def broken() -> Iterator[bytes]:
        raise OSError("gone")
        yield b""

    turns = asyncio.Semaphore(1)
    with pytest.raises(OSError, match="gone"):
        await anext(in_turns(broken(), turns))
    async with turns:
        pass
