"""Counts that a worker and the process that stores its rows share, without asking each other.

A meter is the first bytes of a lock file, mapped into both processes. Each count has one
writer, so nothing is locked; a reader may see one count a moment older than another. The
pages belong to the system: they survive the death of either process (not a power cut).

How it fails: `OSError` where the file cannot be made or read.
"""

import mmap
import os
from pathlib import Path

APPENDED, WAITING, CLOSED, STORED, SEGMENT, OFFSET = range(6)
"""Lines written to the spool; lines kept in memory; 1 once nothing more is recorded (these are
the worker's). Lines stored; the segment being read, and the offset behind what is stored of it
(these belong to whoever stores)."""
HEALTHY, BEAT, PROCESS, CODE = range(4)
"""Of the storing process: 1 while the database takes what it gets; when that was known, in
seconds since the epoch; its process id; how new its code is."""
_SIZE = 64


class Meter:
    """Eight counters of 64 bits in a file; `close` nothing: the mapping goes with the object."""

    __slots__ = ("_map", "counts")

    def __init__(self, fd: int) -> None:
        # Written, not only made longer: on a full disk a hole could not be filled later, and
        # touching it would end the process.
        if os.fstat(fd).st_size < _SIZE and os.pwrite(fd, bytes(_SIZE), 0) != _SIZE:
            raise OSError("no room for a meter")
        self._map = mmap.mmap(fd, _SIZE)
        self.counts = memoryview(self._map).cast("Q")

    @classmethod
    def read(cls, path: Path) -> "list[int] | None":
        """The counts in a file at this moment; None where there is no meter."""
        try:
            data = path.read_bytes()[:_SIZE]
        except OSError:
            return None
        return list(memoryview(data).cast("Q")) if len(data) == _SIZE else None


def pending(counts: "memoryview[int] | list[int]") -> int:
    """Lines recorded and not yet stored."""
    return max(0, counts[APPENDED] - counts[STORED]) + counts[WAITING]
