"""The hot path's side of telemetry, and the thread behind it.

`Telemetry.begin` and `Telemetry.finished` are called on the event loop and only put things down;
a thread takes them up ten times a second. How it fails: a queue that is full drops what comes
and counts it; a fault in the thread is logged and costs one request's telemetry; the SDK is
imported in `start` and nowhere before.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from tokenwatch.telemetry import names
from tokenwatch.telemetry.context import TRACESTATE, Journey, Pairs, Sampler, incoming
from tokenwatch.telemetry.facts import Finished
from tokenwatch.telemetry.measures import count
from tokenwatch.telemetry.sums import Sums

if TYPE_CHECKING:
    from tokenwatch.telemetry.export import Collector
    from tokenwatch.telemetry.points import Reading
    from tokenwatch.telemetry.spans import SpanMaker

WAITING = 20_000
"""Requests that may wait for the thread: some seconds of a worker at its limit."""
ROUND = 0.1
SLICE = 100
"""Requests after which the thread lets go of the interpreter, so that none waits for long."""
METRICS_EVERY = 10.0
STOP_SECONDS = 3.0

logger = logging.getLogger("tokenwatch.telemetry")

Gauges = Callable[[], "Iterable[Reading]"]


class Telemetry:
    """One worker's telemetry. Make it in the worker's own process, after any fork."""

    def __init__(
        self, endpoint: str, service_name: str, instance: str, *, traces_per_second: int
    ) -> None:
        self._endpoint = endpoint
        self._service_name = service_name
        self._instance = instance
        self._sampler = Sampler(traces_per_second)
        self._queue: deque[Finished] = deque()
        self._dropped = 0
        self._told = [0, 0]
        self._sums = Sums()
        self._lock = threading.Lock()
        """Between the two threads; the event loop never takes it."""
        self._since = time.time_ns()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._collector: Collector | None = None
        self._gauges: Gauges = tuple

    # On the path of a request

    def begin(self, fields: Mapping[bytes, bytes], headers: Pairs, now: float) -> Journey:
        """A request has arrived. ``now`` is on the monotonic clock."""
        parent = incoming(fields, headers)
        sampled = self._sampler.samples(parent, now)
        state = b""
        if sampled and parent is not None:
            state = b",".join(value for name, value in headers if name == TRACESTATE)
        return Journey(parent, state, sampled=sampled)

    def finished(self, finished: Finished) -> None:
        """A request is over. Never raises, never waits."""
        if len(self._queue) >= WAITING:
            self._dropped += 1
            return
        self._queue.append(finished)

    # Behind it

    def start(self, gauges: Gauges) -> None:
        """Load the SDK and start the threads. Blocks for the imports; call it in a thread."""
        from tokenwatch.telemetry import export, pages

        resource = export.resource(self._service_name, self._instance)
        self._collector = export.Collector(self._endpoint, resource)
        self._gauges = gauges
        pages.connect(self._collector)
        for target, name in ((self._work, "telemetry"), (self._tell, "telemetry-metrics")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def collector(self) -> "Collector | None":
        """Where everything goes; None before the start."""
        return self._collector

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Send what there is, as far as that goes in so many seconds; blocks no longer."""
        deadline = time.monotonic() + seconds
        self._stopping.set()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._collector is not None:
            self._collector.stop(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        from tokenwatch.telemetry.spans import SpanMaker

        assert self._collector is not None
        maker = SpanMaker(self._collector.resource)
        while not self._stopping.wait(ROUND):
            self._take_up(maker, self._collector)
        self._take_up(maker, self._collector)

    def _take_up(self, maker: "SpanMaker", collector: "Collector") -> None:
        """Everything that waits now, a slice at a time."""
        while self._queue:
            with self._lock:
                for _ in range(min(SLICE, len(self._queue))):
                    finished = self._queue.popleft()
                    try:
                        count(self._sums, finished)
                        for span in maker.spans(finished):
                            collector.take(span)
                    except Exception:  # one request's telemetry must not end that of all others
                        logger.exception("A request's telemetry hit an unexpected error")
            time.sleep(0)

    def _tell(self) -> None:
        while not self._stopping.wait(METRICS_EVERY):
            self.send_metrics()
        self._threads[0].join(STOP_SECONDS)  # it takes up the last requests
        self.send_metrics()

    def send_metrics(self) -> None:
        """Send all metrics as they stand."""
        from tokenwatch.telemetry.points import data

        assert self._collector is not None
        try:
            gauges = list(self._gauges())
            with self._lock:
                self._count_losses()
                made = data(
                    self._collector.resource,
                    self._sums,
                    gauges,
                    since=self._since,
                    now=time.time_ns(),
                )
            self._collector.send(made)
        except Exception:  # a fault in here must not end the thread
            logger.exception("The metrics hit an unexpected error")

    def _count_losses(self) -> None:
        found = (self._dropped, self._sampler.untraced)
        for index, instrument in enumerate((names.DROPPED, names.UNTRACED)):
            self._sums.add(instrument, (), found[index] - self._told[index])
            self._told[index] = found[index]
