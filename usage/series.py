"""Figures over time, and how long requests took: read from the rollups, like `usage.stats`.

A period is cut at moments that the caller chooses (a calendar's days in some zone, say);
every request falls into exactly one slice, so that the slices add up to the period's totals.
Where rollups by minute are gone, an hour that a cut falls into counts to the slice in which it
begins. How it fails: the database's errors are passed on.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Case, CharField, FloatField, Min, Q, Sum, Value, When

from usage import stats
from usage.models import UsageRollup, UsageTiming
from usage.rollups import DAY, HOUR, MINUTE, MONEY_COLUMNS
from usage.stats import Dimension, Names, Totals
from usage.timings import SLOTS, Kind, percentile

OTHER = "\0other"
"""Stands for all names that were not asked for; no client can send it."""
FINE_UP_TO = timedelta(hours=49)
"""Longest period that is read by minutes where its cuts are not on whole hours (in UTC)."""
FIGURES = (
    "requests",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "cost",
)


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one name, a `Totals` for each slice."""

    name: str
    slices: tuple[Totals, ...]


def lines(
    cuts: Sequence[datetime],
    end: datetime,
    dimension: Dimension,
    names: Sequence[str],
    where: Names | None = None,
) -> list[Line]:
    """`FIGURES` over time for each of ``names``, and for `OTHER` where there is any.

    ``cuts`` are the moments at which the slices begin, the first one the period's start.
    """
    named = Case(
        *[When(Q(**{dimension: name}), then=Value(str(i))) for i, name in enumerate(names)],
        default=Value("-"),
        output_field=CharField(),
    )
    rows = (
        stats.rollups(cuts[0], end, longest=_longest(cuts, end))
        .filter(**dict(where or {}))
        .order_by()
        .annotate(line=named)
        .values_list("bucket_start", "line")
        .annotate(*(_sum(name) for name in FIGURES))
    )
    found: dict[str, list[list[list[Any]]]] = {}
    for start, line, *sums in rows:
        slices = found.setdefault(line, [[] for _ in cuts])
        slices[max(0, bisect_right(cuts, start) - 1)].append(sums)
    order = [(str(i), name) for i, name in enumerate(names)] + [("-", OTHER)]
    return [
        Line(name, tuple(_summed(sums) for sums in found[line]))
        for line, name in order
        if line in found
    ]


def _longest(cuts: Sequence[datetime], end: datetime) -> int:
    """The longest rollup that no cut falls into."""
    moments = [int(cut.timestamp()) for cut in cuts[1:]]
    if all(moment % DAY == 0 for moment in moments):
        return DAY
    on_hours = all(moment % HOUR == 0 for moment in moments)
    return HOUR if on_hours or end - cuts[0] > FINE_UP_TO else MINUTE


def _sum(name: str) -> Sum:
    """Of thousands of buckets: SQLite's money is floating point anyway, and turning each into a
    Decimal takes longer than the query. The slices' sums are rounded to money again."""
    return Sum(name, output_field=FloatField()) if name in MONEY_COLUMNS else Sum(name)


def _summed(rows: Iterable[Sequence[Any]]) -> Totals:
    columns = zip(*rows, strict=True)
    sums: dict[str, Any] = {
        name: sum(value or 0 for value in column)
        for name, column in zip(FIGURES, columns, strict=False)
    }
    if "cost" in sums:
        sums["cost"] = Decimal(
            repr(sums["cost"]) if isinstance(sums["cost"], float) else sums["cost"]
        )
        sums["cost"] = sums["cost"].quantize(stats.MONEY_STEP)
    return Totals(**sums)


def first_request() -> datetime | None:
    """The hour of the first request that the rollups know of."""
    return UsageRollup.objects.filter(bucket_seconds=HOUR).aggregate(first=Min("bucket_start"))[
        "first"
    ]


def counts(
    kind: Kind, start: datetime | None, end: datetime, where: Names | None = None
) -> list[int]:
    """How many requests took how long, on `usage.timings`' scale.

    ``where`` may name a model or an app; tags are not told apart.
    """
    kind, names = _place(kind, where)
    rows = UsageTiming.objects.filter(stats.covering(start, end), kind=kind, **names)
    sums = rows.aggregate(**{name: Sum(name) for name in SLOTS})
    return [int(sums[name] or 0) for name in SLOTS]


def _place(kind: Kind, where: Names | None) -> tuple[Kind, dict[str, str]]:
    """Where the counts stand: those of all requests have rollups of their own."""
    names: dict[str, str] = {str(column): name for column, name in (where or {}).items()}
    return ("total" if kind == "latency" and not names else kind), names


def percentiles(kind: Kind, found: Sequence[int], *parts: float) -> list[float | None]:
    """Milliseconds that these parts (0 to 1) of the counted requests did not exceed."""
    return [percentile(kind, found, part) for part in parts]


def latencies(
    cuts: Sequence[datetime], end: datetime, where: Names | None = None
) -> list[tuple[float | None, float | None]]:
    """p50 and p95 of the latency in milliseconds for each slice; None where there was nothing."""
    kind, names = _place("latency", where)
    covering = stats.covering(cuts[0], end, longest=_longest(cuts, end))
    rows = (
        UsageTiming.objects.filter(covering, kind=kind, **names)
        .order_by()
        .values_list("bucket_start")
        .annotate(*(Sum(name) for name in SLOTS))
    )
    sums = [[0] * len(SLOTS) for _ in cuts]
    for start, *found in rows:
        one = sums[max(0, bisect_right(cuts, start) - 1)]
        for slot, count in enumerate(found):
            one[slot] += int(count or 0)
    return [(percentile("latency", one, 0.5), percentile("latency", one, 0.95)) for one in sums]


def busiest_since(start: datetime | None, end: datetime, most: int) -> datetime | None:
    """From when on a period holds at most ``most`` requests, to the hour, one hour at least;
    ``start`` itself where that many or fewer are in all of it."""
    hours = UsageRollup.objects.filter(bucket_seconds=HOUR, bucket_start__lt=end)
    if start is not None:
        hours = hours.filter(bucket_start__gte=start - timedelta(seconds=HOUR))
    seen, since = 0, None
    grouped = hours.order_by("-bucket_start").values_list("bucket_start").annotate(Sum("requests"))
    for hour, requests in grouped.iterator(chunk_size=500):
        if seen + requests > most and since is not None:
            return max(since, start) if start is not None else since
        seen, since = seen + requests, hour.astimezone(UTC)
    return start
