"""Batches of rows into the database: one transaction for the rows and their rollups.

Raw ``executemany`` through Django's cursor, because making model instances costs several
times more; identifiers are quoted and values adapted by the connection, so the same code
serves SQLite, PostgreSQL and Oracle. The number of statements does not grow with the batch.

How it fails: nothing of a batch is stored unless all of it is. `RowsRefusedError` says that the
database answered and will not have these rows; `DatabaseUnavailableError` that the outcome is
unknown or the batch may do better later. After either, insert again with ``check=True``:
rows that are stored already are left out then.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any

from django.db import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    connection,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from usage.models import UsageRecord
from usage.rollups import COUNTERS, MONEY_COLUMNS, Delta, deltas
from usage.rows import UsageRow
from usage.statements import Statements, placeholders, several_rows

BATCH = 500
"""Rows a transaction. Oracle takes no more than 1,000 values in one IN list."""
SQLITE_SIZES = (100, 10, 1)
"""Rows a statement, largest first: few texts, so that the driver keeps them all prepared."""
ROLLUP_ATTEMPTS = 5

alongside: list[Callable[[Sequence[UsageRow]], None]] = []
"""What other domains write in the transaction that stores rows, so that both agree at every
commit. Called with the rows that were not stored before."""

ROW_FIELDS = [f.name for f in UsageRecord._meta.concrete_fields if not f.primary_key]
_CREATED_AT = ROW_FIELDS.index("created_at")
_MONEY = [ROW_FIELDS.index(name) for name in MONEY_COLUMNS]

_values_of = attrgetter(*ROW_FIELDS)

_REFUSED = (DataError, IntegrityError, ValueError, TypeError, OverflowError, ArithmeticError)
_ORACLE_REFUSALS = ("ORA-12899", "ORA-01426", "ORA-01722", "ORA-01461", "ORA-01830")
"""Content errors that Oracle's driver reports as plain `DatabaseError`."""


class RowsRefusedError(Exception):
    """The database answered, and one or more of the rows cannot be stored as they are."""


class DatabaseUnavailableError(Exception):
    """The database cannot be reached, broke off, or cannot take any row at present."""


def insert(rows: Sequence[UsageRow], *, check: bool) -> int:
    """Store rows (at most `BATCH`, as `usage.lines.decode` returns them) and their rollups.

    With ``check``, rows whose request id is stored already, or came before in ``rows``, are
    left out. Returns how many were stored.

    Raises:
        RowsRefusedError: nothing was stored.
        DatabaseUnavailableError: nothing was stored, or all.
    """
    try:
        with transaction.atomic():
            new = _unknown(rows) if check else rows
            if new:
                _insert_rows(new)
                _add_rollups(deltas(new))
                for write in alongside:
                    write(new)
            return len(new)
    except _REFUSED as exc:
        raise RowsRefusedError(str(exc)) from exc
    except Error as exc:
        if isinstance(exc, DatabaseError) and str(exc).startswith(_ORACLE_REFUSALS):
            raise RowsRefusedError(str(exc)) from exc
        connection.close()
        raise DatabaseUnavailableError(_one_line(exc)) from exc


def probe() -> None:
    """Ask the database for a sign of life.

    Raises:
        DatabaseUnavailableError: there was none.
    """
    try:
        connection.ensure_connection()
        usable = connection.is_usable()
    except Error as exc:
        connection.close()
        raise DatabaseUnavailableError(_one_line(exc)) from exc
    if not usable:
        connection.close()
        raise DatabaseUnavailableError("the connection is dead")


def _one_line(exc: Error) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())


def _unknown(rows: Sequence[UsageRow]) -> list[UsageRow]:
    """The rows whose request ids are not in the table, each once."""
    by_id = {row.request_id: row for row in rows}
    known = _existing(Statements.of(connection).select_rows, list(by_id))
    return [row for request_id, row in by_id.items() if request_id not in known]


