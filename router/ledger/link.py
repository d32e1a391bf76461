"""A worker's end of the way to the process that commits for all workers (`shared`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from router.ledger.jobs import Awaited
from router.ledger.pipe import BEAT_S, GREETING, Pipe

_LOG = logging.getLogger(__name__)


class Link:
    """Sends operations on calls, and delivers what became of them. The thread of its loop uses it.

    What is asked for within one turn of the loop is one message.

    Args:
        end: a worker's socket, from `shared.SharedLedger.new_link`.
        on_loss: is called once if the other process is gone.
    """

    _loop: asyncio.AbstractEventLoop  # in which it was opened

    def __init__(self, end: socket.socket, on_loss: Callable[[], None]) -> None:
        self._pipe = Pipe(end)
        self._on_loss = on_loss
        self._asked: list[tuple[int, Awaited]] = []  # in this turn
        self._waiting: dict[int, Awaited] = {}
        self._last = 0
        self._open = True

    def open(
        self, give_back: Callable[[Sequence[Awaited]], None], committed: Callable[[int, float], None]
    ) -> None:
        """Begins, in the loop that runs.

        Args:
            give_back: gets the operations of which nobody knows what became of them, once the other process
                is gone.
            committed: is told of answers: how many came together, and the seconds that their commit took.
        """
        self._loop = asyncio.get_running_loop()
        self._give_back, self._committed = give_back, committed
        self._loop.add_reader(self._pipe.fileno(), self._receive)
        self._send(GREETING)

    def say_ready(self) -> None:
        """Says that this worker has started: if it falls now, another one is to take its place.

        It goes on saying so, which a loop that hangs does not.
        """
        if self._open:
            self._send([])
            self._loop.call_later(BEAT_S, self.say_ready)

    @property
    def waiting(self) -> int:
        """Operations that are not committed yet."""
        return len(self._waiting)

    def ask(self, job: Awaited) -> bool:
        """Asks for an operation; False if somebody else has to do it."""
        if not self._open or job.loop is not self._loop:
            return False
        if not self._asked:
            self._loop.call_soon(self._ask)
        self._last += 1
        self._waiting[self._last] = job
        self._asked.append((self._last, job))
        return True

    def close(self) -> None:
        """Waits until everything that was asked for is committed."""
        if not self._open:
            return
        self._ask()
        if self._open:
            self._leave()
            self._deliver(self._pipe.finish())
            self._give_up()

    def _ask(self) -> None:
        asked, self._asked = self._asked, []
        if asked and self._open:
            self._send([(number, job.operation) for number, job in asked])

    def _send(self, message: object) -> None:
        try:
            if not self._pipe.send(message):
                self._loop.add_writer(self._pipe.fileno(), self._flush)
        except OSError:
            self._receive_rest()

    def _flush(self) -> None:
        try:
            if self._pipe.flush():
                self._loop.remove_writer(self._pipe.fileno())
        except OSError:
            self._receive_rest()

    def _receive_rest(self) -> None:
        """The other process is gone, and may have answered before."""
        with contextlib.suppress(EOFError):
            while messages := self._pipe.receive():
                self._deliver(messages)
        self._lose()

    def _receive(self) -> None:
        try:
            self._deliver(self._pipe.receive())
        except EOFError:
            self._lose()

    def _deliver(self, messages: Sequence[Any]) -> None:
        for seconds, outcomes in messages:
            self._committed(len(outcomes), seconds)
            for number, result, error in outcomes:
                job = self._waiting.pop(number)
                job.result, job.error = result, error
                job.deliver()

    def _lose(self) -> None:
        """The other process is gone: this one does what is left by itself, and ends."""
        _LOG.error("the process that keeps the ledger is gone: this worker finishes its calls and stops")
        self._leave()
        self._pipe.close()
        self._give_up()
        self._on_loss()

    def _leave(self) -> None:
        self._open = False
        self._loop.remove_reader(self._pipe.fileno())
        self._loop.remove_writer(self._pipe.fileno())  # if there is one

    def _give_up(self) -> None:
        left = list(self._waiting.values())
        self._waiting.clear()
        self._give_back(left)
