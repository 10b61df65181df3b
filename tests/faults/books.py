"""The ledger of another process, read through a plain database connection, and its audit.

How it fails: an assertion says what is lost, stored twice, or summed up wrongly.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.faults.load import Load

HOUR = 3600
MINUTE = 60

# For each counter of a rollup, what it is over the rows.
_COUNTED = {
    "requests": "COUNT(*)",
    "errors": "SUM(CASE WHEN status_code >= 400 OR error_type <> '' THEN 1 ELSE 0 END)",
    "unpriced": "SUM(CASE WHEN cost IS NULL THEN 1 ELSE 0 END)",
    "estimated": "SUM(CASE WHEN usage_estimated THEN 1 ELSE 0 END)",
    "input_tokens": "SUM(input_tokens)",
    "output_tokens": "SUM(output_tokens)",
    "cache_read_tokens": "SUM(cache_read_tokens)",
    "cache_write_tokens": "SUM(cache_write_tokens)",
    "cache_write_1h_tokens": "SUM(cache_write_1h_tokens)",
    "latency_ms": "SUM(latency_ms)",
    "cost": "SUM(cost)",
}


class Books:
    """Any engine whose driver has the DB-API; a connection for each look."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect

    def ids(self) -> list[str]:
        return [request_id for (request_id,) in self.fetch("SELECT request_id FROM tw_usage")]

    def check(self, *loads: Load) -> None:
        """Every answered request has one row, nothing was invented, and the sums are right."""
        answered = {request_id for load in loads for request_id in load.answered}
        stored = self.ids()
        assert len(stored) == len(set(stored)), "a request is stored twice"
        lost = answered - set(stored)
        assert not lost, f"{len(lost)} of {len(answered)} answered requests have no row"
        assert len(stored) <= sum(load.sent for load in loads), "more rows than requests"
        self.check_sums()

    def check_sums(self) -> None:
        """The rollups of both sizes say what the rows say, by model and app."""
        expected = self._sums(
            "SELECT COALESCE(NULLIF(model_used, ''), model_requested), source_app, "
            + ", ".join(_COUNTED.values())
            + " FROM tw_usage GROUP BY 1, 2"
        )
        columns = ", ".join(f"SUM({name})" for name in _COUNTED)
        for seconds in (HOUR, MINUTE):
            found = self._sums(
                f"SELECT model, source_app, {columns} FROM tw_usage_rollup "
                f"WHERE bucket_seconds = {seconds} GROUP BY 1, 2"
            )
            assert found == expected

    def _sums(self, sql: str) -> dict[tuple[str, str], dict[str, Decimal]]:
        return {
            (model, app): dict(zip(_COUNTED, map(exact, sums), strict=True))
            for model, app, *sums in self.fetch(sql)
        }

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        database = self._connect()
        try:
            cursor = database.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())
        finally:
            database.close()


def exact(value: Any) -> Decimal:
    """A sum to the ledger's ten places: SQLite adds money up in floating point."""
    return round(Decimal(str(value or 0)), 10)


def sqlite_books(path: Path) -> Books:
    return Books(lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else can write to an SQLite file while the block lasts."""
    database = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.execute("ROLLBACK")
    finally:
        database.close()


def missing(books: Books, answered: Collection[str]) -> set[str]:
    return set(answered) - set(books.ids())
