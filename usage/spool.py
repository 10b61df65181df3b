"""The spool: files in which answered requests wait for the database. The files are the queue.

`Spool.append` is the hot path: one ``write`` to this worker's current segment. From then on
the row survives the death of the process (not a power cut: nothing is synced). Another
process reads the segments, stores the rows and removes what is stored (`usage.backlog`).
Each worker holds a lock while it lives; what a dead one left is stored as well.

How it fails: where the disk refuses a line, the line is kept in a bounded memory until it
can be written (`spill`) or stored by other means (`take_memory`); past the bound, lines are
counted in `dropped`.

Recording and reading need no lock between them. Once a segment has a successor nothing is
written to it any more: the recorder marks it before it makes the successor, and looks at the
mark after each write. A line that was too late is written again into the successor; a line
written twice is stored once, for the ledger keeps one row a request id.
"""

import logging
import os
import secrets
import threading
from collections import deque
from pathlib import Path

from usage.meters import APPENDED, CLOSED, OFFSET, SEGMENT, WAITING, Meter, pending
from usage.segments import Segment, WorkerLock

SEGMENT_BYTES = 8 * 1024 * 1024
MEMORY_LINES = 10_000

logger = logging.getLogger("tokenwatch.ledger")


class Spool:
    """One worker's spool. Every method may be called from any thread.

    Raises:
        OSError: the directory cannot be made or written when the spool is opened.
    """

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        memory_lines: int = MEMORY_LINES,
    ) -> None:
        self.directory = directory
        self.dropped = 0
        """Lines lost because neither the disk nor the memory could take them."""
        self._segment_bytes = segment_bytes
        self._memory: deque[bytes] = deque()
        self._memory_lines = memory_lines
        self._changing = threading.Lock()
        self._written = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._lock, self._meter, self._current = self._begin()
        self._counts = self._meter.counts

    def append(self, line: bytes) -> None:
        """Put a line (from `usage.lines.encode`) into the queue; never raises, never waits."""
        if not self._write(line):
            self._remember(line)

    def _write(self, line: bytes) -> bool:
        while True:
            segment = self._current  # held while writing: its descriptor stays open
            try:
                written = os.write(segment.fd, line)
            except OSError:
                return False
            if written != len(line):
                return False
            if not segment.sealed:
                break
            if not self._replace(segment):
                return False
        self._counts[APPENDED] += 1
        self._written += written
        if self._written >= self._segment_bytes:
            self._rotate(segment)
        return True

    def _rotate(self, full: Segment) -> None:
        """Begin the next segment; where the disk has no room for it, this one goes on."""
        with self._changing:
            if self._current is not full or full.sealed:
                return
            full.sealed = True
            self._written = 0
            try:
                self._current = self._open(self._lock.worker, full.number + 1)
            except OSError:
                full.sealed = False

    def _replace(self, sealed: Segment) -> bool:
        """Wait for the successor of a segment; after `close`, begin as a new worker, whose lines
        are stored like a dead one's."""
        with self._changing:
            if self._current is sealed and sealed.sealed:  # its successor may not have come about
                try:
                    self._lock, self._meter, self._current = self._begin()
                except OSError:
                    return False
                self._counts = self._meter.counts
        return True

    @property
    def worker(self) -> str:
        """The name under which this worker's files stand."""
        return self._lock.worker

    @property
    def pending(self) -> int:
        """Lines recorded and not yet stored."""
        return pending(self._counts)

    # Where the disk is full

    @property
    def in_memory(self) -> int:
        """Lines that the disk did not take."""
        return len(self._memory)

    def _remember(self, line: bytes) -> None:
        if len(self._memory) >= self._memory_lines:
            self.dropped += 1
        else:
            self._memory.append(line)
        self._counts[WAITING] = len(self._memory)

    def spill(self) -> int:
        """Record the lines in memory once more; how many the disk still does not take."""
        while self._memory:
            line = self._memory.popleft()
            if not self._write(line):
                self._memory.appendleft(line)
                break
        self._counts[WAITING] = len(self._memory)
        return len(self._memory)

    def take_memory(self, limit: int) -> list[bytes]:
        """Take the oldest lines out of the memory, to be stored or to be put back."""
        taken: list[bytes] = []
        while self._memory and len(taken) < limit:
            taken.append(self._memory.popleft())
        self._counts[WAITING] = len(self._memory)
        return taken

    def put_back(self, lines: list[bytes]) -> None:
        """Return lines that were taken and could not be stored."""
        self._memory.extendleft(reversed(lines))
        self._counts[WAITING] = len(self._memory)

    # Where somebody removed the files

    def refound(self) -> None:
        """Begin anew where this worker's files were removed: nobody would find what is written
        to them. What they held and was not stored is recorded again."""
        with self._changing:
            lost, lock, counts = self._current, self._lock, self._counts
            if lost.sealed or (lock.is_in_place() and lost.is_in_place()):
                return
            lost.sealed = True
            try:
                self.directory.mkdir(parents=True, exist_ok=True)
                self._lock, self._meter, self._current = self._begin()
            except OSError:
                lost.sealed = False
                return
            self._counts = self._meter.counts
        logger.error("The spool's files in %s were removed; new ones are made", self.directory)
        if counts[SEGMENT] == lost.number:
            lost.offset = counts[OFFSET]
        while (batch := lost.read(MEMORY_LINES)).lines:
            for line in batch.lines:
                self.append(b"\n%b\n" % line)
            lost.offset = batch.end
        lock.release(remove=False)

    # The end

    def close(self) -> None:
        """Give up the lock. What is not stored stays on disk, as a dead worker's would; a line
        that still comes is recorded under a new name."""
        with self._changing:
            self._current.sealed = True
            self._counts[CLOSED] = 1
            self._lock.release(remove=False)

    def _begin(self) -> tuple[WorkerLock, Meter, Segment]:
        """A new worker: its lock first, so that nobody takes its segments for a dead one's."""
        lock = None
        while lock is None:  # somebody may look into a lock that is just being made
            lock = WorkerLock.take(self.directory, f"{os.getpid()}-{secrets.token_hex(4)}")
        self._written = 0
        try:
            return lock, lock.meter(), self._open(lock.worker, 1)
        except OSError:  # it may be tried again and again: neither file nor descriptor stays
            lock.release(remove=True)
            raise

    def _open(self, worker: str, number: int) -> Segment:
        return Segment.create(self.directory / f"{worker}-{number:08d}.jsonl", number)
