"""Server-sent events as bytes: where one ends and what its data is.

After the HTML standard, section 9.2: lines end with CR LF, LF or CR; a blank line ends an
event; the data of an event is that of its ``data:`` lines, joined by line feeds; lines that
begin with a colon are comments. Pure; the wire is never changed here.
"""

import re

# Atomic groups: a CR LF is one line end and must not be taken for two.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event that are put together for reading; longer ones pass unread."""


class EventSplitter:
    """Puts chunks together into whole events; any chunk boundary gives the same events."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def empty(self) -> bool:
        """Whether the last chunk ended at the end of an event."""
        return not self._held

    @property
    def too_long(self) -> bool:
        """Whether the event under way is longer than `MAX_EVENT`; take it with `rest`."""
        return len(self._held) > MAX_EVENT

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that this chunk completes, as raw bytes with their blank line."""
        held = self._held
        # Only the end of what is held can be part of a blank line that this chunk completes.
        search_from = max(0, len(held) - 4)
        held += chunk
        events: list[bytes] = []
        begin = 0
        while match := _BLANK_LINE.search(held, max(search_from, begin)):
            if match.end() == len(held) and held.endswith(b"\r"):
                break  # the line feed of this line end may be in the next chunk
            events.append(bytes(held[begin : match.end()]))
            begin = match.end()
        if begin:
            del held[:begin]
        return events

    def rest(self) -> bytes:
        """What is held of an event that has not ended; forgets it."""
        held = bytes(self._held)
        self._held.clear()
        return held


def data_of(event: bytes) -> bytes:
    """The data of one event; empty for comments and events without data."""
    if event.startswith(b"data:") and event.count(b"\n") <= 2 and b"\r" not in event:
        first, _, more = event.partition(b"\n")
        if not more.strip():  # one line of data, as nearly every provider sends
            return first[5:].strip()
    lines = []
    for line in _LINE_END.split(event):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines)
