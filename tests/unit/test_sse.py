"""Server-sent events are cut anywhere and come out whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_llm.surfaces.sse import EventSplitter, event_data, read_event, split_events

EVENTS = [
    b"data: a\n\n",
    b": ping\n\n",
    b"data: b\r\n\r\n",
    b"event: x\ndata: c\ndata: d\n\n",
    b"data:\r\r",
    b"data: e\n\r\n",
]


@given(st.lists(st.sampled_from(EVENTS), max_size=8), st.lists(st.integers(0, 200), max_size=12))
def test_any_cut_gives_the_same_events(events: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(events) + b"data: unfinished"
    splitter, found, start = EventSplitter(), [], 0
    for cut in [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]:
        found += split_events(splitter.feed(stream[start:cut]))
        start = cut
    assert found == events
    assert splitter.rest() == b"data: unfinished"


def test_line_ends_behind_a_blank_line_belong_to_the_event_before_them() -> None:
    events = [b"data: a\n\n\n\n", b"data: b\r\n\r\n\r\n", b"data: c\n\n\n"]
    assert list(split_events(b"".join(events))) == events
    assert list(split_events(b"")) == []


def test_data_lines_are_joined_and_the_rest_ignored() -> None:
    assert event_data(b"event: x\r\ndata: c\r\ndata:d\r\nid: 7\r\n\r\n") == b"c\nd"
    assert event_data(b": comment\n\n") == b""


@pytest.mark.parametrize(
    ("event", "passed"),
    [
        (b"id: 1\ndata: a\n\n", b"data: a\n\n"),
        (b"data: a\r\nid:1\r\nretry: 5\r\n\r\n", b"data: a\r\n\r\n"),
        (b"event: x\rid: 1\rdata: a\r\r", b"event: x\rdata: a\r\r"),
        (b"retry: 3000\n\n", b""),
        (b"\xef\xbb\xbfid: 1\ndata: a\n\n", b"data: a\n\n"),
        (b"\xef\xbb\xbfdata: a\n\n", b"data: a\n\n"),
        (b'data: "id: 7, retry: 8"\n\n', b'data: "id: 7, retry: 8"\n\n'),
        (b": id: 7\n\n", b": id: 7\n\n"),
    ],
)
def test_what_concerns_the_connection_is_for_no_client(event: bytes, passed: bytes) -> None:
    assert read_event(event) == (event_data(passed), passed)
