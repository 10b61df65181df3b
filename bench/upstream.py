"""A fake provider that costs next to nothing: a raw protocol on uvloop, OpenAI's chat format.

It answers a small prompt with about 600 bytes, a prompt past 50 kB with about 20 kB, and a
model named ``stream-N-M`` with N events, M ms apart, each carrying its send time. What it
cannot read it answers with a closed connection.

    python -m bench.upstream --port 9000
"""

import argparse
import asyncio
import time
from typing import cast

import uvloop

from bench import payloads
from bench.wire import BodyReader, Head, WireError, read_head

LARGE_REQUEST_BYTES = 50_000

_HEADERS = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: %s\r\n"
    b"x-request-id: req_00000000000000000000000000000000\r\n"
    b"openai-organization: benchmark\r\n"
    b"openai-processing-ms: 1\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\n"
    b"%s\r\n\r\n"
)
STREAM_HEAD = _HEADERS % (b"text/event-stream; charset=utf-8", b"transfer-encoding: chunked")


def whole(answer: bytes) -> bytes:
    return _HEADERS % (b"application/json", b"content-length: %d" % len(answer)) + answer


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


SMALL = whole(payloads.EXCHANGES["small"].answer)
LARGE = whole(payloads.EXCHANGES["large"].answer)


class Stream:
    """One answer of timed events. The n-th is due n intervals after the start, however late
    the one before was, so that a slow moment is not hidden by sending less."""

    def __init__(
        self, transport: asyncio.WriteTransport, events: int, interval_ms: int, usage: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._events = events
        self._interval = interval_ms / 1000
        self._usage = usage
        self._sent = 0
        self._start = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        transport.write(STREAM_HEAD)
        self._step()

    def _step(self) -> None:
        event = payloads.stream_event(time.monotonic_ns(), self._usage)
        self._transport.write(chunk(event))
        self._sent += 1
        if self._sent < self._events:
            due = self._start + self._sent * self._interval
            self._timer = self._loop.call_at(due, self._step)
        else:
            self._transport.write(chunk(payloads.stream_end(self._events, self._usage)))
            self._transport.write(b"0\r\n\r\n")

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Upstream(asyncio.Protocol):
    """One connection: requests one after another, each answered when its body is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: Head | None = None
        self._stream: Stream | None = None
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # cast: uvloop's transports have the interface but not the base class
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stream is not None:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head is None:
            self._head = read_head(self._buffer)
        head = self._head
        if head is None:
            return
        try:
            body = self._body(head)
        except WireError:
            self._transport.close()
            return
        if body is not None:
            self._buffer.clear()
            self._head = None
            self._answer(body)

    def _body(self, head: Head) -> bytes | None:
        """The request's body; None where it is not all there yet."""
        if head.chunked:
            reader = BodyReader(head)
            body = reader.feed(bytes(self._buffer[head.size :]))
            return body if reader.ended else None
        length = head.content_length or 0
        missing = head.size + length - len(self._buffer)
        if missing < 0:
            raise WireError("pipelined requests are not spoken here")
        return None if missing else bytes(self._buffer[head.size :])

    def _answer(self, body: bytes) -> None:
        wanted = payloads.wanted_stream(body)
        if wanted is not None:
            self._stream = Stream(self._transport, *wanted, usage=b'"include_usage"' in body)
        else:
            self._transport.write(LARGE if len(body) > LARGE_REQUEST_BYTES else SMALL)


async def serve(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, host, port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    try:
        uvloop.run(serve(args.host, args.port))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
