"""Statistics over any period, from the rollups alone: their cost does not grow with the rows.

Whole days and hours (UTC) are read from their rollups, the ragged edges of a period from those
by minute; so a period is exact to the minute: it begins with the minute that holds its start.
Rollups by minute are worth keeping for 8 days (a week, and a day to look back from) and are
to be removed by whole hours. Where they are gone, an edge is widened to its hour.

How it fails: the database's errors are passed on. On SQLite, which adds money up in binary
floating point, sums are right to 15 digits: to 10 decimals below 100,000 dollars.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal

from django.db.models import Min, Q, QuerySet, Sum

from usage.models import UsageRollup
from usage.rollups import COUNTERS, DAY, HOUR, MINUTE, MONEY_COLUMNS

MONEY_STEP = Decimal("1E-10")
TIMEFRAMES: dict[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
Dimension = Literal["model", "source_app", "feature_tag"]
DIMENSIONS: tuple[Dimension, ...] = ("model", "source_app", "feature_tag")
Names = Mapping[Dimension, str]
"""A model, app or tag to keep to, by its dimension."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over requests. ``cost`` leaves out the ``unpriced`` requests: theirs is unknown."""

    requests: int = 0
    errors: int = 0
    unpriced: int = 0
    estimated: int = 0
    cache_hits: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)
    saved_cost: Decimal = Decimal(0)
    routing_saved: Decimal = Decimal(0)
    latency_ms: int = 0
    """Sum over the requests."""

    @property
    def known_cost(self) -> Decimal | None:
        """The cost, or None where nothing that costs something has a price that is known.

        Failed requests cost 0 whatever the model: they do not make the others' cost known.
        """
        return None if self.unpriced and not self.cost else self.cost

    @property
    def tokens(self) -> int:
        """Input, output, cache reads and cache writes together; reasoning is part of output."""
        written = self.cache_write_tokens + self.cache_write_1h_tokens
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + written

    @property
    def average_latency_ms(self) -> int | None:
        """Milliseconds a request; None where there was none."""
        return round(self.latency_ms / self.requests) if self.requests else None


@dataclass(frozen=True, slots=True)
class Group:
    """The totals of one model, app or tag; ``name`` is empty where requests named none."""

    name: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Cell:
    """The totals of the requests with the same model, app and tag."""

    model: str
    source_app: str
    feature_tag: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Piece:
    """Rollups of one size with ``start`` <= bucket < ``end``; None is from the beginning."""

    seconds: int
    start: datetime | None
    end: datetime


def window(timeframe: str, now: datetime) -> tuple[datetime | None, datetime]:
    """Start (None: from the beginning) and end of one of `TIMEFRAMES`."""
    length = TIMEFRAMES[timeframe]
    return (None if length is None else now - length), now


def pieces(
    start: datetime | None,
    end: datetime,
    minutes_since: datetime | None,
    *,
    longest: int = DAY,
) -> list[Piece]:
    """Cover a period with whole days, hours and, at its edges, minutes.

    ``minutes_since`` is the start of the oldest rollup by minute, None where there is none.
    ``longest`` is the longest rollup to use; `MINUTE` only where there are any.
    """

    def by_minute(moment: datetime) -> bool:
        return minutes_since is not None and moment >= _floor(minutes_since, HOUR)

    last = _ceil(end, MINUTE)
    if not by_minute(_floor(last, HOUR)):
        last = _ceil(last, HOUR)
    last_hour = _floor(last, HOUR)
    tail = Piece(MINUTE, last_hour, last)
    if start is None:
        return _not_empty(*_hours(None, last_hour, longest), tail)
    first = _floor(start, MINUTE)
    if not by_minute(first):
        first = _floor(first, HOUR)
    first_hour = _ceil(first, HOUR)
    if first_hour > last_hour or (longest == MINUTE and by_minute(first)):  # or a part of one hour
        return _not_empty(Piece(MINUTE, first, last))
    head = Piece(MINUTE, first, first_hour)
    return _not_empty(head, *_hours(first_hour, last_hour, longest), tail)


def _hours(start: datetime | None, end: datetime, longest: int) -> list[Piece]:
    """Cover whole hours, with whole days where there are any."""
    last_day = _floor(end, DAY)
    first_day = None if start is None else _ceil(start, DAY)
    if longest < DAY or (first_day is not None and first_day >= last_day):
        return [Piece(HOUR, start, end)]
    days, tail = Piece(DAY, first_day, last_day), Piece(HOUR, last_day, end)
    if start is None or first_day is None:
        return [days, tail]
    return [Piece(HOUR, start, first_day), days, tail]


