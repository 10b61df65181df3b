"""Which headers cross the proxy. Pure: raw byte pairs in, raw byte pairs out.

Everything passes in order, duplicates included, except what belongs to one connection
(RFC 9110 section 7.6.1), what `Connection` lists, and TokenWatch's own `X-TokenWatch-*`.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

Pairs = list[tuple[bytes, bytes]]

OURS = b"x-tokenwatch-"

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Host names the upstream anew; a 100 is answered by our own server, and an Expect that is
# passed on to an upstream that never sends one would hang the request.
_NOT_FORWARDED = _HOP_BY_HOP | {b"host", b"expect"}
_NOT_FORWARDED_WITH_NEW_BODY = _NOT_FORWARDED | {b"content-length"}
_ORDINARY_CONNECTION = frozenset({b"keep-alive", b"close", b""})


def _listed(connection: bytes) -> frozenset[bytes]:
    """The header names that a Connection header declares as its own."""
    return frozenset(token.strip().lower() for token in connection.split(b","))


def for_upstream(headers: Iterable[tuple[bytes, bytes]], *, keep_length: bool) -> Pairs:
    """The client's headers as the upstream gets them; names arrive in lower case (ASGI).

    ``keep_length`` is for bodies that are streamed through as they come; bodies held in memory
    get their length from the bytes that are sent.
    """
    drop = _NOT_FORWARDED if keep_length else _NOT_FORWARDED_WITH_NEW_BODY
    for name, value in headers:
        if name == b"connection" and value.lower() not in _ORDINARY_CONNECTION:
            drop = drop | _listed(value)
    return [pair for pair in headers if pair[0] not in drop and not pair[0].startswith(OURS)]


def replace(headers: Pairs, name: bytes, value: bytes) -> Pairs:
    """The headers with one of that name and value in place of all of that name."""
    return [*(pair for pair in headers if pair[0] != name), (name, value)]


def for_client(headers: Pairs, ours: Pairs, *, status: int = 200, rewritten: bool) -> Pairs:
    """The upstream's headers (in lower case) as the client gets them, and then our own.

    ``rewritten`` bodies (an event taken out) lose their length and their content encoding:
    they are sent as plain chunks.
    """
    drop: frozenset[bytes] = _HOP_BY_HOP
    for name, value in headers:
        if name == b"connection" and value.lower() not in _ORDINARY_CONNECTION:
            drop = drop | _listed(value)
    if rewritten:
        drop = drop | {b"content-length", b"content-encoding"}
    elif status == 304:  # it may name the length of what it does not send
        drop = drop | {b"content-length"}
    passed = [pair for pair in headers if pair[0] not in drop and not pair[0].startswith(OURS)]
    passed.extend(ours)
    return passed


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The first value of a header, names being in lower case; empty where there is none."""
    for key, value in headers:
        if key == name:
            return value
    return b""


def text(headers: Mapping[bytes, bytes], name: bytes, limit: int) -> str:
    """A header as text for the ledger: trimmed, cut at ``limit``, without control characters."""
    raw = headers.get(name)
    if raw is None:
        return ""
    return clean(raw.decode("utf-8", "replace"), limit)


def clean(value: str, limit: int) -> str:
    """Text that any database and terminal takes: printable, trimmed, at most ``limit`` long."""
    return _clean(value[:limit])  # cut first: what is remembered must be short


@lru_cache(maxsize=4096)
def _clean(value: str) -> str:
    """Remembered, as names, paths and reasons are nearly always the same few."""
    value = value.strip()
    if value.isprintable():
        return value
    return "".join(c for c in value if c.isprintable())
