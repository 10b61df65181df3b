"""Requests in a closed loop: each connection sends the next when its answer is whole.

Status and bytes of every answer are compared with what the fake upstream sent; the first
that differs raises `LoadError` and ends the run. A proxy that writes answers anew (none of
ours) is held to the text and the tokens only.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import cast

from bench import payloads
from bench.stats import Spread
from bench.target import LoadError, Target, check_status
from bench.wire import BodyReader, Head, WireError, read_head

_LETTERS = str.maketrans("0123456789", "ghijklmnop")


@dataclass(frozen=True, slots=True)
class Manner:
    """How one proxy is spoken to, and what it is held to."""

    headers: tuple[str, ...] = ()
    """Lines beside the usual ones."""
    compare: str = "bytes"
    """``bytes``, or ``words`` where a proxy writes the answer's JSON anew."""


class Job:
    """What the connections of one run share: requests left to send, samples, the outcome."""

    def __init__(
        self, target: Target, exchange: payloads.Exchange, requests: int, manner: Manner
    ) -> None:
        self._wire = target.request(exchange.request, manner.headers)
        self._number = time.time_ns() // 1000 if payloads.VARIES in exchange.request else None
        self._answer = exchange.answer
        self._manner = manner
        self.left = requests
        self.samples: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open = requests

    def right(self, answer: bytes) -> bool:
        """Whether it is the upstream's answer."""
        if answer == self._answer:
            return True
        return self._manner.compare == "words" and payloads.same_words(answer, self._answer)

    @property
    def wire(self) -> bytes:
        """The next request; where they vary, one that never was before."""
        if self._number is None:
            return self._wire
        self._number += 1
        number = (self._number & (1 << 48) - 1).to_bytes(6, "big").hex()
        # In letters: long numbers are another matter to whoever compares requests.
        return self._wire.replace(payloads.VARIES, number.translate(_LETTERS).encode())

    def take(self) -> bool:
        """Claim one request to send."""
        self.left -= 1
        return self.left >= 0

    def finished(self, seconds: float) -> None:
        self.samples.append(seconds)
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(None)

    def failed(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class ClosedLoop(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last is whole."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._transport: asyncio.Transport
        self._sent_at = 0.0
        self._head: Head | None = None
        self._body: BodyReader | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # cast: uvloop's transports have the interface but not the base class
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._job.failed(LoadError(f"connection lost: {exc or 'closed by the server'}"))

    def send_next(self) -> None:
        if self._job.take():
            self._sent_at = time.perf_counter()
            self._transport.write(self._job.wire)

    def data_received(self, data: bytes) -> None:
        try:
            if self._receive(data):
                self._job.finished(time.perf_counter() - self._sent_at)
                self.send_next()
        except (LoadError, WireError) as error:
            self._job.failed(error)
            self._transport.abort()

    def _receive(self, data: bytes) -> bool:
        """Take in bytes of the answer; True when it is whole and right."""
        if self._body is None:
            data = self._received + data if self._received else data
            head = read_head(data)
            if head is None:
                self._received = data
                return False
            check_status(head, data)
            self._received, self._body = b"", BodyReader(head)
            data = data[head.size :]
        self._received += self._body.feed(data)
        if not self._body.ended:
            return False
        if not self._job.right(self._received):
            raise LoadError(f"{len(self._received)} bytes that are not the upstream's answer")
        self._received, self._body = b"", None
        return True


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One closed-loop run. Latencies in milliseconds."""

    requests: int
    seconds: float
    per_second: float
    latency_ms: Spread


async def run_closed_loop(
    target: Target,
    exchange: payloads.Exchange,
    connections: int,
    requests: int,
    manner: Manner | None = None,
) -> LoadResult:
    """Send ``requests`` over ``connections``, each with one request in flight.

    Raises:
        LoadError: an answer was wrong or a connection broke.
        OSError: nothing listens at the target.
    """
    loop = asyncio.get_running_loop()
    job = Job(target, exchange, requests, manner or Manner())
    pairs = await asyncio.gather(
        *(
            loop.create_connection(lambda: ClosedLoop(job), target.host, target.port)
            for _ in range(connections)
        )
    )
    start = time.perf_counter()
    for _, protocol in pairs:
        protocol.send_next()
    try:
        await job.done
        seconds = time.perf_counter() - start
    finally:
        for transport, _ in pairs:
            transport.abort()
    spread = Spread.of([sample * 1000 for sample in job.samples])
    return LoadResult(requests, seconds, requests / seconds, spread)
