"""What the workers of one machine have admitted: counts that each writes and all can read.

Every worker has a file of its own, mapped into all of them. Only its owner writes it, so nothing
is locked and no count can be lost; a reader sees another worker's counts as they were a moment
before, so two workers that admit within the same microseconds can each use up the last place.
For each limit a board holds a ring of half seconds (requests and tokens that were admitted in
each) and the number of requests in flight.

How it fails: `OSError` where a file cannot be made or written. A worker that dies leaves its
board: what it admitted goes on counting until it is a minute old, and its requests in flight
count no more, as nobody holds its lock. The files belong to the machine; nothing in them
outlasts a minute.
"""

import contextlib
import fcntl
import mmap
import os
import time
from pathlib import Path

PER_SECOND = 2
WINDOW = 60 * PER_SECOND
"""Buckets before the present one that count."""
RING = 128
"""Buckets that are kept: some more than count, so that none is being cleared while it does."""

_GENERATION, _ENTRIES = 0, 1
_HEADER = 8
_TAG, _LAST, IN_FLIGHT = 0, 1, 2
REQUESTS, TOKENS = 8, 8 + RING
"""Where an entry's rings begin."""
_ENTRY = 8 + 2 * RING
_WORD = 8
_FIRST_CAPACITY = 32
_CLEAR = memoryview(bytes(RING * _WORD)).cast("q")


class Board:
    """One worker's counts, in a file; in this process's memory alone where ``fd`` is negative."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._known = -1
        self._table: dict[int, int] = {}
        self.alive = True
        """Somebody holds its lock."""
        self.words: memoryview[int] = memoryview(b"")
        self._map_all()

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def _map_all(self) -> None:
        if self._fd < 0:
            return
        size = os.fstat(self._fd).st_size
        self.words = memoryview(mmap.mmap(self._fd, size)).cast("q") if size else memoryview(b"")

    # Reading

    def entry(self, tag: int) -> int:
        """Where the counts of a limit begin; -1 where this worker has none."""
        words = self.words
        if not words:
            self._map_all()
            words = self.words
            if not words:
                return -1
        if words[_GENERATION] != self._known:
            self._read_table()
        return self._table.get(tag, -1)

    def _read_table(self) -> None:
        known, entries = self.words[_GENERATION], self.words[_ENTRIES]
        if len(self.words) < _HEADER + entries * _ENTRY:
            self._map_all()
        words = self.words
        starts = range(_HEADER, min(_HEADER + entries * _ENTRY, len(words) - _ENTRY + 1), _ENTRY)
        self._table = {words[start + _TAG]: start for start in starts}
        self._known = known

    def total(self, entry: int, ring: int, now: int) -> int:
        """What was admitted in the buckets that count at the bucket ``now``."""
        words = self.words
        low, high = now - WINDOW, words[entry + _LAST]
        if high < low or high > now + RING - WINDOW - 2:  # all too old, or of before a reboot
            return 0
        start = entry + ring
        first, last = low % RING, high % RING
        if first <= last:
            return sum(words[start + first : start + last + 1])
        return sum(words[start + first : start + RING]) + sum(words[start : start + last + 1])

    def in_bucket(self, entry: int, ring: int, bucket: int) -> int:
        """What was admitted in one bucket that counts."""
        words = self.words
        last = words[entry + _LAST]
        return words[entry + ring + bucket % RING] if last - RING < bucket <= last else 0

    def is_locked(self) -> bool:
        """Whether its worker lives; not for one's own board."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    # Writing, by the owner alone

    def begin(self, now: int) -> None:
        """Take over what the last owner left: what it admitted counts, its requests are gone."""
        self._grow(_FIRST_CAPACITY)
        words = self.words
        self._read_table()
        if all(not now - WINDOW <= words[at + _LAST] <= now + 1 for at in self._table.values()):
            words[_ENTRIES] = 0
        for at in self._table.values():
            words[at + IN_FLIGHT] = 0
        words[_GENERATION] += 1
        self._read_table()

    def own_entry(self, tag: int, now: int) -> int:
        """Where the counts of a limit begin; made where there is none yet."""
        found = self.entry(tag)
        if found < 0:
            return self._add(tag, now)
        if self.words[found + _LAST] < now:  # from here on nobody else gets its place
            self.add(found, REQUESTS, now, 0)
        return found

    def _add(self, tag: int, now: int) -> int:
        words = self.words
        for old, at in self._table.items():  # of a limit that nobody asks for any more
            if words[at + _LAST] < now - RING and not words[at + IN_FLIGHT]:
                del self._table[old]
                break
        else:
            at = _HEADER + words[_ENTRIES] * _ENTRY
            if at + _ENTRY > len(words):
                self._grow(2 * words[_ENTRIES])
                words = self.words
            words[_ENTRIES] += 1
        words[at + IN_FLIGHT] = 0
        words[at + REQUESTS : at + TOKENS] = _CLEAR
        words[at + TOKENS : at + _ENTRY] = _CLEAR
        words[at + _LAST] = now
        words[at + _TAG] = tag
        words[_GENERATION] += 1
        self._known = words[_GENERATION]
        self._table[tag] = at
        return at

    def admit(self, entry: int, bucket: int) -> None:
        """Count one request more, in its bucket and in flight."""
        words = self.words
        words[entry + REQUESTS + bucket % RING] += 1
        words[entry + IN_FLIGHT] += 1

    def add(self, entry: int, ring: int, bucket: int, amount: int) -> None:
        """Count something in a bucket, unless that is too old to count."""
        words = self.words
        last = words[entry + _LAST]
        if bucket > last:
            gap = bucket - last
            if gap >= RING:
                words[entry + REQUESTS : entry + TOKENS] = _CLEAR
                words[entry + TOKENS : entry + _ENTRY] = _CLEAR
            else:
                for new in range(last + 1, bucket + 1):
                    words[entry + REQUESTS + new % RING] = 0
                    words[entry + TOKENS + new % RING] = 0
            words[entry + _LAST] = bucket
        elif bucket <= last - RING:
            return
        words[entry + ring + bucket % RING] += amount

    def _grow(self, entries: int) -> None:
        """Room for so many entries, written: on a full disk a hole could not be filled later."""
        wanted = (_HEADER + entries * _ENTRY) * _WORD
        if self._fd < 0:
            more = bytes(max(0, wanted - self.words.nbytes))
            self.words = memoryview(bytearray(self.words.tobytes() + more)).cast("q")
            return
        size = os.fstat(self._fd).st_size
        if size < wanted and os.pwrite(self._fd, bytes(wanted - size), size) != wanted - size:
            raise OSError("no room for the counts of rate limits")
        self._map_all()


