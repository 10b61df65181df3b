"""Kept answers in the database: written in batches, read one at a time, cleared, pruned.

Raw ``executemany`` through Django's cursor for what is written, as in the ledger. How it fails:
Django's database errors pass to the caller. `write` stores all of its entries or none; `prune`
and `clear` work in small transactions, and what they deleted before an error stays deleted.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models import Count, Max, Min, QuerySet, Sum

from cache import semantic_sql
from cache.entries import CacheBody, CacheClearing, CacheEntry
from cache.entry import Entry
from tokenwatch.tokens import TokenUsage
from usage.statements import several_rows
from usage.writer import SQLITE_SIZES

BATCH = 500
"""Oracle takes no more than 1,000 values in one IN list."""
KEYS_READ = 20_000
MOST_ENTRIES = 200_000
"""Entries in the table; each worker knows all their keys."""
CLEARINGS_KEPT = timedelta(hours=1)

Always = Callable[[], bool]

_COLUMNS = [field for field in CacheEntry._meta.concrete_fields if not field.primary_key]


@dataclass(frozen=True, slots=True)
class Clearing:
    """What was cleared; empty stands for any. ``before`` in seconds since the epoch."""

    model: str
    app: str
    before: float
    request_id: str = ""

    def covers(self, entry: Entry) -> bool:
        return (
            entry.created_at <= self.before
            and (not self.model or self.model in (entry.model, entry.model_used))
            and (not self.app or self.app == entry.app)
            and (not self.request_id or self.request_id == entry.request_id)
        )


# --- Writing -----------------------------------------------------------------------------


def write(entries: Sequence[Entry], replaced: Collection[str] | None = None) -> None:
    """Store entries in the place of older ones with their keys; all or none.

    ``replaced`` are the keys that may have older ones; None: all may.
    """
    newest = {entry.key: entry for entry in entries}
    rows = [_row(entry) for entry in newest.values()]
    bodies: list[list[Any]] = [[entry.request_id, entry.body] for entry in newest.values()]
    with transaction.atomic():
        _remove_keys(list(newest if replaced is None else replaced))
        _insert_rows(_insert(CacheEntry, [field.column for field in _COLUMNS]), rows)
        _insert_rows(_insert(CacheBody, ["request_id", "body"]), bodies)


def _insert_rows(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """On SQLite many rows a statement: ``executemany`` would let the interpreter's lock go and
    take it again for every row, with the event loop waiting for it (see ``usage.writer``)."""
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)
        return
    with connection.wrap_database_errors:
        cursor = connection.connection.cursor()
        start = 0
        for size in SQLITE_SIZES:
            several = several_rows(statement, size)
            while len(rows) - start >= size:
                cursor.execute(several, list(chain(*rows[start : start + size])))
                start += size


def _remove_keys(keys: list[str]) -> None:
    for part in _parts(keys):
        old = CacheEntry.objects.filter(cache_key__in=part).order_by()
        if ids := list(old.values_list("request_id", flat=True)):
            _delete(ids)


def _insert(model: Any, columns: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(quote(column) for column in columns)
    places = ", ".join(["%s"] * len(columns))
    # S608: names come from the models, values are bound
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES ({places})"  # noqa: S608


def _row(entry: Entry) -> list[Any]:
    ops = connection.ops
    created = ops.adapt_datetimefield_value(_moment(entry.created_at))
    headers = [[name.decode(), value.decode("latin-1")] for name, value in entry.headers]
    values = {
        "request_id": entry.request_id,
        "cache_key": entry.key,
        "api_type": entry.api_type,
        "kind": entry.kind,
        "endpoint": entry.endpoint,
        "model": entry.model,
        "model_used": entry.model_used,
        "app": entry.app,
        "stream": entry.stream,
        "status_code": entry.status,
        "headers": msgspec.json.encode(headers).decode(),
        "usage": msgspec.json.encode(_counts(entry.usage)).decode() if entry.usage else "",
        "usage_estimated": entry.usage_estimated,
        "service_tier": entry.service_tier,
        "finish_reason": entry.finish_reason,
        "cost": (
            ops.adapt_decimalfield_value(Decimal(entry.cost), 20, 10)
            if entry.cost is not None
            else None
        ),
        "size_bytes": entry.size,
        "semantic": bool(entry.partition),
        "created_at": created,
        "expires_at": ops.adapt_datetimefield_value(_moment(entry.expires_at)),
        "last_used_at": created,
        "hits": 0,
    }
    return [values[field.name] for field in _COLUMNS]


def _counts(usage: TokenUsage) -> dict[str, int]:
    return {name: count for name, count in msgspec.structs.asdict(usage).items() if count}


def touch(used: Mapping[str, tuple[int, float]]) -> None:
    """Add to the hits of entries, by request id: how many, and when the last was."""
    if not used:
        return
    quote = connection.ops.quote_name
    hits = quote("hits")
    sql = (
        f"UPDATE {quote(CacheEntry._meta.db_table)} SET {hits} = {hits} + %s,"  # noqa: S608
        f" {quote('last_used_at')} = %s WHERE {quote('request_id')} = %s"
    )
    adapt = connection.ops.adapt_datetimefield_value
    rows = [[count, adapt(_moment(last)), key] for key, (count, last) in sorted(used.items())]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(sql, rows)


# --- Reading -----------------------------------------------------------------------------


def by_key(key: str, now: float) -> Entry | None:
    """The newest entry of a key that has not expired."""
    return _loaded(CacheEntry.objects.filter(cache_key=key), now)


def by_id(request_id: str, now: float) -> Entry | None:
    """The entry of a request's answer, unless it has expired."""
    return _loaded(CacheEntry.objects.filter(request_id=request_id), now)


