"""The nearest vectors in memory, for engines that do not search: a bounded copy of the table.

A matrix for each partition; the nearest are found by one matrix-vector product. It belongs to
one thread (the embedding thread) and to one process. How it fails: it cannot lose anything,
as the table has all of it; what does not fit is left out, the partitions not used for the
longest time first, and a partition that is too large by itself keeps its newest rows.

Large partitions are searched in two steps. For unit vectors split into head and tail,
``cos = a·b <= a1·b1 + |a2| |b2|`` (Cauchy-Schwarz); a row whose bound is too low cannot be
within the distance asked for, so the answer is exact though most of the matrix is not read.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cache.embedders import Vector

REPORTED_WITHIN = 0.15
"""Up to this distance a candidate that is not served is looked for and reported, for review."""
HEAD = 96
"""Dimensions of the first step."""
TWO_STEPS_FROM = 4096
"""Rows from which two steps are faster than one."""
ROW_OVERHEAD = 200
PARTITION_OVERHEAD = 2_000
_FEWEST_ROWS = 4


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry near a text, with its cosine distance (0 equal, 1 unrelated)."""

    entry_id: str
    distance: float
    prompt: str


@dataclass(frozen=True, slots=True)
class Row:
    """``expires_at`` is in seconds since the epoch."""

    entry_id: str
    vector: Vector
    expires_at: float
    prompt: str


class Partition:
    """The vectors of one partition, in no order."""

    def __init__(self, dimensions: int) -> None:
        self.newest_id = 0
        """The largest id of the table that was read."""
        self.read_at = 0.0
        self.used = 0
        self._head = np.empty((0, HEAD), np.float32)
        self._tail = np.empty((0, dimensions - HEAD), np.float32)
        self._tail_norm = np.empty(0, np.float32)
        self._expires = np.empty(0, np.float64)
        self._rows: list[Row | None] = []
        self._place: dict[str, int] = {}
        self._text_bytes = 0
        self._oldest = 0

    def __len__(self) -> int:
        return self.used

    @property
    def bytes(self) -> int:
        arrays = (self._head, self._tail, self._tail_norm, self._expires)
        known = sum(array.nbytes for array in arrays) + self._text_bytes
        return known + PARTITION_OVERHEAD + ROW_OVERHEAD * self.used

    def entry_ids(self) -> Iterable[str]:
        return self._place

    def put(self, row: Row, most_rows: int) -> str | None:
        """Add a row, or replace that of the same entry; past ``most_rows``, the oldest.

        Returns the entry that gave up its place.
        """
        gone = None
        place = self._place.get(row.entry_id)
        if place is None:
            if self.used >= max(most_rows, 1):
                place = self._oldest % self.used
                self._oldest = place + 1
                old = self._rows[place]
                gone = old.entry_id if old is not None else None
            else:
                place = self.used
                self._reserve(place + 1, most_rows)
                self._rows.append(None)
                self.used += 1
        self._set(place, row)
        return gone

    def remove(self, entry_id: str) -> bool:
        place = self._place.get(entry_id)
        if place is None:
            return False
        last = self.used - 1
        moved = self._rows[last]
        self._forget(place)
        if place != last and moved is not None:
            for values in (self._head, self._tail, self._tail_norm, self._expires):
                values[place] = values[last]
            self._rows[place] = moved
            self._place[moved.entry_id] = place
        self._rows.pop()
        self.used = last
        return True

    def nearest(self, vector: Vector, count: int, within: float, now: float) -> list[Neighbour]:
        """The nearest rows of at most this cosine distance that have not expired."""
        least = 1.0 - within
        if self.used < TWO_STEPS_FROM:
            places = np.arange(self.used)
        else:
            tail_norm = float(np.linalg.norm(vector[HEAD:]))
            bound = self._head[: self.used] @ vector[:HEAD]
            bound += self._tail_norm[: self.used] * np.float32(tail_norm)
            places = np.flatnonzero(bound >= least - 1e-4)
        places = places[self._expires[places] > now]
        if len(places) == self.used:
            scores = self._head[: self.used] @ vector[:HEAD]
            scores += self._tail[: self.used] @ vector[HEAD:]
        else:
            scores = self._head[places] @ vector[:HEAD] + self._tail[places] @ vector[HEAD:]
        near = np.flatnonzero(scores >= least)
        best = near[np.argsort(-scores[near], kind="stable")[:count]]
        return [self._neighbour(int(places[i]), float(scores[i])) for i in best]

    def _neighbour(self, place: int, score: float) -> Neighbour:
        row = self._rows[place]
        assert row is not None
        return Neighbour(row.entry_id, max(1.0 - score, 0.0), row.prompt)

    def _set(self, place: int, row: Row) -> None:
        self._forget(place)
        self._head[place] = row.vector[:HEAD]
        self._tail[place] = row.vector[HEAD:]
        self._tail_norm[place] = np.linalg.norm(row.vector[HEAD:])
        self._expires[place] = row.expires_at
        self._rows[place] = Row(row.entry_id, _NO_VECTOR, row.expires_at, row.prompt)
        self._place[row.entry_id] = place
        self._text_bytes += len(row.prompt) * 2

    def _forget(self, place: int) -> None:
        row = self._rows[place]
        if row is not None:
            self._place.pop(row.entry_id, None)
            self._text_bytes -= len(row.prompt) * 2
            self._rows[place] = None

    def _reserve(self, rows: int, most_rows: int) -> None:
        have = len(self._expires)
        if rows <= have:
            return
        size = max(min(have * 2, max(most_rows, rows)), rows, _FEWEST_ROWS)
        for name in ("_head", "_tail", "_tail_norm", "_expires"):
            old = getattr(self, name)
            new = np.empty((size, *old.shape[1:]), old.dtype)
            new[:have] = old
            setattr(self, name, new)


