"""Proof of the statistics: the rollups of an hour that is over, against its rows.

Rows and rollups are written in one transaction, so this finds nothing unless a fault or a hand
in the database made them differ. A difference is repaired and logged as an error.

How it fails: the database's errors are passed on. The check reads without a lock; only where
it finds a difference does it look again under one, so rows that are stored meanwhile do not
count as a difference. Hours whose rows retention may have begun to remove are left out.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncMinute

from tokenwatch.conf import config
from tokenwatch.jobs import Turn
from usage.models import UsageRecord, UsageRollup
from usage.rollups import (
    COUNTERS,
    DAY,
    HOUR,
    MINUTE,
    MONEY_COLUMNS,
    REFUSED,
    Bucket,
    Sums,
    by_hour,
)

JOB = "statistics"
EVERY = timedelta(hours=1)
HOURS = 2
"""How many hours that are over each round looks at."""
GRACE = timedelta(minutes=5)
"""How long an hour must be over."""
BINARY = Decimal("1E-6")
"""SQLite adds money up in binary floating point: less than this is no difference there."""

logger = logging.getLogger("tokenwatch.statistics")

_COUNTS = {
    "requests": Count("pk"),
    "errors": Count("pk", filter=Q(status_code__gte=400) | ~Q(error_type="")),
    "unpriced": Count("pk", filter=Q(cost__isnull=True)),
    "estimated": Count("pk", filter=Q(usage_estimated=True)),
    "cache_hits": Count("pk", filter=~Q(cache_tier="")),
    "refused": Count("pk", filter=Q(attempts=0, error_type__startswith=REFUSED)),
}
_FIGURES = {f"sum_{name}": _COUNTS[name] if name in _COUNTS else Sum(name) for name in COUNTERS}
_DIMENSIONS = ("minute", "model_used", "model_requested", "source_app", "feature_tag")


@dataclass(frozen=True, slots=True)
class Found:
    """What one check came to."""

    rollups: int
    """How many there are, of both sizes."""
    wrong: int
    """How many of them were missing, too many, or said something else than the rows."""


def job(turn: Turn) -> str:
    """Check and repair the hours that ended last; the outcome in words."""
    checked = wrong = 0
    for start in hours(turn.now):
        if not turn.go_on():
            break
        found = check(start, repair=True)
        checked += found.rollups
        wrong += found.wrong
    return f"{checked} sums checked, {wrong} repaired"


def hours(now: datetime) -> list[datetime]:
    """The beginnings of the hours that a round looks at, the newest first."""
    last = int((now - GRACE).timestamp()) // HOUR * HOUR
    starts = [datetime.fromtimestamp(last - HOUR * back, UTC) for back in range(1, HOURS + 1)]
    days = config.ledger_retention_days
    oldest = now - timedelta(days=days) + timedelta(hours=1) if days else None
    return [start for start in starts if oldest is None or start >= oldest]


def check(start: datetime, *, repair: bool) -> Found:
    """Compare the rollups of the hour that begins at ``start`` with its rows."""
    expected, stored = _expected(start), _stored(start)
    wrong = _differing(expected, stored)
    if not wrong or not repair:
        return Found(len(stored), len(wrong))
    with transaction.atomic():
        # Writers add to these rows after they have inserted theirs: whoever has the rollups
        # sees all rows that are counted in them, and none that is not.
        _rollups(start).update(requests=F("requests"))
        expected, stored = _expected(start), _stored(start)
        wrong = _differing(expected, stored)
        for key in sorted(wrong):
            _repair(key, expected.get(key), present=key in stored)
        if wrong:
            _repair_day(start)
    if wrong:
        logger.error(
            "Statistics of the hour from %s: %d of %d sums were not those of the requests; "
            "they are right again",
            f"{start:%Y-%m-%d %H:%M} UTC",
            len(wrong),
            len(expected),
        )
    return Found(len(expected), len(wrong))


Expected = Mapping[str, tuple[Bucket, Sums]]


def _expected(start: datetime) -> Expected:
    """What the rows say, by the key of the rollup."""
    rows = UsageRecord.objects.filter(created_at__gte=start, created_at__lt=start + EVERY)
    groups = (
        rows.order_by()
        .annotate(minute=TruncMinute("created_at", tzinfo=UTC))
        .values(*_DIMENSIONS)
        .annotate(**_FIGURES)
    )
    minutes: dict[Bucket, Sums] = {}
    for group in groups:
        bucket = Bucket(
            MINUTE,
            int(group["minute"].timestamp()),
            group["model_used"] or group["model_requested"] or "",
            group["source_app"] or "",
            group["feature_tag"] or "",
        )
        minutes.setdefault(bucket, Sums()).add(_sums(group))
    buckets = {**minutes, **by_hour(minutes)}
    return {bucket.key(): (bucket, sums) for bucket, sums in buckets.items()}


def _sums(group: Mapping[str, Any]) -> Sums:
    return Sums(**{name: _exact(name, group[f"sum_{name}"]) for name in COUNTERS})


def _exact(name: str, value: Any) -> Any:
    return Decimal(value or 0) if name in MONEY_COLUMNS else int(value or 0)


def _rollups(start: datetime) -> Any:
    return UsageRollup.objects.filter(
        bucket_seconds__in=(HOUR, MINUTE), bucket_start__gte=start, bucket_start__lt=start + EVERY
    )


def _stored(start: datetime) -> Mapping[str, Sums]:
    return {
        values["pk"]: Sums(**{name: _exact(name, values[name]) for name in COUNTERS})
        for values in _rollups(start).values("pk", *COUNTERS)
    }


def _differing(expected: Expected, stored: Mapping[str, Sums]) -> set[str]:
    """Keys of the rollups that are not what the rows say."""
    nearly = BINARY if connection.vendor == "sqlite" else Decimal(0)
    same = {
        key
        for key in expected.keys() & stored.keys()
        if all(
            abs(getattr(expected[key][1], name) - getattr(stored[key], name))
            <= (nearly if name in MONEY_COLUMNS else 0)
            for name in COUNTERS
        )
    }
    return (expected.keys() | stored.keys()) - same


def _repair_day(start: datetime) -> None:
    """Make the day's rollups what those of its hours come to."""
    day = start.replace(hour=0)
    whole = UsageRollup.objects.filter(bucket_seconds=DAY, bucket_start=day)
    whole.update(requests=F("requests"))  # the lock, as for the hour
    hours = UsageRollup.objects.filter(
        bucket_seconds=HOUR, bucket_start__gte=day, bucket_start__lt=day + timedelta(days=1)
    )
    names = ("model", "source_app", "feature_tag")
    totals = {f"sum_{name}": Sum(name) for name in COUNTERS}
    expected: dict[str, tuple[Bucket, Sums]] = {}
    for group in hours.order_by().values(*names).annotate(**totals):
        model, app, tag = (group[name] or "" for name in names)
        bucket = Bucket(DAY, int(day.timestamp()), model, app, tag)
        expected[bucket.key()] = (bucket, _sums(group))
    stored = {
        values["pk"]: Sums(**{name: _exact(name, values[name]) for name in COUNTERS})
        for values in whole.values("pk", *COUNTERS)
    }
    for key in sorted(_differing(expected, stored)):
        _repair(key, expected.get(key), present=key in stored)


def _repair(key: str, right: tuple[Bucket, Sums] | None, *, present: bool) -> None:
    found = UsageRollup.objects.filter(pk=key)
    if right is None:
        found.delete()
        return
    bucket, sums = right
    values = {name: getattr(sums, name) for name in COUNTERS}
    if present:
        found.update(**values)
        return
    UsageRollup.objects.create(
        key=key,
        bucket_start=datetime.fromtimestamp(bucket.start, UTC),
        bucket_seconds=bucket.seconds,
        model=bucket.model,
        source_app=bucket.source_app,
        feature_tag=bucket.feature_tag,
        **values,
    )
