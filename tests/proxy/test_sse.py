"""Framing of server-sent events, whatever the chunk boundaries and line ends."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import sse
from proxy.sse import EventSplitter, data_of


def split(stream: bytes, boundaries: list[int]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = []
    previous = 0
    for boundary in [*sorted(boundaries), len(stream)]:
        events += splitter.feed(stream[previous:boundary])
        previous = boundary
    return events, splitter.rest()


STREAM = (
    b": comment\n\n"
    b'data: {"a": 1}\n\n'
    b'event: x\r\ndata: {"b":\r\ndata: 2}\r\n\r\n'
    b"data:no space\r\rid: 3\ndata\n\n"
    b"data: [DONE]\n\n"
)
DATA = [b"", b'{"a": 1}', b'{"b":\n2}', b"no space", b"", b"[DONE]"]


@pytest.mark.parametrize("boundary", range(len(STREAM) + 1))
def test_any_chunk_boundary_gives_the_same_data_and_loses_no_byte(boundary):
    events, rest = split(STREAM, [boundary])
    assert b"".join(events) + rest == STREAM
    assert [data_of(event) for event in events] == DATA


def test_one_byte_at_a_time():
    events, rest = split(STREAM, list(range(len(STREAM))))
    assert b"".join(events) + rest == STREAM
    assert [data_of(event) for event in events] == DATA


def reference(stream: bytes) -> list[bytes]:
    """The standard's algorithm, line by line."""
    found, lines = [], []
    ended = re.split(rb"\r\n|\n|\r", stream)
    for line in ended[:-1]:
        if line:
            lines.append(line)
        elif lines:
            data = [part[5:].removeprefix(b" ") for part in lines if part.startswith(b"data:")]
            found.append(b"\n".join(data))
            lines = []
    return [data for data in found if data]


LINES = st.sampled_from([b"data: {}", b"data:x", b"event: e", b": c", b"", b"id: 1", b"data: a b"])
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDS)), st.data())
def test_agrees_with_the_standard_on_any_lines_and_chunks(parts, draw):
    stream = b"".join(line + end for line, end in parts)
    boundaries = draw.draw(st.lists(st.integers(0, len(stream))))
    events, rest = split(stream, boundaries)
    assert b"".join(events) + rest == stream
    data = [data for data in map(data_of, events) if data]
    # A CR at the very end may be the first half of a CR LF: that event is still open.
    expected = reference(stream)
    assert data == expected[: len(data)]
    assert len(expected) - len(data) <= 1
    if stream.endswith(b"\n"):
        assert data == expected


def test_an_endless_event_is_noticed(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    splitter = EventSplitter()
    assert splitter.feed(b"data: " + b"x" * 50) == []
    before = splitter.too_long
    assert before is False
    assert splitter.feed(b"x" * 60) == []
    assert splitter.too_long is True
    assert len(splitter.rest()) == 116
    assert splitter.empty