def _loaded(found: QuerySet[CacheEntry], now: float) -> Entry | None:
    row = found.filter(expires_at__gt=_moment(now)).order_by("-id").first()
    if row is None:
        return None
    body = CacheBody.objects.filter(pk=row.request_id).values_list("body", flat=True).first()
    if body is None:
        return None
    headers = msgspec.json.decode(row.headers, type=list[tuple[str, str]])
    return Entry(
        key=row.cache_key,
        request_id=row.request_id,
        api_type=row.api_type,
        kind=row.kind,
        endpoint=row.endpoint,
        model=row.model,
        model_used=row.model_used,
        app=row.app,
        stream=row.stream,
        status=row.status_code,
        headers=tuple((name.encode(), value.encode("latin-1")) for name, value in headers),
        body=bytes(body),
        usage=msgspec.json.decode(row.usage, type=TokenUsage) if row.usage else None,
        usage_estimated=row.usage_estimated,
        service_tier=row.service_tier,
        finish_reason=row.finish_reason,
        cost=None if row.cost is None else f"{row.cost:.10f}",
        created_at=row.created_at.timestamp(),
        expires_at=row.expires_at.timestamp(),
    )


def keys_after(last_id: int) -> list[tuple[int, str]]:
    """Ids and keys of entries above an id, lowest first; at most `KEYS_READ`."""
    found = CacheEntry.objects.filter(id__gt=last_id).order_by("id")
    return list(found.values_list("id", "cache_key")[:KEYS_READ])


def last_clearing() -> int:
    return CacheClearing.objects.aggregate(last=Max("id"))["last"] or 0


def clearings_after(last_id: int) -> list[tuple[int, Clearing]]:
    rows = CacheClearing.objects.filter(id__gt=last_id).order_by("id")
    return [
        (row.pk, Clearing(row.model, row.app, row.before.timestamp(), row.request_id))
        for row in rows
    ]


# --- Removing ----------------------------------------------------------------------------


def clear(
    *,
    now: datetime,
    model: str = "",
    app: str = "",
    before: datetime | None = None,
    request_id: str = "",
) -> int:
    """Remove entries; how many. All workers drop theirs within about a second.

    Entries are those of a model (asked or used), an app, not newer than ``before``; without any
    of them, all.
    """
    before = before or now
    # First: whoever stores an entry from here on can read that it is cleared.
    CacheClearing.objects.create(
        created_at=now, model=model, app=app, before=before, request_id=request_id
    )
    found = CacheEntry.objects.filter(created_at__lte=before)
    if request_id:
        found = found.filter(request_id=request_id)
    if app:
        found = found.filter(app=app)
    if model:
        found = found.filter(model=model) | found.filter(model_used=model)
    return sum(map(_delete_together, _batches(found)))


def prune(now: datetime, most_bytes: int, go_on: Always = lambda: True) -> int:
    """Remove what has expired and, above the limits, what was not used for longest.

    ``go_on`` is asked between two transactions. Returns how many entries went.
    """
    count = 0
    for ids in _batches(CacheEntry.objects.filter(expires_at__lte=now)):
        if not go_on():
            return count
        count += _delete_together(ids)
    semantic_sql.delete_expired(now)
    CacheClearing.objects.filter(created_at__lt=now - CLEARINGS_KEPT).delete()
    while go_on():
        totals = CacheEntry.objects.aggregate(entries=Count("id"), size=Sum("size_bytes"))
        excess = (totals["size"] or 0) - most_bytes
        surplus = totals["entries"] - MOST_ENTRIES
        if excess <= 0 and surplus <= 0:
            break
        count += _delete_together(_least_used(excess, surplus))
    return count


def _least_used(excess: int, surplus: int) -> list[str]:
    """The entries unused for longest, until so many bytes and entries are covered."""
    chosen: list[str] = []
    rows = CacheEntry.objects.order_by("last_used_at", "id").values_list("request_id", "size_bytes")
    for request_id, size in rows[:BATCH]:
        if excess <= 0 and surplus <= 0:
            break
        chosen.append(request_id)
        excess -= size
        surplus -= 1
    return chosen


def _batches(found: QuerySet[CacheEntry]) -> Iterator[list[str]]:
    while ids := list(found.order_by("id").values_list("request_id", flat=True)[:BATCH]):
        yield ids


def _delete_together(ids: list[str]) -> int:
    with transaction.atomic():
        count = _delete(ids)
    semantic_sql.delete(ids)
    return count


def _delete(ids: list[str]) -> int:
    CacheBody.objects.filter(pk__in=ids)._raw_delete(using=connection.alias)
    found = CacheEntry.objects.filter(request_id__in=ids).order_by()
    return int(found._raw_delete(using=connection.alias))


def _parts(values: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(values), BATCH):
        yield values[at : at + BATCH]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# --- Figures -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """What is kept for one model."""

    model: str
    entries: int
    semantic: int
    size: int
    hits: int
    oldest: datetime
    newest: datetime


def stored() -> list[Stored]:
    """What is kept, by the model that was asked."""
    rows = (
        CacheEntry.objects.order_by()
        .values("model")
        .annotate(
            count=Count("id"),
            bytes=Sum("size_bytes"),
            served=Sum("hits"),
            oldest=Min("created_at"),
            newest=Max("created_at"),
        )
    )
    similar = dict(
        CacheEntry.objects.filter(semantic=True)
        .order_by()
        .values("model")
        .annotate(count=Count("id"))
        .values_list("model", "count")
    )
    found = [
        Stored(
            row["model"] or "",
            row["count"],
            similar.get(row["model"], 0),
            row["bytes"],
            row["served"],
            row["oldest"],
            row["newest"],
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.hits, -one.entries, one.model))
