"""The ledger as a worker sees it: takes one row a request, and sees that none is lost.

`Ledger.record` appends the row to this worker's spool (one ``write``); another process stores
it (`usage.storing`). How it fails: while the database or that process is away, requests go on
and rows wait in the spool. Where the disk takes no more, rows wait in a bounded memory and
are stored from here (`rescue`). What neither can take is lost, counted and logged.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.db import close_old_connections, connection, transaction

from usage import backlog, lines, presence, writer
from usage.drain import store
from usage.lines import BadLineError
from usage.models import UsageRecord, UsageRollup, UsageTiming
from usage.rows import UsageRow
from usage.spool import Spool
from usage.writer import DatabaseUnavailableError

POLL = 0.02
DROPS_EVERY = 60.0
STALE = 15.0
"""Seconds without a sign of life after which the storing process counts as away."""
FILES_GONE = 3.0
"""Seconds that a stopping worker waits for its files to be removed."""
RESET_BATCH = 5_000

logger = logging.getLogger("tokenwatch.ledger")


class Ledger:
    """One worker's ledger. Make it in the worker's own process, after any fork.

    Raises:
        OSError: the spool's directory cannot be written.
    """

    def __init__(self, directory: Path, *, spool: Spool | None = None) -> None:
        self._spool = spool or Spool(directory)
        self._opened = time.time()
        self._next_drop_report = 0.0
        self._next_outage_report = 0.0
        self._drops_reported = 0

    def record(self, row: UsageRow) -> None:
        """Hand over the row of a finished request. Never raises, never waits for the database."""
        self._spool.append(lines.encode(row))

    @property
    def database_ok(self) -> bool:
        """Whether the database took what it was last asked to store."""
        healthy, beat = presence.health(self._spool.directory)
        return healthy and time.time() - max(beat, self._opened) < STALE

    def pending(self) -> int:
        """Rows that this worker recorded and that are not yet in the database."""
        return self._spool.pending

    def depth(self) -> int:
        """The same of all workers, dead ones included. Reads a few small files."""
        return backlog.depth(self._spool.directory)

    def rescue(self) -> None:
        """Find a place for rows that the disk did not take. Blocks; call it now and then."""
        self._report_drops()
        self._spool.refound()
        if not self._spool.in_memory or not self._spool.spill():
            return
        close_old_connections()
        taken: list[bytes] = []
        try:
            while taken := self._spool.take_memory(writer.BATCH):
                self._store(taken)
        except DatabaseUnavailableError as exc:
            self._spool.put_back(taken)
            if (now := time.monotonic()) >= self._next_outage_report:
                self._next_outage_report = now + DROPS_EVERY
                logger.error("Neither disk nor database takes rows; they wait in memory: %s", exc)
        except BaseException:  # a fault in here must not cost rows
            self._spool.put_back(taken)
            raise
        finally:
            connection.close()

    def _store(self, taken: list[bytes]) -> None:
        rows = []
        for line in taken:
            try:
                rows.append(lines.decode(line.strip()))
            except BadLineError as exc:
                logger.error("Request %s is not in the ledger: %s", lines.request_id_of(line), exc)
        for row, refusal in store(rows, writer.insert, check=True) if rows else []:
            logger.error("Request %s is not in the ledger: %s", row.request_id, refusal)

    def flush(self, timeout: float) -> bool:
        """Wait until all rows recorded before the call are stored; False on a time-out."""
        return _await(lambda: self._spool.pending == 0, timeout)

    def stop(self, timeout: float) -> bool:
        """Wait for the rows to be stored and give up the spool; False if rows stay behind.

        They stay in the spool, for the next start.
        """
        deadline = time.monotonic() + timeout
        self.rescue()
        stored = self.flush(timeout)
        if lost := self._spool.in_memory:
            logger.error("%d requests are lost: neither disk nor database takes them", lost)
        self._spool.close()
        if stored:
            left = min(FILES_GONE, deadline - time.monotonic())
            _await(lambda: presence.is_done_with(self._spool.directory, self._spool.worker), left)
        return stored

    def _report_drops(self) -> None:
        dropped, now = self._spool.dropped, time.monotonic()
        if dropped > self._drops_reported and now >= self._next_drop_report:
            logger.error(
                "%d requests are not in the ledger: the spool in %s cannot be written and the "
                "memory for rows is full",
                dropped - self._drops_reported,
                self._spool.directory,
            )
            self._drops_reported = dropped
            self._next_drop_report = now + DROPS_EVERY


def _await(reached: Callable[[], bool], timeout: float) -> bool:
    """Look until it is so: what happens in another process gives no sign."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not reached():
        if time.monotonic() >= deadline:
            return False
        pause.wait(POLL)
    return True


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
        rollups += UsageTiming.objects.all().delete()[0]
    return ResetCounts(requests, rollups)
