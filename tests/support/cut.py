"""A real proxy before a PostgreSQL server that breaks a connection off at a chosen moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import URL, make_url

_SOCKET: Final = ".s.PGSQL.5432"
_MOST_BYTES: Final = 1 << 20


class Cutter:
    """Passes bytes on until a message is to be cut; then that connection is broken off.

    Attributes:
        url: of the database, through the proxy.
        cuts: connections that were broken off.
    """

    def __init__(self, url: URL, folder: str) -> None:
        self.url = url.update_query_dict({"host": folder}).set(host=None, port=None)
        self.cuts = 0
        self._server = str(Path(str(url.query["host"]), _SOCKET))
        self._cut: tuple[bytes, bool] | None = None
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(Path(folder, _SOCKET)))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, containing: bytes, *, answered: bool) -> None:
        """Breaks the next connection off that sends such bytes.

        Args:
            containing: part of what the client sends.
            answered: the server gets it, and has answered; otherwise it never gets it.
        """
        self._cut = (containing, answered)

    def close(self) -> None:
        """Takes no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                threading.Thread(target=self._pass_back, args=(server, client), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with closing(client), closing(server), suppress(OSError):
            while sent := client.recv(_MOST_BYTES):
                if self._cut is not None and self._cut[0] in sent:
                    (_, answered), self._cut = self._cut, None
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)  # before any answer
                    if answered:
                        server.sendall(sent)
                        server.shutdown(socket.SHUT_WR)  # it ends once it has done what was asked
                        while server.recv(_MOST_BYTES):
                            pass
                    else:
                        server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(sent)

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while answered := server.recv(_MOST_BYTES):
                client.sendall(answered)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(database: str) -> Iterator[Any]:
    """A `Cutter` before the server of a database that is reached through a socket file."""
    with TemporaryDirectory(prefix="vibes-cut-") as folder:
        cutter = Cutter(make_url(database), folder)
        yield cutter
        cutter.close()
