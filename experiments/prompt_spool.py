"""Takes prompts from the hot path and stores them, in a thread of its own.

How it fails: the queue is bounded in bytes and entries, and what does not fit is dropped,
counted and logged. While the database is away the batch at hand is tried again, with pauses;
a prompt that the database refuses is dropped, counted and logged. A process that is killed
loses what is queued: stored prompts are samples, the ledger is the record.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from django.db import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    close_old_connections,
    connection,
)

from experiments.prompts import Exchange, Kept, prepared, prune, write
from usage.rows import UsageRow

QUEUED_BYTES = 64 * 1024 * 1024
QUEUED_ENTRIES = 5_000
BATCH = 50
BATCH_BYTES = 8 * 1024 * 1024
TICK = 0.2
"""Seconds between two looks at the queue, and the first pause after a failure."""
LONGEST_PAUSE = 5.0
PRUNE_EVERY = 600.0
DROPS_EVERY = 60.0

NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})
_REFUSED = (DataError, IntegrityError, ValueError)

logger = logging.getLogger("tokenwatch.prompts")

Entry = tuple[Exchange, int]
"""With its size in bytes."""


class PromptSpool:
    """One worker's queue of prompts to store. Make it in the worker's own process.

    `put` is for the event loop's thread. The thread also enforces the retention.
    """

    def __init__(
        self,
        *,
        redact: bool = True,
        retention_days: int = 30,
        queued_bytes: int = QUEUED_BYTES,
        queued_entries: int = QUEUED_ENTRIES,
    ) -> None:
        self.dropped = 0
        """Prompts for which there was no room."""
        self.refused = 0
        """Prompts that the database would not have, or that could not be prepared."""
        self._redact = redact
        self._retention_days = retention_days
        self._bytes = queued_bytes
        self._entries = queued_entries
        self._queue: deque[Entry] = deque()
        # Each is written by one side only, so neither needs a lock.
        self._bytes_in = 0
        self._bytes_out = 0
        self._busy = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._idle = threading.Condition()
        self._pause = TICK
        self._failing = False
        self._next_prune = 0.0
        self._next_drop_report = 0.0
        self._drops_reported = 0
        self._thread = threading.Thread(target=self._run, name="prompts", daemon=True)

    # The hot path

    def put(
        self,
        row: UsageRow,
        request: bytes,
        response: Sequence[bytes],
        *,
        headers: Mapping[bytes, bytes] = NO_HEADERS,
        request_whole: bool = True,
        response_whole: bool = True,
    ) -> bool:
        """Hand over a finished request; never raises, never waits. False where there is no room.

        ``response`` is the answer without its content encoding, in pieces that nobody changes
        any more; of a stream, its events.
        """
        size = len(request) + sum(map(len, response))
        waiting = self._bytes_in - self._bytes_out + size
        if waiting > self._bytes or len(self._queue) >= self._entries:
            self.dropped += 1
            return False
        self._bytes_in += size
        exchange = Exchange(row, request, response, request_whole, response_whole, headers)
        self._queue.append((exchange, size))
        # The thread looks by itself: woken for each request, it would take the interpreter from
        # the event loop each time.
        if waiting > self._bytes // 2 and not self._wake.is_set():
            self._wake.set()
        return True

    # Its life

    def depth(self) -> int:
        """Prompts that wait to be stored."""
        return len(self._queue)

    def start(self) -> None:
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Wait until nothing waits to be stored; False on a time-out."""
        self._wake.set()
        with self._idle:
            return self._idle.wait_for(lambda: not self._queue and not self._busy, timeout)

    def stop(self, timeout: float) -> bool:
        """Store what is queued and end the thread; False if prompts are lost."""
        if self._thread.ident is not None:
            self._deadline = time.monotonic() + timeout
            self._stopping.set()
            self._wake.set()
            self._thread.join(timeout + TICK)
        if self._queue:
            logger.error("%d prompts are not stored: the process ends", len(self._queue))
        return not self._queue

    # The thread

    def _run(self) -> None:
        try:
            while not self._over():
                self._wake.clear()
                if not self._step():
                    self._wake.wait(self._pause)
        finally:
            connection.close()

    def _over(self) -> bool:
        if not self._stopping.is_set():
            return False
        return not self._queue or time.monotonic() >= self._deadline

    def _step(self) -> bool:
        """One batch. Returns whether to go on at once."""
        batch = self._take()
        try:
            if batch:
                self._store(batch)
            self._chores()
            close_old_connections()
        except Error as exc:
            self._give_back(batch)
            self._failed(exc)
            return False
        if self._failing:
            self._failing = False
            logger.warning("Prompts are stored again; %d are waiting", len(self._queue))
        self._pause = TICK
        self._stored(batch)
        return bool(self._queue)

    def _take(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        with self._idle:
            while self._queue and len(batch) < BATCH and size < BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += batch[-1][1]
            self._busy = bool(batch)
        return batch

    def _give_back(self, batch: list[Entry]) -> None:
        with self._idle:
            self._queue.extendleft(reversed(batch))
            self._busy = False

    def _stored(self, batch: list[Entry]) -> None:
        self._bytes_out += sum(size for _, size in batch)
        with self._idle:
            self._busy = False
            self._idle.notify_all()

    def _store(self, batch: list[Entry]) -> None:
        kept = [one for exchange, _ in batch if (one := self._prepared(exchange)) is not None]
        try:
            write(kept)
        except (*_REFUSED, DatabaseError) as exc:
            if not _is_refusal(exc):
                raise
            for one in kept:
                self._store_alone(one)

    def _store_alone(self, one: Kept) -> None:
        try:
            write([one])
        except (*_REFUSED, DatabaseError) as exc:
            if not _is_refusal(exc):
                raise
            self.refused += 1
            logger.error("The prompt of request %s is refused: %s", one.prompt.request_id, exc)

    def _prepared(self, exchange: Exchange) -> Kept | None:
        try:
            return prepared(exchange, redact=self._redact)
        except Exception:
            # What cannot be redacted must not be stored, and must not end the thread.
            self.refused += 1
            logger.exception("The prompt of request %s is left out", exchange.row.request_id)
            return None

    def _chores(self) -> None:
        now = time.monotonic()
        if self.dropped > self._drops_reported and now >= self._next_drop_report:
            logger.error(
                "%d prompts are not stored: more came than could be written",
                self.dropped - self._drops_reported,
            )
            self._drops_reported = self.dropped
            self._next_drop_report = now + DROPS_EVERY
        if now >= self._next_prune:
            prune(datetime.now(UTC), self._retention_days)
            self._next_prune = now + PRUNE_EVERY

    def _failed(self, exc: Error) -> None:
        if not self._failing:
            logger.error("Prompts wait, as they cannot be stored: %s", exc)
            self._failing = True
        else:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        connection.close()


def _is_refusal(exc: Exception) -> bool:
    """Whether the database answered and will not have the row. Oracle's driver reports errors
    of content as plain `DatabaseError`."""
    return isinstance(exc, _REFUSED) or type(exc) is DatabaseError
