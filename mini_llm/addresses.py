"""Which of a host's addresses to connect to: each has a head start over the next, the first to answer wins.

Source: RFC 8305 (Happy Eyeballs).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")

HEAD_START_S: Final = 0.25
"""How long an address may be silent before the next one is tried beside it."""


async def first_to_answer(
    addresses: Sequence[str], connect: Callable[[str], Coroutine[Any, Any, T]], drop: Callable[[T], None]
) -> T:
    """A connection to one of the addresses.

    Args:
        addresses: at least one, the best first.
        connect: makes one; of an address that cannot be reached it raises OSError.
        drop: is given connections that came too late.

    Raises:
        OSError: none can be reached, and this is what the last one said.
    """
    if len(addresses) == 1:
        return await connect(addresses[0])

    def too_late(task: asyncio.Task[T]) -> None:
        if not task.cancelled() and task.exception() is None:
            drop(task.result())

    left, trying = list(reversed(addresses)), set[asyncio.Task[T]]()
    failure: OSError = OSError("no address")
    try:
        while left or trying:
            if left:
                trying.add(asyncio.ensure_future(connect(left.pop())))
            head_start_s = HEAD_START_S if left else None
            done, _ = await asyncio.wait(trying, timeout=head_start_s, return_when="FIRST_COMPLETED")
            for task in done:
                trying.discard(task)
                try:
                    return task.result()
                except OSError as error:
                    failure = error
        raise failure
    finally:
        for task in trying:
            task.add_done_callback(too_late)
            task.cancel()
