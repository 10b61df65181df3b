"""Pages of requests, newest first, of a ledger of any size.

Pages are found by key (`Cursor`), never by counting. A filter that has no index of its own asks
the rollups first in which hours there is anything to find and reads only those, at most
`WINDOWS` a page: a page may end early and say how far it has looked, and its cursor goes on
from there. How it fails: the database's errors are passed on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.db.models import Q, QuerySet

from usage.models import UsageRecord, UsageRollup
from usage.rollups import HOUR

WINDOWS = 12
"""Hours with matching requests that one page reads."""
STATUSES = ("ok", "error", "4xx", "5xx")
CACHES = ("hit", "miss")
COSTS = ("unknown", "estimated")
_REQUEST_ID = re.compile(r"[0-9a-f]{32}")
_CURSOR = re.compile(r"(\d{1,18})-(\d{1,18})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests. None does not filter; an empty name asks for those that named none."""

    start: datetime | None
    end: datetime
    model: str | None = None
    source_app: str | None = None
    feature_tag: str | None = None
    session: str | None = None
    status: str | None = None
    """One of `STATUSES`."""
    cache: str | None = None
    """One of `CACHES`."""
    cost: str | None = None
    """One of `COSTS`."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Before this request, in the order of the pages."""

    created_at: datetime
    id: int

    def __str__(self) -> str:
        microseconds = (self.created_at - _EPOCH) // timedelta(microseconds=1)
        return f"{microseconds}-{self.id}"

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Raises: ValueError: it is none of ours."""
        found = _CURSOR.fullmatch(text)
        if found is None or int(found[1]) > _LAST * 1_000_000:
            raise ValueError("not a cursor of ours")
        return cls(_EPOCH + timedelta(microseconds=int(found[1])), int(found[2]))


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[UsageRecord]
    cursor: Cursor | None
    """Where the next page begins; None at the end."""
    searched_to: datetime | None = None
    """Set where the search stopped before the page was full: how far back it has come."""


def page(wanted: Wanted, before: Cursor | None, limit: int) -> Page:
    """The next ``limit`` requests, or fewer where the search came to its bound."""
    if wanted.session is not None or not _narrow(wanted):
        rows = list(_rows(wanted, before)[: limit + 1])
        return _cut(rows, limit)
    found: list[UsageRecord] = []
    hours = list(_hours(wanted, before))
    for hour in hours:
        window = replace(
            wanted,
            start=hour if wanted.start is None else max(hour, wanted.start),
            end=min(hour + timedelta(seconds=HOUR, microseconds=-1), wanted.end),
        )
        found += _rows(window, before)[: limit + 1 - len(found)]
        if len(found) > limit:
            return _cut(found, limit)
    if len(hours) < WINDOWS:
        return Page(found, None)
    return Page(found, Cursor(hours[-1], 0), searched_to=hours[-1])


def every(wanted: Wanted, size: int) -> Iterator[list[UsageRecord]]:
    """All requests, newest first, ``size`` or fewer at a time."""
    cursor: Cursor | None = None
    while True:
        one = page(wanted, cursor, size)
        yield one.rows
        if one.cursor is None:
            return
        cursor = one.cursor


def by_request_id(request_id: str) -> UsageRecord | None:
    """The request with this id; None where there is none, or the text is no id."""
    wanted = request_id.strip().lower()
    if not _REQUEST_ID.fullmatch(wanted):
        return None
    return UsageRecord.objects.filter(request_id=wanted).first()


def _cut(rows: list[UsageRecord], limit: int) -> Page:
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], Cursor(last.created_at, last.pk))


def _narrow(wanted: Wanted) -> bool:
    names = (wanted.model, wanted.source_app, wanted.feature_tag)
    rare = wanted.status not in (None, "ok") or wanted.cache == "hit" or wanted.cost is not None
    return rare or any(name is not None for name in names)


def _hours(wanted: Wanted, before: Cursor | None) -> Iterator[datetime]:
    """The newest hours in which there may be a match."""
    until = min(wanted.end, before.created_at) if before is not None else wanted.end
    hours = UsageRollup.objects.filter(bucket_seconds=HOUR, bucket_start__lte=until)
    if wanted.start is not None:
        hours = hours.filter(bucket_start__gt=wanted.start - timedelta(seconds=HOUR))
    names = {"model": wanted.model, "source_app": wanted.source_app}
    names["feature_tag"] = wanted.feature_tag
    hours = hours.filter(**{name: value for name, value in names.items() if value is not None})
    if wanted.status not in (None, "ok"):
        hours = hours.filter(errors__gt=0)
    if wanted.cache == "hit":
        hours = hours.filter(cache_hits__gt=0)
    if wanted.cost is not None:
        column = "unpriced" if wanted.cost == "unknown" else "estimated"
        hours = hours.filter(**{f"{column}__gt": 0})
    starts = hours.order_by("-bucket_start").values_list("bucket_start", flat=True).distinct()
    return iter(starts[:WINDOWS])


def _rows(wanted: Wanted, before: Cursor | None) -> QuerySet[UsageRecord]:
    rows = UsageRecord.objects.filter(created_at__lte=wanted.end)
    if wanted.start is not None:
        rows = rows.filter(created_at__gte=wanted.start)
    if before is not None:
        rows = rows.filter(created_at__lte=before.created_at).exclude(
            created_at=before.created_at, id__gte=before.id
        )
    return rows.filter(_matching(wanted)).order_by("-created_at", "-id")


def _matching(wanted: Wanted) -> Q:
    found = Q()
    if (name := wanted.model) is not None:
        # The model that answered, else the one asked for, as in the statistics.
        found &= Q(model_used=name) | Q(model_used="", model_requested=name)
    if wanted.source_app is not None:
        found &= Q(source_app=wanted.source_app)
    if wanted.feature_tag is not None:
        found &= Q(feature_tag=wanted.feature_tag)
    if wanted.session is not None:
        found &= Q(session_id=wanted.session)
    if wanted.status == "ok":
        found &= Q(status_code__lt=400, error_type="")
    elif wanted.status == "error":
        found &= Q(status_code__gte=400) | ~Q(error_type="")
    elif wanted.status in ("4xx", "5xx"):
        low = int(wanted.status[0]) * 100
        found &= Q(status_code__gte=low, status_code__lt=low + 100)
    if wanted.cache is not None:
        found &= ~Q(cache_tier="") if wanted.cache == "hit" else Q(cache_tier="")
    if wanted.cost is not None:
        found &= Q(cost__isnull=True) if wanted.cost == "unknown" else Q(usage_estimated=True)
    return found
