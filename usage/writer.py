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
from dataclasses import dataclass
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
from usage.statements import Statements, SumStatements, placeholders, several_rows
from usage.timings import TimingDelta, timing_deltas

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
                insert_rows(new)
                add_rollups(deltas(new), timing_deltas(new))
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


def insert_rows(rows: Iterable[UsageRow]) -> None:
    """Insert rows alone, in the caller's transaction; `add_rollups` belongs to it."""
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


def add_rollups(sums: Sequence[Delta], timings: Sequence[TimingDelta]) -> None:
    """Add to the rollups what rows make of them, in the transaction that inserts the rows."""
    adapt, sql = _Adapter(connection), Statements.of(connection)
    _add_sums(sql.rollups, adapt.rollups(sums))
    _add_sums(sql.timings, adapt.timings(timings))


@dataclass(frozen=True, slots=True)
class _Change:
    """What a batch adds to one row of a table of sums, as the driver's parameters."""

    key: str
    bucket: list[Any]
    """The columns that say which row it is, without the key."""
    sums: list[Any]


def _add_sums(sql: SumStatements, changes: Sequence[_Change]) -> None:
    """Add to the rows that exist and insert the others.

    Another worker may insert the same row at the same time: then look again. Both loops go
    through the keys in their order, so two workers cannot wait for each other.
    """
    for _ in range(ROLLUP_ATTEMPTS):
        known = _existing(sql.select, [change.key for change in changes])
        missing = [[c.key, *c.bucket, *c.sums] for c in changes if c.key not in known]
        if not missing:
            break
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(sql.insert, missing)
        except IntegrityError:
            continue
        break
    else:
        raise DatabaseError("other writers keep inserting the same rollups")
    present = [[*change.sums, change.key] for change in changes if change.key in known]
    if present:
        with connection.cursor() as cursor:
            cursor.executemany(sql.update, present)
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

    def rollups(self, found: Iterable[Delta]) -> list[_Change]:
        """In the order of their keys, as `deltas` gives them."""
        changes = []
        for delta in found:
            bucket = delta.bucket
            place = [self.moment(bucket.start), bucket.seconds]
            names = [bucket.model, bucket.source_app, bucket.feature_tag]
            changes.append(_Change(delta.key, [*place, *names], self._sums(delta)))
        return changes

    def timings(self, found: Iterable[TimingDelta]) -> list[_Change]:
        """In the order of their keys."""
        changes = []
        for delta in found:
            bucket = delta.bucket
            place = [self.moment(bucket.start), bucket.seconds]
            names = [bucket.model, bucket.source_app, bucket.kind]
            changes.append(_Change(bucket.key(), [*place, *names], delta.counts))
        return sorted(changes, key=lambda change: change.key)

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
