"""The beginning of an answer: read as far as it takes to know that it is one.

Where there is another target, a stream is held until its first event that says something, for
one that fails at once can still be answered by another. How it fails: an answer that breaks off
before raises; one that cannot be decoded, or says nothing for too long, is taken for an answer.
"""

import re
import time

import orjson

from proxy import headers as fields
from proxy.decoding import Undecodable, decoder_for
from proxy.finish import Ending
from proxy.services import Services
from proxy.sse import EventSplitter, data_of
from upstreams.dialects.errors import failing_status
from upstreams.failures import Failure, of_status, of_stream_error
from upstreams.transport import Exchange

HEAD_HELD_BYTES = 64 * 1024
HEAD_HELD_SECONDS = 15.0
"""How long a stream's head waits for its first event while comments and pings come: clients
have timeouts of their own."""


async def first_bytes(
    exchange: Exchange, services: Services, ending: Ending, *, hold: bool
) -> Failure | None:
    """Read the answer as far as it takes to know that it is one; why it is none.

    Raises:
        UpstreamError: it breaks off before that.
    """
    status = exchange.status
    assert ending.candidate is not None
    failure = None
    if status >= 400:
        failure = of_status(
            status,
            exchange.headers,
            own_credential=ending.candidate.credential != "",
            at=time.time(),
            cool_downs=services.health.cool_downs,
        )
        if failure is not None and hold:
            return failure  # its body is for nobody, unless this was the last
    first_byte = await read_first(exchange, ending)
    if hold and status == 200 and services.config.failover_on_stream_error:
        return await _stream_failure(exchange, first_byte + HEAD_HELD_SECONDS)
    return failure


async def read_first(exchange: Exchange, ending: Ending) -> float:
    exchange.first = await exchange.chunk()
    ending.first_byte = now = time.monotonic()
    return now


async def _stream_failure(exchange: Exchange, deadline: float) -> Failure | None:
    """Whether a stream begins with an error; reads it up to its first event."""
    content_type = fields.first(exchange.headers, b"content-type")
    if not content_type.lower().startswith(b"text/event-stream"):
        return None
    encoding = fields.first(exchange.headers, b"content-encoding")
    try:
        decoder = decoder_for(encoding) if encoding else None
    except Undecodable:
        return None
    splitter = EventSplitter()
    parts: list[bytes] = []
    size = 0
    chunk = exchange.first
    while chunk:
        parts.append(chunk)
        size += len(chunk)
        try:
            events = splitter.feed(decoder.feed(chunk) if decoder else chunk)
        except Undecodable:
            break
        told = next((data for event in events if (data := _says(event))), b"")
        if told:
            exchange.first = b"".join(parts)
            status = _status_of(told)
            return of_stream_error(status) if status else None
        if size > HEAD_HELD_BYTES or time.monotonic() > deadline:
            break
        chunk = await exchange.chunk()
    exchange.first = b"".join(parts)
    status = _status_of(data_of(splitter.rest()))  # a last event without its blank line
    return of_stream_error(status) if status and not chunk else None


def _says(event: bytes) -> bytes:
    """The data of an event; empty for comments and pings."""
    data = data_of(event)
    return b"" if data == b"{}" or _PING.fullmatch(data) else data


_PING = re.compile(rb'\{\s*"type"\s*:\s*"ping"[^{}]*\}')


def _status_of(data: bytes) -> int:
    if b"error" not in data:
        return 0
    try:
        obj = orjson.loads(data)
    except orjson.JSONDecodeError:
        return 0
    return failing_status(obj) if isinstance(obj, dict) else 0
