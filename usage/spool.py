"""The spool: files in which answered requests wait for the database. The files are the queue.

`Spool.append` is the hot path: one ``write`` to this worker's current segment. From then on
the row survives the death of the process (not a power cut: nothing is synced). A segment
that is full is sealed by the writer's thread and removed once it is in the database. Each
worker holds a lock while it lives; segments whose worker is gone are adopted by exactly one
living worker.

How it fails: where the disk refuses a line, the line is kept in a bounded memory (`memory`)
that the writer drains as well; past the bound, lines are counted in `dropped`.

Recording and sealing need no lock between them. The recorder writes and then looks whether
the segment is sealed; the writer seals and then reads to the end. Whichever comes first, the
line is read, or the recorder sees the seal and writes it again into the next segment. A line
written twice is stored once: the ledger keeps one row a request id.
"""

import os
import re
import secrets
import threading
from collections import deque
from pathlib import Path

from usage.segments import Batch, Segment, WorkerLock

SEGMENT_BYTES = 8 * 1024 * 1024
MEMORY_LINES = 10_000
REJECTED = "rejected.jsonl"

_SEGMENT_NAME = re.compile(r"^(\d+-[0-9a-f]{8})-(\d{8,})\.jsonl$")
_LOCK_NAME = re.compile(r"^(\d+-[0-9a-f]{8})\.lock$")


class Orphan:
    """The segments of a dead worker, locked by this one until they are written."""

    def __init__(self, lock: WorkerLock, segments: list[Segment]) -> None:
        self.lock = lock
        self.segments = segments


