"""The SQL of the ledger's writer, from the models' tables and columns, for any engine.

Only what SQLite, PostgreSQL and Oracle have in common: no ON CONFLICT, no RETURNING.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from usage.models import UsageRecord, UsageRollup, UsageTiming
from usage.rollups import COUNTERS, MONEY_COLUMNS
from usage.timings import SLOTS

BUCKET_COLUMNS = ("key", "bucket_start", "bucket_seconds", "model", "source_app", "feature_tag")
TIMING_COLUMNS = ("key", "bucket_start", "bucket_seconds", "model", "source_app", "kind")


@dataclass(frozen=True, slots=True)
class SumStatements:
    """Statements on a table of sums: rows are found by their key and added to."""

    select: str
    """The keys that exist; ``%s`` is the whole list: fill in `placeholders` first."""
    insert: str
    """Parameters: the columns of the key and the bucket, then the sums."""
    update: str
    """Parameters: the sums, then the key."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements with ``%s`` parameters, identifiers quoted for one engine."""

    insert_row: str
    """Parameters: the columns of `UsageRecord` without its id, in the model's order."""
    select_rows: str
    """The request ids that exist; ``%s`` is the whole list: fill in `placeholders` first."""
    rollups: SumStatements
    """`BUCKET_COLUMNS` and `COUNTERS`."""
    timings: SumStatements
    """`TIMING_COLUMNS` and `SLOTS`."""

    @classmethod
    def of(cls, connection: BaseDatabaseWrapper) -> "Statements":
        """The statements for the engine of this connection."""
        made = _made.get(connection.vendor)
        if made is None:
            made = _made[connection.vendor] = build(connection.ops.quote_name)
        return made


_made: dict[str, Statements] = {}


def build(quote: Callable[[str], str]) -> Statements:
    columns = [f.column for f in UsageRecord._meta.concrete_fields if not f.primary_key]
    return Statements(
        insert_row=_insert(UsageRecord, columns, quote),
        select_rows=_select_in(UsageRecord, "request_id", quote),
        rollups=_sums(UsageRollup, BUCKET_COLUMNS, COUNTERS, quote),
        timings=_sums(UsageTiming, TIMING_COLUMNS, SLOTS, quote),
    )


def _sums(
    model: type[Model], bucket: Sequence[str], sums: Sequence[str], quote: Callable[[str], str]
) -> SumStatements:
    table, key = quote(model._meta.db_table), quote("key")
    return SumStatements(
        select=_select_in(model, "key", quote),
        insert=_insert(model, [*bucket, *sums], quote),
        update=f"UPDATE {table} SET {_increments(sums, quote)} WHERE {key} = %s",  # noqa: S608
    )


@cache
def several_rows(insert_row: str, count: int) -> str:
    """An INSERT of several rows at once in SQLite's ``?`` style, from that of one."""
    head, values, row = insert_row.partition(" VALUES ")
    return head + values + ", ".join([row.replace("%s", "?")] * count)


def placeholders(count: int) -> str:
    return ", ".join(["%s"] * count)


def _insert(model: type[Model], columns: Iterable[str], quote: Callable[[str], str]) -> str:
    names = [quote(column) for column in columns]
    table = quote(model._meta.db_table)
    # S608: names come from the models, values are bound
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({placeholders(len(names))})"  # noqa: S608


def _select_in(model: type[Model], column: str, quote: Callable[[str], str]) -> str:
    name = quote(column)
    return f"SELECT {name} FROM {quote(model._meta.db_table)} WHERE {name} IN (%s)"  # noqa: S608


def _increments(columns: Iterable[str], quote: Callable[[str], str]) -> str:
    """``column = column + %s``; money is rounded to its 10 decimal places.

    SQLite keeps decimals as binary floating point: without the rounding the errors of a
    million additions would add up to a visible amount.
    """
    return ", ".join(
        f"{quote(name)} = ROUND({quote(name)} + %s, 10)"
        if name in MONEY_COLUMNS
        else f"{quote(name)} = {quote(name)} + %s"
        for name in columns
    )