class Boards:
    """This worker's board and those of the others on this machine."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._claims = _claims(directory)
        self._seen = -1
        self.own, self._own_path = self._claim()
        self.others: list[Board] = []
        self._paths: list[Path] = []

    def _claim(self) -> tuple[Board, Path]:
        number = 0
        while True:
            path = self._directory / f"{number}.board"
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                number += 1
                continue
            board = Board(fd)
            board.begin(int(time.monotonic() * PER_SECOND))
            self._claims[0] = time.time_ns()  # the others look for it
            return board, path

    def look(self) -> list[Board]:
        """The others' boards; a worker that has just begun is noticed at once."""
        if self._claims[0] != self._seen:
            self._seen = self._claims[0]
            self._find()
        return self.others

    def _find(self) -> None:
        for path in sorted(self._directory.glob("*.board")):
            if path != self._own_path and path not in self._paths:
                with contextlib.suppress(FileNotFoundError):
                    self.others.append(Board(os.open(path, os.O_RDWR)))
                    self._paths.append(path)
        self.check()

    def check(self) -> None:
        """See which of the others live; call it once a second."""
        for board in list(self.others):
            board.alive = board.is_locked()


def _claims(directory: Path) -> "memoryview[int]":
    """A number that every new worker changes."""
    fd = os.open(directory / "claims", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(fd).st_size < _WORD and os.pwrite(fd, bytes(_WORD), 0) != _WORD:
            raise OSError("no room for the counts of rate limits")
        return memoryview(mmap.mmap(fd, _WORD)).cast("q")
    finally:
        os.close(fd)