class Spool:
    """One worker's spool, and the orphans that it has adopted.

    `append` is for the recording thread; everything else belongs to the writer's thread.

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
        self._memory_batch: list[bytes] = []
        self._appended = 0
        self._stored = 0
        self._orphaned_lines = 0
        self._orphans: list[Orphan] = []
        self._sealed: list[Segment] = []
        self._reopening = threading.Lock()
        self._late_lock: WorkerLock | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._lock, self._current = self._begin()

    # The recording side

    def append(self, line: bytes) -> None:
        """Put a line (from `usage.lines.encode`) into the queue; never raises, never waits."""
        self._appended += 1
        while True:
            segment = self._current  # held while writing: its descriptor stays open
            try:
                written = os.write(segment.fd, line)
            except OSError:
                written = 0
            if written != len(line):
                self._remember(line)
                return
            if not segment.sealed:
                return
            if segment is self._current and not self._reopen(segment):
                self._remember(line)
                return

    def _remember(self, line: bytes) -> None:
        if len(self._memory) >= self._memory_lines:
            self.dropped += 1
        else:
            self._memory.append(line)

    def _reopen(self, closed: Segment) -> bool:
        """After `seal`: begin as a new worker, whose lines the next start will adopt."""
        with self._reopening:
            if self._current is closed:
                try:
                    self._late_lock, self._current = self._begin()
                except OSError:
                    return False
        return True

    # The writer's side

    @property
    def depth(self) -> int:
        """Lines recorded and not yet stored, adopted ones included."""
        return max(0, self._appended - self.dropped - self._stored) + self._orphaned_lines

    def segments(self) -> list[Segment]:
        """All that there is to read: orphans, sealed segments, the current one."""
        orphaned = [segment for orphan in self._orphans for segment in orphan.segments]
        current = self._current
        return [*orphaned, *self._sealed, *([] if current.sealed else [current])]

    def advance(self, segment: Segment, batch: Batch) -> None:
        """The batch is stored: count it, and remove a sealed segment that is at its end."""
        segment.offset = batch.end
        if segment.orphan:
            self._orphaned_lines -= len(batch.lines)
        else:
            self._stored += len(batch.lines)
        if segment.sealed and batch.exhausted:
            self._finish(segment)

    def settle(self, appended: int) -> None:
        """Everything was stored and nothing came: set the count right.

        Lines that were cut off or written twice make it drift by one each.
        """
        if self._appended == appended:
            self._stored = appended - self.dropped

    @property
    def appended(self) -> int:
        return self._appended

    def memory(self, limit: int) -> list[bytes]:
        """The oldest lines kept in memory; the same ones until `memory_stored`."""
        while len(self._memory_batch) < limit and self._memory:
            self._memory_batch.append(self._memory.popleft())
        return self._memory_batch

    def memory_stored(self) -> None:
        self._stored += len(self._memory_batch)
        self._memory_batch = []

    def spill(self) -> int:
        """Record the lines in memory once more; how many the disk still does not take."""
        lines = self._memory_batch
        self._memory_batch = []
        while self._memory:
            lines.append(self._memory.popleft())
        self._appended -= len(lines)
        for line in lines:
            self.append(line)
        return len(self._memory)

    def rotate(self, *, idle: bool = False) -> None:
        """Seal the current segment if it is full, or, when idle, if it holds anything."""
        if self._current.sealed:
            return
        size = os.fstat(self._current.fd).st_size
        if size < self._segment_bytes and not (idle and size):
            return
        try:
            fresh = self._open(self._lock.worker, self._current.number + 1)
        except OSError:  # a full disk: the present segment goes on
            return
        full, self._current = self._current, fresh
        full.sealed = True
        self._sealed.append(full)

    def adopt(self) -> int:
        """Take over the segments of workers that are gone; how many lines they hold.

        Raises:
            OSError: the directory or a segment in it cannot be read.
        """
        gained = 0
        mine = {self._lock.worker, *(orphan.lock.worker for orphan in self._orphans)}
        for worker in sorted(self._workers() - mine):
            lock = WorkerLock.take(self.directory, worker)
            if lock is None:
                continue
            segments = [Segment.adopt(path) for path in self._paths(worker)]
            if not segments:
                lock.release(remove=True)
                continue
            self._orphans.append(Orphan(lock, segments))
            gained += sum(segment.count_lines() for segment in segments)
        self._orphaned_lines += gained
        return gained

    def reject(self, line: bytes) -> None:
        """Keep a line that cannot become a row where an operator finds it.

        Raises:
            OSError: it cannot be written.
        """
        path = self.directory / REJECTED
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line.strip() + b"\n")
        finally:
            os.close(fd)

    def seal(self) -> None:
        """Stop recording here; a line that still comes goes to a spool for the next start."""
        if not self._current.sealed:
            self._current.sealed = True
            self._sealed.append(self._current)

    def close(self) -> None:
        """Give up the locks. What is not stored stays on disk for the next start."""
        self.seal()
        for orphan in self._orphans:
            orphan.lock.release(remove=False)
        for segment in self._sealed:
            if segment.at_end():
                segment.remove()
        self._lock.release(remove=all(segment.removed for segment in self._sealed))
        self._orphans, self._sealed = [], []

    def _finish(self, segment: Segment) -> None:
        segment.remove()
        if segment in self._sealed:
            self._sealed.remove(segment)
        for orphan in self._orphans:
            if segment in orphan.segments:
                orphan.segments.remove(segment)
                if not orphan.segments:
                    orphan.lock.release(remove=True)
        self._orphans = [orphan for orphan in self._orphans if orphan.segments]
        if not self._orphans:
            self._orphaned_lines = 0

    def _begin(self) -> tuple[WorkerLock, Segment]:
        """A new worker: its lock first, so that nobody adopts its segments."""
        lock = None
        while lock is None:  # another worker may look into a lock that is just being made
            lock = WorkerLock.take(self.directory, f"{os.getpid()}-{secrets.token_hex(4)}")
        return lock, self._open(lock.worker, 1)

    def _open(self, worker: str, number: int) -> Segment:
        return Segment.create(self.directory / f"{worker}-{number:08d}.jsonl", worker, number)

    def _workers(self) -> set[str]:
        names = (_LOCK_NAME.match(name) or _SEGMENT_NAME.match(name) for name in self._names())
        return {match[1] for match in names if match}

    def _paths(self, worker: str) -> list[Path]:
        numbered = []
        for name in self._names():
            match = _SEGMENT_NAME.match(name)
            if match and match[1] == worker:
                numbered.append((int(match[2]), self.directory / name))
        return [path for _, path in sorted(numbered)]

    def _names(self) -> list[str]:
        return os.listdir(self.directory)
