"""Which period a page shows, and where its slices begin. Pure: the time is an argument.

A range ends now, or lies between two moments that were dragged over on a chart. Slices follow
the calendar of the chosen zone: a day begins at its midnight, also where the clock changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

RANGES: dict[str, str] = {
    "1h": "1 hour",
    "24h": "24 hours",
    "today": "Today",
    "7d": "7 days",
    "30d": "30 days",
    "all": "All",
}
_LENGTHS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
STEPS: tuple[tuple[timedelta, str], ...] = (
    (timedelta(hours=2, minutes=1), "minute"),
    (timedelta(hours=8), "5 minutes"),
    (timedelta(days=3), "hour"),
    (timedelta(days=10), "6 hours"),
    (timedelta(days=120), "day"),
    (timedelta(days=800), "week"),
)
"""The longest period that is cut into slices of this length; months beyond."""
_SECONDS = {"minute": 60, "5 minutes": 300, "hour": 3600}
SHORTEST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Period:
    """What a page shows: ``start`` (None: from the beginning) to ``end``, in a zone."""

    range: str
    """One of `RANGES`, or custom."""
    start: datetime | None
    end: datetime
    zone: ZoneInfo

    @property
    def before(self) -> tuple[datetime, datetime] | None:
        """The period to compare with: as long and just before; of today, yesterday until now."""
        if self.start is None:
            return None
        length = timedelta(days=1) if self.range == "today" else self.end - self.start
        return self.start - length, self.end - length

    @property
    def title(self) -> str:
        if self.range in RANGES:
            return RANGES[self.range]
        assert self.start is not None
        first, last = self.start.astimezone(self.zone), self.end.astimezone(self.zone)
        to = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%d %b %H:%M}"
        return f"{first:%d %b %H:%M} to {to}"


def period(name: str, zone: ZoneInfo, now: datetime) -> Period:
    """One of `RANGES` that ends now."""
    if name == "today":
        return Period(name, midnight(now, zone), now, zone)
    length = _LENGTHS.get(name)
    return Period(name, now - length if length is not None else None, now, zone)


def between(start: datetime, end: datetime, zone: ZoneInfo) -> Period:
    """From one moment to another.

    Raises:
        ValueError: they are not in this order, or less than `SHORTEST` apart.
    """
    if end - start < SHORTEST:
        raise ValueError("the end must be a minute or more after the start")
    return Period("custom", start, end, zone)


def midnight(moment: datetime, zone: ZoneInfo) -> datetime:
    """When the day of a moment began, in UTC."""
    local = moment.astimezone(zone)
    return datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)


def step_of(start: datetime, end: datetime) -> str:
    """How long the slices of a period are."""
    return next((step for longest, step in STEPS if end - start <= longest), "month")


def cuts(start: datetime, end: datetime, zone: ZoneInfo, step: str | None = None) -> list[datetime]:
    """The moments at which the slices begin, in UTC; the first one is the start itself."""
    found = [start.astimezone(UTC)]
    for cut in _calendar(start, zone, step or step_of(start, end)):
        if cut >= end:
            break
        if cut > start:
            found.append(cut)
    return found


def _calendar(start: datetime, zone: ZoneInfo, step: str) -> Iterator[datetime]:
    if step in _SECONDS:
        yield from _even(start, zone, _SECONDS[step])
    local = start.astimezone(zone)
    day = datetime(local.year, local.month, local.day)
    if step == "week":
        day -= timedelta(days=day.weekday())
    if step == "month":
        day = day.replace(day=1)
    while True:
        yield day.replace(tzinfo=zone).astimezone(UTC)
        if step == "6 hours":
            day += timedelta(hours=6)
        elif step == "month":
            day = (day + timedelta(days=32)).replace(day=1)
        else:
            day += timedelta(days=7 if step == "week" else 1)


def _even(start: datetime, zone: ZoneInfo, seconds: int) -> Iterator[datetime]:
    """Steps of an hour or less, on the wall clock's full hours."""
    offset = start.astimezone(zone).utcoffset() or timedelta()
    shift = int(offset.total_seconds())
    moment = (int(start.timestamp()) + shift) // seconds * seconds - shift
    while True:
        yield datetime.fromtimestamp(moment, UTC)
        moment += seconds
