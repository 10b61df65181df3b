"""A request as it is to be sent, and its bytes. Pure."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from multidict import CIMultiDict
from yarl import URL

from upstreams.errors import ConnectFailed

RawHeaders = Sequence[tuple[bytes, bytes]]
Body = bytes | AsyncIterator[bytes] | None


class Asked(NamedTuple):
    """A request as it is to be sent."""

    method: str
    url: URL
    host: str
    headers: RawHeaders
    body: Body

    def wire(self) -> bytes:
        """The bytes of a request whose body is in memory.

        Raises:
            ConnectFailed: a header holds a line break, which would make it two.
        """
        assert isinstance(self.body, bytes)
        fields = b"".join([b"%b: %b\r\n" % pair for pair in self.headers])
        if fields.count(b"\n") != len(self.headers) or fields.count(b"\r") != len(self.headers):
            raise ConnectFailed("a header holds a line break")
        line = f"{self.method} {self.url.raw_path_qs} HTTP/1.1\r\nHost: {self.host}\r\n"
        length = b"Content-Length: %d\r\n\r\n" % len(self.body)
        return b"".join((as_bytes(line), fields, length, self.body))


def is_stream(body: Body) -> bool:
    return body is not None and not isinstance(body, bytes)


def text_headers(host: str, headers: RawHeaders) -> CIMultiDict[str]:
    """Names and values for aiohttp, which writes UTF-8; other bytes are read as Latin-1."""
    try:
        fields = [(name.decode(), value.decode()) for name, value in headers]
    except UnicodeDecodeError:
        fields = [(_decoded(name), _decoded(value)) for name, value in headers]
    return CIMultiDict([("Host", host), *fields])


def as_bytes(text: str) -> bytes:
    """A path came as bytes and was read as Latin-1; a configured URL may hold other letters."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
