"""The reading side of the spool: every worker's segments, to their end, whoever wrote them.

`Backlog.refresh` looks at the directory; `sources` are then the workers that have lines, each
with its segments in order. How far each has been stored is kept in the worker's meter, so
whoever reads next goes on from there. The files of a dead worker are removed with its lock
once they are stored.

How it fails: `OSError` where the directory cannot be read, or a segment when it is read. One
worker's files that cannot be opened are left where they are, logged once, and looked at again.
"""

import logging
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from usage.meters import APPENDED, CLOSED, OFFSET, SEGMENT, STORED, Meter, pending
from usage.segments import Batch, Segment, WorkerLock, lock_path

REJECTED = "rejected.jsonl"
LOOK_FOR_DEAD = 0.5
"""Seconds between two attempts to take the locks of the workers."""
LOCKLESS = 5.0
"""Seconds after which a worker whose lock's file was removed counts as dead."""

logger = logging.getLogger("tokenwatch.ledger")

_SEGMENT_NAME = re.compile(r"^(\d+-[0-9a-f]{8})-(\d{8,})\.jsonl$")
_LOCK_NAME = re.compile(r"^(\d+-[0-9a-f]{8})\.lock$")


def depth(directory: Path) -> int:
    """Lines of all workers that are recorded and not yet stored."""
    counts = (Meter.read(path) for path in _listed(directory) if _LOCK_NAME.match(path.name))
    return sum(pending(found) for found in counts if found is not None)


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


class Source:
    """One worker's segments."""

    def __init__(self, worker: str, meter: Meter, lock: WorkerLock | None) -> None:
        self.worker = worker
        self.counts = meter.counts
        self._meter = meter
        self.lock = lock
        """Held once the worker is dead."""
        self.segments: list[Segment] = []
        self.lockless_since = math.inf
        """When its lock's file was first seen to be missing, on the backlog's clock."""
        self.unsure = True
        """The next lines may be stored already: whoever read before may have died in between."""

    def advance(self, segment: Segment, batch: Batch) -> None:
        """The batch is stored: count it, and remove a segment that is at its end."""
        segment.offset = batch.end
        self.counts[SEGMENT], self.counts[OFFSET] = segment.number, batch.end
        if batch.lines:
            self.counts[STORED] += len(batch.lines)
            self.unsure = False
        if segment.sealed and batch.exhausted:
            segment.remove()
            self.segments.remove(segment)

    def settle(self, appended: int) -> None:
        """All is stored and nothing came since ``appended`` was read: set the count right.

        Lines that were cut off or written twice make it drift by one each.
        """
        if self.counts[APPENDED] == appended:
            self.counts[STORED] = appended


class Backlog:
    """All workers' lines that wait. For one thread, and for one process at a time."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._sources: dict[str, Source] = {}
        self._next_look = 0.0
        self._has_looked = False
        self._unreadable: set[str] = set()

    @property
    def sources(self) -> list[Source]:
        return list(self._sources.values())

    @property
    def has_living(self) -> bool:
        """Whether a worker may still record something."""
        return not self._has_looked or any(source.lock is None for source in self.sources)

    @property
    def depth(self) -> int:
        """Lines that wait and can be read."""
        readable = (source for source in self.sources if source.worker not in self._unreadable)
        return sum(pending(source.counts) for source in readable)

    def refresh(self) -> None:
        """Find new workers, the dead among them, and new segments."""
        # The dead first: what they wrote last must be in the listing.
        self._adopt()
        names = os.listdir(self.directory)
        numbered: dict[str, list[int]] = {}
        for name in names:
            if match := _LOCK_NAME.match(name):
                numbered.setdefault(match[1], [])
            elif match := _SEGMENT_NAME.match(name):
                numbered.setdefault(match[1], []).append(int(match[2]))
        for worker, numbers in numbered.items():
            try:
                if numbers:
                    self._find(worker) or self._find_unlocked(worker)
                else:
                    self._find(worker)
            except OSError as exc:
                self.unreadable(worker, exc)
        for source in self.sources:
            try:
                self._open(source, sorted(numbered.get(source.worker, [])))
            except OSError as exc:
                self.unreadable(source.worker, exc)
        self._has_looked = True

    def unreadable(self, worker: str, reason: OSError) -> None:
        """One worker's files cannot be read: they wait, and hold up nobody else's."""
        if worker not in self._unreadable:
            logger.error("Rows of worker %s wait, as its files cannot be read: %s", worker, reason)
        self._unreadable.add(worker)

    def readable(self, worker: str) -> None:
        self._unreadable.discard(worker)

    def _adopt(self) -> None:
        now = self._clock()
        look = now >= self._next_look
        if look:
            self._next_look = now + LOOK_FOR_DEAD
        for source in self.sources:
            if source.lock is not None or not (look or source.counts[CLOSED]):
                continue
            if not lock_path(self.directory, source.worker).exists():
                # Somebody removed it: a worker that lives begins anew in a moment (`refound`).
                source.lockless_since = min(source.lockless_since, now)
                if now - source.lockless_since < LOCKLESS:
                    continue
            source.lock = WorkerLock.take(self.directory, source.worker)

    def _find(self, worker: str) -> Source | None:
        """A worker by its lock's file; None while the file is only being made."""
        if worker not in self._sources:
            try:
                fd = os.open(lock_path(self.directory, worker), os.O_RDWR)
            except FileNotFoundError:
                return None
            try:
                if not os.fstat(fd).st_size:
                    return None if self._is_held(worker) else self._find_unlocked(worker)
                self._sources[worker] = Source(worker, Meter(fd), None)
            finally:
                os.close(fd)
        return self._sources[worker]

    def _is_held(self, worker: str) -> bool:
        lock = WorkerLock.take(self.directory, worker)
        if lock is None:
            return True
        lock.release(remove=False)
        return False

    def _find_unlocked(self, worker: str) -> Source | None:
        """A worker that left no meter: its lines are counted."""
        lock = WorkerLock.take(self.directory, worker)
        if lock is None:
            return None
        source = self._sources[worker] = Source(worker, lock.meter(), lock)
        paths = self.directory.glob(f"{worker}-*.jsonl")
        source.counts[APPENDED] = sum(Segment.open(path, 0).count_lines() for path in paths)
        return source

    def _open(self, source: Source, numbers: list[int]) -> None:
        known = {segment.number for segment in source.segments}
        for number in numbers:
            path = self.directory / f"{source.worker}-{number:08d}.jsonl"
            if number < source.counts[SEGMENT]:  # stored, and not removed
                path.unlink(missing_ok=True)
            elif number not in known:
                offset = source.counts[OFFSET] if number == source.counts[SEGMENT] else 0
                source.segments.append(Segment.open(path, number, offset))
        newest = numbers[-1] if numbers else None  # none is left: somebody has removed them
        for segment in source.segments:
            segment.sealed = source.lock is not None or segment.number != newest

    def forget_finished(self) -> None:
        """Remove the locks of dead workers whose lines are stored."""
        for source in self.sources:
            if source.lock is not None and not source.segments:
                source.lock.release(remove=True)
                del self._sources[source.worker]

    def reject(self, line: bytes) -> None:
        """Keep a line that cannot become a row where an operator finds it.

        Raises:
            OSError: it cannot be written.
        """
        fd = os.open(self.directory / REJECTED, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line.strip() + b"\n")
        finally:
            os.close(fd)

    def close(self) -> None:
        """Give up the locks of the dead; what they left stays for the next reader."""
        for source in self.sources:
            if source.lock is not None:
                source.lock.release(remove=False)
        self._sources.clear()