_NO_VECTOR: Vector = np.empty(0, np.float32)
"""A row's vector is in the matrix; it is not kept twice."""


class VectorIndex:
    """All partitions of one embedder that are in memory."""

    def __init__(self, dimensions: int, most_bytes: int) -> None:
        self.dimensions = dimensions
        self.most_bytes = most_bytes
        self._partitions: OrderedDict[str, Partition] = OrderedDict()
        self._home: dict[str, str] = {}
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What the partitions take, about."""
        return self._bytes

    def __len__(self) -> int:
        return sum(map(len, self._partitions.values()))

    @property
    def most_rows(self) -> int:
        """Rows that one partition can hold, with prompts of usual length."""
        return max(self.most_bytes // (self.dimensions * 4 + ROW_OVERHEAD + 200), 1)

    def get(self, key: str) -> Partition | None:
        """The partition if it is in memory; it counts as used."""
        partition = self._partitions.get(key)
        if partition is not None:
            self._partitions.move_to_end(key)
        return partition

    def open(self, key: str) -> Partition:
        partition = self.get(key)
        if partition is None:
            partition = self._partitions[key] = Partition(self.dimensions)
            self._bytes += partition.bytes
            self._evict(key)
        return partition

    def put(self, key: str, row: Row) -> None:
        """Add a row to a partition that is in memory, or opened with it."""
        partition = self.open(key)
        before = partition.bytes
        if gone := partition.put(row, self.most_rows):
            self._home.pop(gone, None)
        self._home[row.entry_id] = key
        self._bytes += partition.bytes - before
        self._evict(key)

    def remove(self, entry_id: str) -> bool:
        key = self._home.pop(entry_id, None)
        partition = self._partitions.get(key) if key is not None else None
        if partition is None:
            return False
        before = partition.bytes
        removed = partition.remove(entry_id)
        self._bytes += partition.bytes - before
        return removed

    def _evict(self, keep: str) -> None:
        """Drop the partitions that were not used for the longest time, until the rest fits."""
        while self._bytes > self.most_bytes and len(self._partitions) > 1:
            key = next(iter(self._partitions))
            if key == keep:  # the one in use was moved to the end, so it is the only one left
                break
            dropped = self._partitions.pop(key)
            self._bytes -= dropped.bytes
            for entry_id in dropped.entry_ids():
                self._home.pop(entry_id, None)
