"""Undoes the compression of HTTP answers, gzip or deflate."""

from __future__ import annotations

import zlib
from typing import Any, Final

from mini_llm.connection import Connection
from mini_llm.transport import TransportFailure

MAX_INFLATED_BYTES: Final = 2**20
"""Most that a piece of a compressed answer becomes."""

MAX_MEMBERS: Final = 2**12
_GZIP: Final = 0x1F


class Inflating:
    """Undoes a compression that nobody asked for, piece by piece.

    Raises:
        TransportFailure: the encoding is unknown.
    """

    def __init__(self, encoding: str) -> None:
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise TransportFailure("the answer's content encoding is unknown")
        self._gzip = encoding != "deflate"
        self._zlib: Any = None
        self._left = b""
        self._members = 0

    async def next_piece(self, connection: Connection) -> bytes:
        """See ``UpstreamResponse.next_piece``."""
        try:
            while packed := self._left or await connection.next_piece():
                self._left = b""
                if self._zlib is None or self._zlib.eof:
                    if not self._begins(packed):
                        return b""
                    self._zlib = zlib.decompressobj(self._window(packed[0]))
                piece = self._zlib.decompress(packed, MAX_INFLATED_BYTES)
                self._left = self._zlib.unconsumed_tail or self._zlib.unused_data
                if piece:
                    return bytes(piece)
            return self._rest()
        except zlib.error:
            raise TransportFailure("the answer's compression is broken") from None

    def _begins(self, packed: bytes) -> bool:
        """A member begins here: the first, or of gzip one more; whatever else follows is not read."""
        if self._zlib is not None and not (self._gzip and packed[0] == _GZIP):
            return False
        self._members += 1
        if self._members > MAX_MEMBERS:  # each is cut off from all that follow
            raise TransportFailure("the answer's compression is broken")
        return True

    def _window(self, first: int) -> int:
        """zlib's name of the format; "deflate" is sent with zlib's header, as it should be, or without."""
        if self._gzip:
            return 16 + zlib.MAX_WBITS
        return zlib.MAX_WBITS if first & 15 == zlib.DEFLATED else -zlib.MAX_WBITS

    def _rest(self) -> bytes:
        if self._zlib is None:
            return b""
        rest = bytes(self._zlib.flush())
        if not self._zlib.eof:
            raise TransportFailure("the compressed answer breaks off")
        return rest
