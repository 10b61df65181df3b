"""The ledger: takes one row a request from the hot path and sees that it gets stored once.

`Ledger.record` appends the row to this worker's spool (one ``write``); a thread stores the
spool's lines in batches. How it fails: while the database is away or slow, requests go on
and rows wait in the spool; the thread tries again with a growing pause. A worker that dies
leaves its spool to the others, or to the next start. Only what neither disk nor memory can
take is lost, and that is counted and logged.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from django.db import close_old_connections, connection, transaction

from usage import lines, writer
from usage.drain import Drain
from usage.models import UsageRecord, UsageRollup
from usage.rows import UsageRow
from usage.spool import Spool
from usage.writer import DatabaseUnavailableError

TICK = 0.2
"""Seconds between two looks at the spool, and the first pause after a failure."""
LONGEST_PAUSE = 5.0
CHORES_EVERY = 5.0
"""Seconds between adoptions of dead workers' rows, rotations when idle, and probes."""
DROPS_EVERY = 60.0
RESET_BATCH = 5_000
WRITER_NICE = 10

logger = logging.getLogger("tokenwatch.ledger")


class Ledger:
    """One worker's ledger. Make it in the worker's own process, after any fork.

    Raises:
        OSError: the spool's directory cannot be written.
    """

    def __init__(self, directory: Path, *, spool: Spool | None = None) -> None:
        self._spool = spool or Spool(directory)
        self._drain = Drain(self._spool, writer.insert)
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._progress = threading.Condition()
        self._flushes_asked = 0
        self._flushes_done = 0
        self._pause = TICK
        self._failing_since: float | None = None
        self._next_chores = 0.0
        self._next_drop_report = 0.0
        self._drops_reported = 0

    def record(self, row: UsageRow) -> None:
        """Hand over the row of a finished request. Never raises, never waits for the database."""
        self._spool.append(lines.encode(row))

    @property
    def database_ok(self) -> bool:
        """Whether the database took what the thread last asked of it."""
        return self._failing_since is None

    def depth(self) -> int:
        """Rows recorded (those of adopted workers included) and not yet in the database."""
        return self._spool.depth

    def start(self) -> None:
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Wait until all rows recorded before the call are stored; False on a time-out."""
        with self._progress:
            self._flushes_asked += 1
            mine = self._flushes_asked
            self._wake.set()
            return self._progress.wait_for(lambda: self._flushes_done >= mine, timeout)

    def stop(self, timeout: float) -> bool:
        """Store what is there and end the thread; False if rows stay behind.

        They stay in the spool, for the next start.
        """
        if self._thread.ident is None:
            self._spool.close()
            return self._spool.depth == 0
        self._deadline = time.monotonic() + timeout
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout + TICK)
        return not self._thread.is_alive() and self._spool.depth == 0

    # The thread

    def _run(self) -> None:
        _give_way()
        try:
            while not self._stopping.is_set():
                if self._step():
                    continue
                self._wake.wait(self._pause)
                self._wake.clear()
            self._finish()
        finally:
            connection.close()

    def _finish(self) -> None:
        """Store the rest until the deadline, then leave what remains to the next start."""
        self._spool.seal()
        while time.monotonic() < self._deadline:
            if self._step():
                continue
            if self.database_ok:
                break
            self._wake.wait(min(TICK, max(0.0, self._deadline - time.monotonic())))
            self._wake.clear()
        self._spool.close()
        if lost := self._spool.spill():
            logger.error("%d requests are lost: neither disk nor database takes them", lost)

    def _step(self) -> bool:
        """One round. Returns whether to go on at once: there is more, and nothing failed."""
        with self._progress:
            asked = self._flushes_asked
        try:
            self._chores()
            more = self._drain.round(self._out_of_time)
        except (DatabaseUnavailableError, OSError) as exc:
            self._failed(exc)
            return False
        except Exception as exc:
            # A fault in here must not end the thread: rows stay in the spool, and it goes on
            # as after an outage.
            logger.exception("The ledger's thread hit an unexpected error")
            self._failed(exc)
            return False
        self._succeeded()
        if not more:
            with self._progress:
                self._flushes_done = asked
                self._progress.notify_all()
        return more

    def _out_of_time(self) -> bool:
        return self._stopping.is_set() and time.monotonic() >= self._deadline

    def _chores(self) -> None:
        """What is due now and then; rotation of a full segment each time."""
        self._spool.rotate()
        if not self.database_ok and self._spool.depth == 0:
            writer.probe()  # a round with nothing to store would prove nothing
        now = time.monotonic()
        if now < self._next_chores:
            return
        self._next_chores = now + CHORES_EVERY
        self._report_drops(now)
        if not self.database_ok:
            self._spool.spill()
        close_old_connections()
        adopted = self._spool.adopt()
        if adopted:
            logger.info("Adopted %d rows that a worker left behind", adopted)
        if self._spool.depth == 0:
            self._spool.rotate(idle=True)
            writer.probe()

    def _report_drops(self, now: float) -> None:
        dropped = self._spool.dropped
        if dropped > self._drops_reported and now >= self._next_drop_report:
            logger.error(
                "%d requests are not in the ledger: the spool in %s cannot be written and the "
                "memory for rows is full",
                dropped - self._drops_reported,
                self._spool.directory,
            )
            self._drops_reported = dropped
            self._next_drop_report = now + DROPS_EVERY

    def _failed(self, exc: Exception) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            self._pause = TICK
            logger.error("Rows wait in the spool, as they cannot be stored: %s", exc)
        else:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _succeeded(self) -> None:
        if self._failing_since is not None:
            away = time.monotonic() - self._failing_since
            self._failing_since = None
            logger.warning(
                "Rows are stored again after %.0f s; %d are waiting", away, self._spool.depth
            )
        self._pause = TICK


@dataclass(frozen=True, slots=True)
class ResetCounts:
    """What `reset` removed."""

    requests: int
    rollups: int


def reset() -> ResetCounts:
    """Remove all rows and rollups, in batches that leave room for others' transactions.

    Rows that workers store meanwhile may stay, or stay in the rollups only: stop them first
    where the figures must start at exactly zero.
    """
    requests = 0
    while True:
        ids = UsageRecord.objects.order_by("id").values_list("id", flat=True)
        last = ids[RESET_BATCH - 1 : RESET_BATCH].first()
        if last is None:
            break
        requests += UsageRecord.objects.filter(id__lte=last).delete()[0]
    with transaction.atomic():
        requests += UsageRecord.objects.all().delete()[0]
        rollups = UsageRollup.objects.all().delete()[0]
    return ResetCounts(requests, rollups)


def _give_way() -> None:
    """Let the event loop's thread go first wherever both could run (Linux knows threads' nice)."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WRITER_NICE)
