"""Which period of a budget a moment belongs to. Pure; calendars of time zones by zoneinfo.

Periods tile: each begins at the very second at which the one before ends, across
daylight-saving changes and the ends of months too. A day has 23 or 25 hours where its zone
says so; where midnight does not exist, the day begins with its first moment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

HOUR = 3600


@dataclass(frozen=True, slots=True)
class Period:
    """``start`` <= moment < ``end``, in seconds since the epoch."""

    start: float
    end: float | None
    """None where there is no reset (a total)."""


def period_of(kind: str, time_zone: str, at: float, reset_at: float | None = None) -> Period:
    """The period of a moment.

    ``kind``: hourly, daily, weekly (from Monday), monthly or total. ``reset_at``: the moment
    at which the budget was begun anew by hand; it ends one period and begins another.

    Raises:
        KeyError: there is no such kind.
    """
    period = _natural(kind, time_zone, at)
    if reset_at is None:
        return period
    if at < reset_at:
        end = reset_at if period.end is None else min(period.end, reset_at)
        return Period(period.start, end)
    return Period(max(period.start, reset_at), period.end)


def _natural(kind: str, time_zone: str, at: float) -> Period:
    if kind == "total":
        return Period(0.0, None)
    zone = _zone(time_zone)
    if kind == "hourly":
        return _hour(zone, at)
    first_day, following = _CALENDAR[kind]
    first = first_day(datetime.fromtimestamp(at, zone).date())
    # Around a change of the clock, the moment may lie beside the period of its local date.
    while at < _midnight(zone, first):
        first = first_day(first - timedelta(days=1))
    while at >= _midnight(zone, following(first)):
        first = following(first)
    return Period(_midnight(zone, first), _midnight(zone, following(first)))


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    """A time zone; UTC where nobody knows the name, as a request must not fail for that."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _midnight(zone: ZoneInfo, day: date) -> float:
    """When a day begins. A midnight that the clock skips is counted by the time before the
    change: that is the moment of the change. Of one that comes twice, it is the first."""
    return datetime.combine(day, time(), zone).timestamp()


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first_of_month(day: date) -> date:
    return day.replace(day=1)


_CALENDAR: dict[str, tuple[Callable[[date], date], Callable[[date], date]]] = {
    "daily": (lambda day: day, lambda day: day + timedelta(days=1)),
    "weekly": (_monday, lambda day: day + timedelta(days=7)),
    "monthly": (_first_of_month, lambda day: _first_of_month(day + timedelta(days=31))),
}
"""For each kind: the first day of a day's period, and the first day of the period after it."""


def _hour(zone: ZoneInfo, at: float) -> Period:
    """The hour on the zone's clock. It is shorter where the clock changes by part of an hour."""
    minutes = _past_the_hour(zone, at)
    start = (at + minutes) // HOUR * HOUR - minutes
    end = start + HOUR
    if _past_the_hour(zone, start) != minutes:
        start = _change(zone, start, at)
    if _past_the_hour(zone, end - 1) != minutes:
        end = _change(zone, at, end - 1)
    return Period(start, end)


def _past_the_hour(zone: ZoneInfo, at: float) -> float:
    """Seconds that the zone's offset from UTC is past a whole hour."""
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    assert offset is not None
    return offset.total_seconds() % HOUR


def _change(zone: ZoneInfo, before: float, after: float) -> float:
    """The second at which the offset changes between two moments."""
    low, high = int(before), int(after)
    past = _past_the_hour(zone, before)
    while high - low > 1:
        middle = (low + high) // 2
        if _past_the_hour(zone, middle) == past:
            low = middle
        else:
            high = middle
    return float(high)
