"""Chat chunks that say nothing but text, recognised without parsing them.

A model writes thousands of chunks a second that differ in one word. What a run of them may not hold (a
finish, usage, an error, the end mark) is named by keys; a key cannot hide in a string, where its quotes are
escaped. Whatever is not spelled exactly as the common servers spell it is left to the parser.
"""

from __future__ import annotations

from typing import Final

from mini_llm.answer import StreamEvent

_LAST: Final = (b'"finish_reason":"', b'"usage":{', b"data: [DONE]")
"""A run ends before the first event with one of these."""
_ABSENT: Final = (b"\r", b'"error"', b'": ', b"\\u00")
"""Events with one of these are parsed: other line ends, errors, spaced JSON, keys that escapes may spell."""
_NULL: Final = ((b'"finish_reason"', b'"finish_reason":null'), (b'"usage"', b'"usage":null'))
_CONTENT: Final = b'"content":"'
_TEXTS: Final = (_CONTENT, b'"reasoning_content":"', b'"reasoning":"', b'"refusal":"', b'"arguments":"')
_BLANK: Final = b"\n\n"
_QUOTE: Final = b'"'
_LEAVES_A_STRING: Final = (b'\\"', b"\n", b"\r")


def plain_run(whole: bytes) -> StreamEvent | None:
    """The leading events of ``whole`` that are plain text, as one; None if the first is not, or maybe not.

    Args:
        whole: whole events.
    """
    ends = [found for mark in _LAST if (found := whole.find(mark)) >= 0]
    before, blank, _ = whole[: min(ends, default=len(whole))].rpartition(_BLANK)
    run = before + blank
    events = run.count(_BLANK)
    if (
        not run
        or run.count(b"data: {") != events
        or run.count(b"}" + _BLANK) != events
        or run.count(b"\n") != 2 * events
        or any(mark in run for mark in _ABSENT)
        or any(run.count(key) != run.count(null) for key, null in _NULL)
    ):
        return None
    pieces = sum(run.count(key) - run.count(key + b'"') for key in _TEXTS)
    return StreamEvent(run, pieces=pieces, text_bytes=len(run))


class Mould:
    """The shape of a plain chunk around its text: the chunks of one answer rarely differ in anything else."""

    __slots__ = ("_between", "_head", "_tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._head, self._tail, self._between = head, tail, tail + head

    @classmethod
    def of(cls, run: bytes) -> Mould | None:
        """The shape of the last chunk of a plain run; None if it holds more than a text in one place."""
        chunk = run[: -len(_BLANK)].rpartition(_BLANK)[2] + _BLANK
        head, key, rest = chunk.partition(_CONTENT)
        text, quote, tail = rest.partition(_QUOTE)
        if sum(map(chunk.count, _TEXTS)) != 1 or not key or text.endswith(b"\\"):
            return None
        return cls(head + key, quote + tail)

    def run(self, whole: bytes) -> StreamEvent | None:
        """The leading chunks of ``whole`` that have this shape, as one event; None if the first may not.

        A text without a quote or a line end stays inside its string: such a chunk means what the first meant.
        """
        if not whole.startswith(self._head):
            return None
        *texts, last = whole[len(self._head) :].split(self._between)
        text, tail, rest = last.partition(self._tail)
        texts.append(text)
        said = _QUOTE.join(texts) + _QUOTE
        if not tail or said.count(_QUOTE) != len(texts) or any(mark in said for mark in _LEAVES_A_STRING):
            return None
        run = whole[: len(whole) - len(rest)]
        return StreamEvent(run, pieces=len(texts) - texts.count(b""), text_bytes=len(run))