def summary(start: datetime | None, end: datetime) -> Totals:
    """The totals of a period."""
    sums = rollups(start, end).aggregate(**{f"sum_{name}": Sum(name) for name in COUNTERS})
    return _totals(sums)


def by(dimension: Dimension, start: datetime | None, end: datetime) -> list[Group]:
    """The totals of a period by model, app or tag, the most expensive first."""
    rows = (
        rollups(start, end)
        .order_by()
        .values(dimension)
        .annotate(**{f"sum_{name}": Sum(name) for name in COUNTERS})
    )
    return dearest(Group(row[dimension] or "", _totals(row)) for row in rows)


def cells(start: datetime | None, end: datetime, where: Names | None = None) -> list[Cell]:
    """The totals of a period for each model, app and tag that occur together.

    One look at the rollups from which every figure of a page is folded (`total`, `fold`), so
    that they add up to each other. ``where`` names the model, app or tag to keep to.
    """
    rows = (
        rollups(start, end)
        .filter(**dict(where or {}))
        .order_by()
        .values_list(*DIMENSIONS)
        .annotate(*(Sum(name) for name in COUNTERS))
    )
    return [Cell(model or "", app or "", tag or "", _made(sums)) for model, app, tag, *sums in rows]


def total(found: Iterable[Cell]) -> Totals:
    return sum_of(cell.totals for cell in found)


def fold(found: Iterable[Cell], dimension: Dimension) -> list[Group]:
    """The totals by model, app or tag, the most expensive first."""
    groups: dict[str, list[Totals]] = {}
    for cell in found:
        groups.setdefault(getattr(cell, dimension), []).append(cell.totals)
    return dearest(Group(name, sum_of(several)) for name, several in groups.items())


def sum_of(several: Iterable[Totals]) -> Totals:
    columns = zip(*map(_values, several), strict=True)
    return Totals(*(sum(column, start=column[0] * 0) for column in columns))


def dearest(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda g: (-g.totals.cost, -g.totals.requests, g.name))


def by_model(start: datetime | None, end: datetime) -> list[Group]:
    return by("model", start, end)


def by_app(start: datetime | None, end: datetime) -> list[Group]:
    return by("source_app", start, end)


def by_tag(start: datetime | None, end: datetime) -> list[Group]:
    return by("feature_tag", start, end)


def rollups(start: datetime | None, end: datetime, *, longest: int = DAY) -> QuerySet[UsageRollup]:
    """The rollups that make up a period, each request in exactly one of them."""
    return UsageRollup.objects.filter(covering(start, end, longest=longest))


def covering(start: datetime | None, end: datetime, *, longest: int = DAY) -> Q:
    """Which rollups make up a period; for `UsageTiming` as for `UsageRollup`."""
    minutes = UsageRollup.objects.filter(bucket_seconds=MINUTE)
    oldest = minutes.aggregate(oldest=Min("bucket_start"))["oldest"]
    wanted = Q(pk__in=[])
    for piece in pieces(start, end, oldest, longest=longest):
        span = Q(bucket_seconds=piece.seconds, bucket_start__lt=piece.end)
        if piece.start is not None:
            span &= Q(bucket_start__gte=piece.start)
        wanted |= span
    return wanted


def _totals(sums: dict[str, Any]) -> Totals:
    """From ``sum_<counter>`` values, which are None where no rollup matched."""
    values: dict[str, Any] = {name: sums[f"sum_{name}"] or 0 for name in COUNTERS}
    for name in MONEY_COLUMNS:
        values[name] = Decimal(values[name]).quantize(MONEY_STEP)
    return Totals(**values)


def _made(sums: Sequence[Any]) -> Totals:
    """From the sums of `COUNTERS`, in their order."""
    values: dict[str, Any] = {
        name: Decimal(value or 0).quantize(MONEY_STEP) if name in MONEY_COLUMNS else value or 0
        for name, value in zip(COUNTERS, sums, strict=True)
    }
    return Totals(**values)


_values = attrgetter(*COUNTERS)


def _not_empty(*spans: Piece) -> list[Piece]:
    return [span for span in spans if span.start is None or span.start < span.end]


def _floor(moment: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)


def _ceil(moment: datetime, seconds: int) -> datetime:
    floor = _floor(moment, seconds)
    return floor if floor == moment else floor + timedelta(seconds=seconds)
