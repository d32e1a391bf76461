"""An event loop on a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class Portal:
    """Runs coroutines for threads that wait for them. Its thread starts with the first one.

    After a fork the child gets a new thread with the next coroutine; what the parent's thread was doing goes
    on in the parent only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        _portals.add(self)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for a coroutine; an interrupted wait cancels it."""
        waiting = asyncio.run_coroutine_threadsafe(coroutine, self.loop())
        try:
            return waiting.result()
        except BaseException:
            waiting.cancel()
            raise

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    self._loop, self._thread = _started()
        return self._loop

    def close(self, wait: bool = True) -> None:
        """Ends the loop and its thread; the next coroutine starts new ones."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            if wait and thread is not threading.current_thread():
                thread.join()

    def forked(self) -> None:
        """In a child process: forgets what belongs to the parent, without touching it."""
        if self._loop is not None:
            _parents.append((self._loop, self._thread))
        self._lock = threading.Lock()
        self._loop = self._thread = None


def _started() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    loop = asyncio.new_event_loop()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            remaining = asyncio.all_tasks(loop)
            for task in remaining:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*remaining, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    thread = threading.Thread(target=serve, name="mini-llm", daemon=True)
    thread.start()
    return loop, thread


_portals: WeakSet[Portal] = WeakSet()
_parents: list[object] = []
"""Loops of the parent process, kept from being collected: closing them would touch what the parent uses."""


def _after_fork() -> None:
    for portal in list(_portals):
        portal.forked()


def _at_exit() -> None:
    for portal in list(_portals):
        portal.close()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
