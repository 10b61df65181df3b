"""Many streams at once: how long each event takes from the upstream's write to its arrival.

A stream that breaks, ends early or brings what was not asked for raises `LoadError` in an
`ExceptionGroup`; events that are missing from a stream that ended well are counted as lost.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import cast

from bench import payloads
from bench.stats import Spread
from bench.target import LoadError, Target, check_status
from bench.wire import BodyReader, WireError, read_head

EVENT_TIME = payloads.EVENT_MARK


class StreamReader(asyncio.Protocol):
    """One streamed answer: how long each event took from the upstream's write to here."""

    def __init__(self, wire: bytes) -> None:
        self.delays_ms: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wire = wire
        self._pending = b""
        self._body: BodyReader | None = None
        self._saw_end = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # cast: uvloop's transports have the interface but not the base class
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._wire)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(LoadError(f"stream broken: {exc or 'closed'}"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        try:
            self._receive(data, now)
        except (LoadError, WireError) as error:
            if not self.done.done():
                self.done.set_exception(error)
            self._transport.abort()

    def _receive(self, data: bytes, now: int) -> None:
        if self._body is None:
            data = self._pending + data
            head = read_head(data)
            if head is None:
                self._pending = data
                return
            check_status(head, data)
            self._pending, self._body = b"", BodyReader(head)
            data = data[head.size :]
        *events, self._pending = (self._pending + self._body.feed(data)).split(b"\n\n")
        for event in events:
            self._take(event, now)
        if self._body.ended and not self.done.done():
            if not self._saw_end or self._pending:
                raise LoadError("a stream ended without its last event")
            self.done.set_result(None)
            self._transport.close()

    def _take(self, event: bytes, now: int) -> None:
        at = event.find(EVENT_TIME)
        if at >= 0:
            start = at + len(EVENT_TIME)
            sent = int(event[start : event.index(b'"', start)])
            self.delays_ms.append((now - sent) / 1e6)
        elif event == b"data: [DONE]":
            self._saw_end = True
        elif b'"choices":[]' in event:
            raise LoadError("a usage chunk that was not asked for")


@dataclass(frozen=True, slots=True)
class StreamResult:
    """One streaming run. Delays in milliseconds from the upstream's write to the arrival."""

    streams: int
    events: int
    lost: int
    seconds: float
    delay_ms: Spread


async def run_streams(target: Target, streams: int, events: int, interval_ms: int) -> StreamResult:
    """Hold ``streams`` open at once, each of ``events`` events ``interval_ms`` apart.

    They start 0.255 intervals apart: that spreads 200 phases evenly over the interval, as
    streams of unrelated clients are spread, where a common start would send all in one burst.
    """
    loop = asyncio.get_running_loop()
    wire = target.request(payloads.stream_request(events, interval_ms))
    start = loop.time()

    async def one(number: int) -> StreamReader:
        await asyncio.sleep(start + number * interval_ms * 0.255 / 1000 - loop.time())
        _, reader = await loop.create_connection(
            lambda: StreamReader(wire), target.host, target.port
        )
        await reader.done
        return reader

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(streams)]
    delays = [delay for task in tasks for delay in task.result().delays_ms]
    lost = streams * events - len(delays)
    return StreamResult(streams, len(delays), lost, loop.time() - start, Spread.of(delays))
