"""Server-sent events, cut from a byte stream without changing a byte.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator

_BLANK_LINES = (b"\n\n", b"\n\r\n", b"\r\r")
_CLOSING = re.compile(rb"(?:\n\r?\n|\r\r)[\r\n]*")
_OF_CONNECTION = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n]))(?:id|retry):[^\r\n]*(?:\r\n|\n|\r|\Z)")


class EventSplitter:
    """Collects bytes and hands out whole events; join them (and ``rest``) and the stream is back."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Events completed by ``data``, uncut, each with its closing blank line."""
        if not self._buffer and data.endswith(_BLANK_LINES):  # as servers write them
            return data
        searched = max(0, len(self._buffer) - 3)  # a blank line may straddle two reads
        self._buffer += data
        end = 0
        for blank in _BLANK_LINES:
            if (found := self._buffer.rfind(blank, searched)) >= 0:
                end = max(end, found + len(blank))
        whole = bytes(self._buffer[:end])
        del self._buffer[:end]
        return whole

    def rest(self) -> bytes:
        """Bytes after the last whole event: an event too, for servers that leave out its last blank line."""
        return bytes(self._buffer)


def split_events(whole: bytes) -> Iterator[bytes]:
    """Cuts events apart, each with its closing blank line, which the last may lack."""
    end = 0
    while end < len(whole):
        start, end = end, event_end(whole, end)
        yield whole[start:end]


def event_end(whole: bytes, start: int) -> int:
    """Where the event that begins at ``start`` ends: after its blank line, and any that follow that one."""
    closing = _CLOSING.search(whole, start)
    return closing.end() if closing else len(whole)


def event_data(event: bytes) -> bytes:
    """The event's data lines, joined by newlines; empty for a comment."""
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def read_event(event: bytes) -> tuple[bytes, bytes]:
    """The event's data, and the event as a client may get it: without what concerns the connection.

    That is a byte order mark, and where and when to connect again, which leads nobody back to a stream that
    came through here; and clients that remember an ``id`` take each blank line after it for an event.
    """
    lines = event.splitlines()
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    beside = len(lines) - len(data)
    if beside == 1 or (beside == 2 and lines[0].startswith(b"event:")):  # the blank line, a name: nothing odd
        return b"\n".join(data), event
    event = _OF_CONNECTION.sub(b"", event).removeprefix(BOM_UTF8)
    return event_data(event), event if event.strip(b"\r\n") else b""
