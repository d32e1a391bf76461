"""Messages between a process and one that it started, over a pair of sockets.

A message is a pickle behind its length. That is for processes of one program and one owner that trust each
other: the sockets are inherited and have no name, so nobody else can reach them.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import socket
from importlib.metadata import version
from typing import Any, Final

from router.db import SCHEMA_REVISION

_LENGTH_BYTES: Final = 4
_PIECE_BYTES: Final = 2**18
_LOG: Final = logging.getLogger(__name__)

BEAT_S: Final = 5.0
"""A worker that has started gives a sign of life this often."""

GREETING: Final = (version("vibes-rails"), SCHEMA_REVISION)
"""What a worker says first: another release's pickles may mean something else. It is the one that was loaded,
whatever has been installed in its place since."""


class Pipe:
    """One end. It never waits, but for `finish`.

    Args:
        end: a connected stream socket.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._received = bytearray()
        self._unsent = bytearray()
        self._over = False

    def fileno(self) -> int:
        """For those who wait for it."""
        return self._socket.fileno()

    def send(self, message: Any) -> bool:
        """Sends a message; False if some of it has to wait until the other end reads, for `flush`.

        Raises:
            OSError: the other end is gone.
        """
        pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._unsent += len(pickled).to_bytes(_LENGTH_BYTES, "big") + pickled
        return self.flush()

    def flush(self) -> bool:
        """Sends what had to wait; False if some still has to.

        Raises:
            OSError: the other end is gone.
        """
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        return not self._unsent

    @property
    def has_unsent(self) -> bool:
        """Whether something waits for `flush`."""
        return bool(self._unsent)

    def drop_unsent(self) -> None:
        """Forgets what waits for `flush`: nobody will read it."""
        self._unsent.clear()

    def receive(self) -> list[Any]:
        """The messages that have come, whole.

        Raises:
            EOFError: there are none, and there will be no more.
        """
        try:
            while not self._over:
                piece = self._socket.recv(_PIECE_BYTES)
                self._received += piece
                self._over = not piece
                if len(piece) < _PIECE_BYTES:
                    break
        except BlockingIOError:
            pass
        except OSError:
            self._over = True
        messages = self._messages()
        if self._over and not messages:
            raise EOFError
        return messages

    def finish(self) -> list[Any]:
        """Says that nothing more is sent, and waits for what comes until the other end has closed."""
        messages = []
        self._socket.setblocking(True)
        try:
            self._socket.sendall(self._unsent)
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone, and may have answered before
        with contextlib.suppress(EOFError):
            while True:
                messages += self.receive()
        self.close()
        return messages

    def close(self) -> None:
        """Closes this end."""
        self._socket.close()

    def _hang_up(self) -> None:
        """Takes nothing more; whoever waits for something to come is told."""
        self._over = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _messages(self) -> list[Any]:
        messages, begin = [], 0
        while len(self._received) >= (start := begin + _LENGTH_BYTES):
            end = start + int.from_bytes(self._received[begin:start], "big")
            if len(self._received) < end:
                break
            try:
                messages.append(pickle.loads(self._received[start:end]))  # noqa: S301 (see above)
            except Exception:
                _LOG.exception("a message between the router's processes cannot be read")
                self._hang_up()
                break
            begin = end
        del self._received[:begin]
        return messages
