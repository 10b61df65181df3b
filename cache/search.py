"""Finding the nearest stored vectors: in memory, or on Oracle by the database.

Both belong to the embedding thread. How they fail: `DatabaseError` passes to the tier, for
which it is a miss.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from cache import semantic_sql
from cache.embedders import Vector
from cache.index import Neighbour, Row, VectorIndex
from cache.semantic_sql import NewVector

REFRESH_SECONDS = 1.0
"""How long a partition in memory is used before what other workers added is read."""


class Search(Protocol):
    def nearest(
        self, partition: str, vector: Vector, count: int, within: float, now: float
    ) -> list[Neighbour]:
        """At most ``count`` entries within a cosine distance, the nearest first."""

    def added(self, rows: Sequence[NewVector]) -> None:
        """These rows were stored by this worker."""

    def removed(self, entry_ids: Sequence[str]) -> None:
        """The vectors of these entries were deleted by this worker."""


class MemorySearch:
    """The bounded copy in memory, brought up to date by the rows' ids.

    A row that another worker deleted is still found here until it expires: its entry is gone,
    and whoever finds that forgets it. A row that another transaction committed late, under a
    lower id than was read, is missed by this worker.
    """

    def __init__(self, embedder_id: str, index: VectorIndex) -> None:
        self._embedder_id = embedder_id
        self.index = index

    def nearest(
        self, partition: str, vector: Vector, count: int, within: float, now: float
    ) -> list[Neighbour]:
        self._refresh(partition, now)
        found = self.index.get(partition)
        return found.nearest(vector, count, within, now) if found is not None else []

    def added(self, rows: Sequence[NewVector]) -> None:
        for row in rows:
            if self.index.get(row.partition) is not None:
                expires = row.expires_at.timestamp()
                self.index.put(row.partition, Row(row.entry_id, row.vector, expires, row.prompt))

    def removed(self, entry_ids: Sequence[str]) -> None:
        for entry_id in entry_ids:
            self.index.remove(entry_id)

    def _refresh(self, key: str, now: float) -> None:
        partition = self.index.open(key)
        if now - partition.read_at < REFRESH_SECONDS:
            return
        rows = semantic_sql.newer(
            key,
            self._embedder_id,
            partition.newest_id,
            datetime.fromtimestamp(now, UTC),
            self.index.most_rows,
        )
        for row in rows:
            stored = Row(row.entry_id, row.vector, row.expires_at.timestamp(), row.prompt)
            self.index.put(key, stored)
        partition.read_at = now
        if rows:
            partition.newest_id = rows[-1].id


class OracleSearch:
    """Oracle's own vector search; nothing is kept in memory."""

    def __init__(self, embedder_id: str) -> None:
        self._embedder_id = embedder_id

    def nearest(
        self, partition: str, vector: Vector, count: int, within: float, now: float
    ) -> list[Neighbour]:
        moment = datetime.fromtimestamp(now, UTC)
        found = semantic_sql.nearest(partition, self._embedder_id, vector, moment, count)
        return [neighbour for neighbour in found if neighbour.distance <= within]

    def added(self, rows: Sequence[NewVector]) -> None:
        pass

    def removed(self, entry_ids: Sequence[str]) -> None:
        pass
