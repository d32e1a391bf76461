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
_TEXTS: Final = (b'"content":"', b'"reasoning_content":"', b'"reasoning":"', b'"refusal":"', b'"arguments":"')
_BLANK: Final = b"\n\n"


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
