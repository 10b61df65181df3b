"""The spool's files: one segment of lines, and the lock that says its worker lives.

Segments are appended to by one process and read by one process. Errors of the file system
are raised as `OSError`; `usage.spool` decides what they mean.
"""

import fcntl
import io
import os
from dataclasses import dataclass
from pathlib import Path

from usage.meters import Meter

READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines read from a segment, without their newlines; blank ones are left out."""

    lines: list[bytes]
    end: int
    """Offset behind the last line of the batch."""
    exhausted: bool
    """No further whole line was there when it was read."""


class Segment:
    """One file of lines. Reading starts at `offset`, which moves when a batch is stored.

    The descriptor is closed when the last reference goes, and nowhere else: a thread that
    is about to write holds one, so the number cannot meanwhile become another file or socket.
    """

    def __init__(self, path: Path, fd: int, number: int) -> None:
        self.path = path
        self.fd = fd
        self.number = number
        self.sealed = False
        """Nothing more is written to it."""
        self.offset = 0

    def __del__(self) -> None:
        os.close(self.fd)

    @classmethod
    def create(cls, path: Path, number: int) -> "Segment":
        """Begin a file, to append to it."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        return cls(path, os.open(path, flags, 0o600), number)

    @classmethod
    def open(cls, path: Path, number: int, offset: int = 0) -> "Segment":
        """Open a worker's file for reading, from ``offset`` on."""
        segment = cls(path, os.open(path, os.O_RDONLY), number)
        if offset <= os.fstat(segment.fd).st_size:  # else it is another file's, after a power cut
            segment.offset = offset
        return segment

    def read(self, limit: int) -> Batch:
        """Up to ``limit`` whole lines from `offset` on.

        A last line without newline is left for later, as its writer may be at work on it; in
        a sealed segment it is returned as it is, because nobody will finish it.
        """
        data, at_end = self._load(limit)
        lines: list[bytes] = []
        end = self.offset
        for line in io.BytesIO(data):
            whole = line.endswith(b"\n") or (at_end and self.sealed)
            if not whole:
                return Batch(lines, end, at_end)
            text = line.strip()
            if text:
                if len(lines) == limit:
                    return Batch(lines, end, False)
                lines.append(text)
            end += len(line)
        return Batch(lines, end, at_end)

    def _load(self, limit: int) -> tuple[bytes, bool]:
        """Enough bytes for ``limit`` lines, or all there are; whether the end was met."""
        data = bytearray()
        while True:
            block = os.pread(self.fd, READ_BYTES, self.offset + len(data))
            data += block
            if len(block) < READ_BYTES:
                return bytes(data), True
            # a line has a newline before and one after it
            if data.count(b"\n") > 2 * limit:
                return bytes(data), False

    def count_lines(self) -> int:
        """How many lines that are not blank the file holds."""
        with open(self.path, "rb") as file:
            return sum(1 for line in file if not line.isspace())

    def is_in_place(self) -> bool:
        """Whether the file still stands under its name."""
        return _is_in_place(self.fd, self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _is_in_place(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def lock_path(directory: Path, worker: str) -> Path:
    return directory / f"{worker}.lock"


class WorkerLock:
    """An flock on ``<worker>.lock``: held by the worker while it lives, then by who stores what
    it left."""

    def __init__(self, path: Path, fd: int, worker: str) -> None:
        self.path = path
        self.worker = worker
        self._fd = fd

    @classmethod
    def take(cls, directory: Path, worker: str) -> "WorkerLock | None":
        """Take the lock without waiting; None where another process holds it."""
        path = lock_path(directory, worker)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before may have removed the file while this one waited to open it;
            # a lock on a removed file keeps nobody out.
            held = os.path.samestat(os.fstat(fd), os.stat(path))
        except (BlockingIOError, FileNotFoundError):
            held = False
        except OSError:
            os.close(fd)
            raise
        if not held:
            os.close(fd)
            return None
        return cls(path, fd, worker)

    def is_in_place(self) -> bool:
        """Whether the file still stands under its name: a lock on a removed one keeps nobody
        out."""
        return _is_in_place(self._fd, self.path)

    def meter(self) -> Meter:
        """The counts that are kept in the lock's file.

        Raises:
            OSError: there is no room for them.
        """
        return Meter(self._fd)

    def release(self, *, remove: bool) -> None:
        """Give the lock up, once; with ``remove`` its file goes too (no segments are left)."""
        if self._fd < 0:  # the number may be another file's by now
            return
        if remove:
            self.path.unlink(missing_ok=True)
        fcntl.flock(self._fd, fcntl.LOCK_UN)  # a meter keeps the file open
        os.close(self._fd)
        self._fd = -1
