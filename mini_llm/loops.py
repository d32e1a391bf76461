"""What belongs to an event loop, in objects that outlive it: apps run one after the other, or several."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One thing for each event loop; calling it gives that of the running loop.

    A lock of asyncio belongs to the first loop on which somebody had to wait for it, and a connection to the
    one that opened it.

    Args:
        make: makes the thing, on its loop.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}

    def __call__(self) -> T:
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            for other in list(self._made):  # in one step: another thread may be here, too
                if other.is_closed():
                    self._made.pop(other, None)
            made = self._made[loop] = self._make()
        return made
