"""Chat chunks that say nothing but text, recognised without parsing each.

A model writes thousands of chunks a second that differ in one word. Once one has been parsed, those that look
the same around their text mean the same; whatever does not is parsed.
"""

from __future__ import annotations

import re
from typing import Final

from mini_llm.answer import StreamEvent

_CONTENT: Final = b'"content":"'
_QUOTE: Final = b'"'
_STAYS_A_STRING: Final = re.compile(rb'[^"\\\r\n]*(?:\\[^"\r\n][^"\\\r\n]*)*')
"""Text of a string without a quote, a line end or a backslash that would change what follows it."""


class Mould:
    """The shape of a plain chunk around its text: the chunks of one answer rarely differ in anything else."""

    __slots__ = ("_head", "_tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._head, self._tail = head, tail

    @classmethod
    def of(cls, event: StreamEvent) -> Mould | None:
        """The shape of a parsed chunk; None if it says more than a text in one place."""
        if event.pieces != 1 or event.usage or event.finished or event.raw.count(_CONTENT) != 1:
            return None
        head, key, rest = event.raw.partition(_CONTENT)
        text, quote, tail = rest.partition(_QUOTE)
        # Where the lengths agree nothing is escaped, and this is the text that was parsed.
        return cls(head + key, quote + tail) if len(text) == event.text_bytes else None

    def run(self, whole: bytes, start: int) -> StreamEvent | None:
        """The chunks of this shape that follow one another from ``start`` on, as one event; None for none."""
        head, tail, stays = self._head, self._tail, _STAYS_A_STRING.match
        before, after = len(head), len(tail)
        end, pieces, written = start, 0, 0
        while whole.startswith(head, end):
            begin = end + before
            text = stays(whole, begin)
            if text is None or not whole.startswith(tail, quote := text.end()):
                break
            if quote > begin:
                pieces += 1
                written += quote - begin
            end = quote + after
        return StreamEvent(whole[start:end], pieces=pieces, text_bytes=written) if end > start else None