def _existing(sql: str, keys: Sequence[str]) -> set[str]:
    found: set[str] = set()
    with connection.cursor() as cursor:
        for start in range(0, len(keys), BATCH):
            chunk = keys[start : start + BATCH]
            cursor.execute(sql % placeholders(len(chunk)), chunk)
            found.update(key for (key,) in cursor.fetchall())
    return found


def _insert_rows(rows: Iterable[UsageRow]) -> None:
    adapt = _Adapter(connection)
    records = [adapt.record(row) for row in rows]
    if connection.vendor == "sqlite":
        _insert_into_sqlite(records)
        return
    with connection.cursor() as cursor:
        cursor.executemany(Statements.of(connection).insert_row, records)


def _insert_into_sqlite(records: Sequence[list[Any]]) -> None:
    """Many rows a statement, past Django's cursor, which would rewrite the long text each time.

    ``executemany`` lets the interpreter's lock go and takes it again for every row. With the
    event loop on the same core that is two thread switches a row: more than the row's own cost.
    """
    with connection.wrap_database_errors:
        cursor = connection.connection.cursor()
        insert_row = Statements.of(connection).insert_row
        start = 0
        for size in SQLITE_SIZES:
            statement = several_rows(insert_row, size)
            while len(records) - start >= size:
                cursor.execute(statement, list(chain(*records[start : start + size])))
                start += size


def _add_rollups(changes: Sequence[Delta]) -> None:
    """Add to the rollups that exist and insert the others.

    Another worker may insert the same rollup at the same time: then look again. Both loops
    go through the keys in their order, so two workers cannot wait for each other.
    """
    sql = Statements.of(connection)
    adapt = _Adapter(connection)
    for _ in range(ROLLUP_ATTEMPTS):
        known = _existing(sql.select_rollups, [delta.key for delta in changes])
        missing = [adapt.rollup(delta) for delta in changes if delta.key not in known]
        if not missing:
            break
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(sql.insert_rollup, missing)
        except IntegrityError:
            continue
        break
    else:
        raise DatabaseError("other writers keep inserting the same rollups")
    present = [adapt.counters(delta) for delta in changes if delta.key in known]
    if present:
        with connection.cursor() as cursor:
            cursor.executemany(sql.update_rollup, present)
            if cursor.rowcount != len(present):
                raise DatabaseError("a rollup was removed while it was added to")


@lru_cache(maxsize=256)
def _text_of(seconds: float) -> str:
    return str(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None))


class _Adapter:
    """Rows and rollups as the parameters that this engine's driver wants."""

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self._ops = wrapper.ops
        self._sqlite = wrapper.vendor == "sqlite"

    def record(self, row: UsageRow) -> list[Any]:
        values = list(_values_of(row))
        values[_CREATED_AT] = self.moment(row.created_at)
        for index in _MONEY:
            values[index] = self.money(values[index])
        return values

    def rollup(self, delta: Delta) -> list[Any]:
        bucket = delta.bucket
        identity = [
            delta.key,
            self.moment(bucket.start),
            bucket.seconds,
            bucket.model,
            bucket.source_app,
            bucket.feature_tag,
        ]
        return identity + self._sums(delta)

    def counters(self, delta: Delta) -> list[Any]:
        return [*self._sums(delta), delta.key]

    def _sums(self, delta: Delta) -> list[Any]:
        values = [getattr(delta.sums, name) for name in COUNTERS]
        return [self.money(value) if isinstance(value, Decimal) else value for value in values]

    def moment(self, seconds: float) -> Any:
        if not self._sqlite:
            return self._ops.adapt_datetimefield_value(datetime.fromtimestamp(seconds, UTC))
        # What Django makes of it, in a fraction of the time: most rows are of the same second.
        fraction, whole = math.modf(seconds)
        micros = round(fraction * 1_000_000)
        if micros == 1_000_000:
            whole, micros = whole + 1, 0
        return _text_of(whole) + (f".{micros:06d}" if micros else "")

    def money(self, value: str | Decimal | None) -> Any:
        if value is None or (self._sqlite and isinstance(value, str)):
            return value  # a row's text has its ten places already
        return self._ops.adapt_decimalfield_value(Decimal(value), 20, 10)
