"""Where a load goes, the request as it is written, and what counts as a failure of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.wire import Head


class LoadError(Exception):
    """An answer that is not the upstream's, or a connection that broke."""


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Target":
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise LoadError(f"{url}: expected an http:// URL")
        return cls(parts.hostname, parts.port or 80, parts.path or "/")

    def request(self, body: bytes, headers: Sequence[str] = ()) -> bytes:
        """As it goes over the wire; ``headers`` are further lines, ``name: value``."""
        more = "".join(f"{line}\r\n" for line in headers)
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
            "accept: application/json\r\nuser-agent: OpenAI/Python 3.54.0\r\n"
            "authorization: Bearer sk-benchmark\r\ncontent-type: application/json\r\n"
            f"{more}content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def check_status(head: Head, data: bytes) -> None:
    if head.first_line.split(b" ", 2)[1] != b"200":
        raise LoadError(f"{head.first_line!r}: {data[head.size : head.size + 300]!r}")
