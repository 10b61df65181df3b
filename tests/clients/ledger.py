"""What a running TokenWatch has stored, read from its database file by a connection of ours."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.clients.calls import Accounted
from tests.faults.waiting import until

PATIENCE = 20.0

Row = dict[str, Any]


class StoredRows:
    """The rows of one database file, found by the session or the app of their requests."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, value: str, column: str = "session_id") -> list[Row]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            query = f"SELECT * FROM tw_usage WHERE {column} = ? ORDER BY id"
            return [dict(row) for row in database.execute(query, (value,))]

    def await_of(self, value: str, count: int, column: str = "session_id") -> list[Row]:
        """Exactly so many rows, as soon as they are stored."""
        until(
            lambda: len(self.of(value, column)) >= count,
            lambda: f"{len(self.of(value, column))} of {count} rows stored",
            PATIENCE,
        )
        rows = self.of(value, column)
        assert len(rows) == count
        return rows


def cost_of(row: Row) -> Decimal | None:
    """The cost as it is stored: exact where it is text, to ten places where SQLite made it
    a floating-point number."""
    return None if row["cost"] is None else round(Decimal(str(row["cost"])), 10)


def tokens_of(row: Row) -> Accounted:
    """A row in the terms in which a test says what it expects."""
    return Accounted(
        model=row["model_used"],
        cost=cost_of(row),
        input=row["input_tokens"],
        output=row["output_tokens"],
        cache_read=row["cache_read_tokens"],
        cache_write=row["cache_write_tokens"],
        cache_write_1h=row["cache_write_1h_tokens"],
        reasoning=row["reasoning_tokens"],
        estimated=bool(row["usage_estimated"]),
    )
