"""Just enough HTTP/1.1 for both ends of the benchmark, cheaper than any library.

Both ends are ours or a proxy under test, so anything unexpected raises `WireError` and
fails the run; nothing is guessed.
"""

import re
from dataclasses import dataclass

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+) *\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked *\r\n", re.IGNORECASE)


class WireError(Exception):
    """The other side broke HTTP's framing, or used what the benchmark does not speak."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a message: its first line, where it ends, and how its body is framed."""

    first_line: bytes
    size: int
    content_length: int | None
    chunked: bool


def read_head(buffer: bytes | bytearray) -> Head | None:
    """Read the head at the start of a buffer; None where it is not all there yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[: end + 4])
    length = _CONTENT_LENGTH.search(head)
    return Head(
        first_line=head[: head.index(b"\r\n")],
        size=end + 4,
        content_length=int(length[1]) if length else None,
        chunked=_CHUNKED.search(head) is not None,
    )


class ChunkedDecoder:
    """Takes the chunked coding off a body that arrives in arbitrary pieces."""

    def __init__(self) -> None:
        self.ended = False
        self._buffer = b""

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes that are complete by now; `ended` after the last chunk."""
        buffer = self._buffer + data if self._buffer else data
        position = 0
        body = []
        while not self.ended:
            line_end = buffer.find(b"\r\n", position)
            if line_end < 0:
                break
            try:
                size = int(buffer[position:line_end], 16)
            except ValueError:
                raise WireError(f"bad chunk size {buffer[position:line_end][:40]!r}") from None
            after = line_end + 2 + size + 2
            if len(buffer) < after:
                break
            if buffer[after - 2 : after] != b"\r\n":
                raise WireError("a chunk is longer than its announced size")
            body.append(buffer[line_end + 2 : after - 2])
            position = after
            self.ended = size == 0
        self._buffer = buffer[position:]
        return b"".join(body)


class BodyReader:
    """One message's body, by whichever framing its head announced."""

    def __init__(self, head: Head) -> None:
        self._chunks = ChunkedDecoder() if head.chunked else None
        if self._chunks is None and head.content_length is None:
            raise WireError("a body without content-length that is not chunked")
        self._left = head.content_length or 0

    @property
    def ended(self) -> bool:
        return self._chunks.ended if self._chunks is not None else self._left == 0

    def feed(self, data: bytes) -> bytes:
        """Return what these bytes add to the body."""
        if self._chunks is not None:
            return self._chunks.feed(data)
        if len(data) > self._left:
            raise WireError(f"{len(data) - self._left} bytes after the end of a body")
        self._left -= len(data)
        return data
