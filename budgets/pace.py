"""How fast a budget is used up: what its scope spent on each day. Read-only.

Budgets of everything, an app or a tag are read from the rollups; those of a model or a
session from the rows of the past `DAYS` days. How it fails: the database's errors are passed
on.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDate

from budgets.scopes import BudgetSpec
from budgets.settlement import COLUMNS, TOKEN_COLUMNS, named
from tokenwatch.globs import matcher
from usage.models import UsageRecord, UsageRollup
from usage.rollups import HOUR

DAYS = 60
IN_ROLLUPS: dict[str, tuple[str, ...]] = {
    "global": (),
    "app": ("source_app",),
    "tag": ("feature_tag",),
}


def daily(spec: BudgetSpec, today: date) -> list[tuple[date, float]]:
    """US dollars or tokens of each day (UTC) of the past `DAYS`, from the first one with any,
    up to and with today."""
    since = today - timedelta(days=DAYS)
    sums: dict[date, float] = {}
    for day, amount in (
        _from_rollups(spec, since) if spec.scope in IN_ROLLUPS else _rows(spec, since)
    ):
        sums[day] = sums.get(day, 0.0) + amount
    if not sums:
        return []
    first = min(sums)
    days = (first + timedelta(days=number) for number in range((today - first).days + 1))
    return [(day, sums.get(day, 0.0)) for day in days]


def _from_rollups(spec: BudgetSpec, since: date) -> Iterable[tuple[date, float]]:
    hours = UsageRollup.objects.filter(bucket_seconds=HOUR, bucket_start__gte=_midnight(since))
    for group in _grouped(spec, hours, "bucket_start", IN_ROLLUPS[spec.scope]):
        yield group["bucket_start"].date(), _amount(spec, group)


def _rows(spec: BudgetSpec, since: date) -> Iterable[tuple[date, float]]:
    rows = UsageRecord.objects.filter(created_at__gte=_midnight(since)).annotate(
        day=TruncDate("created_at", tzinfo=UTC)
    )
    for group in _grouped(spec, rows, "day", COLUMNS[spec.scope]):
        yield group["day"], _amount(spec, group)


def _grouped(
    spec: BudgetSpec, rows: QuerySet[Any], day: str, columns: tuple[str, ...]
) -> Iterable[dict[str, Any]]:
    figures = ("cost",) if spec.unit == "usd" else TOKEN_COLUMNS
    groups = rows.order_by().values(day, *columns).annotate(**{f"sum_{f}": Sum(f) for f in figures})
    matches = matcher(spec.pattern)
    return (group for group in groups if not columns or matches(named(group, columns)))


def _amount(spec: BudgetSpec, group: dict[str, Any]) -> float:
    figures = ("cost",) if spec.unit == "usd" else TOKEN_COLUMNS
    return float(sum(Decimal(group[f"sum_{figure}"] or 0) for figure in figures))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
