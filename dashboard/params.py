"""What a page or an API call was asked for: range, zone and filters, read from the URL.

Everything that a view shows stands in its URL, so that it can be sent to someone. A page takes
a value that is none for the default; the API refuses it (`problems`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dashboard.period import RANGES, Period, between, period
from usage.listing import CACHES, COSTS, STATUSES, Wanted
from usage.stats import Dimension

NONE = "(none)"
"""In the URL: those that named none."""
FILTERS = ("model", "app", "tag", "session", "status", "cache", "cost")
CHOICES: dict[str, tuple[str, ...]] = {"status": STATUSES, "cache": CACHES, "cost": COSTS}
COLUMNS: dict[str, Dimension] = {"model": "model", "app": "source_app", "tag": "feature_tag"}
DEFAULT_RANGE = "24h"
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Params:
    """A view: its period and its filters, as the URL gave them (`NONE` still in place)."""

    period: Period
    filters: Mapping[str, str]
    given: Mapping[str, str]
    """The parameters that make the URL."""
    problems: list[str] = field(default_factory=list)

    @property
    def names(self) -> dict[Dimension, str]:
        """The filters that the rollups know, by their columns."""
        return {
            COLUMNS[name]: _plain(value) for name, value in self.filters.items() if name in COLUMNS
        }

    @property
    def wanted(self) -> Wanted:
        """The requests of this view."""
        plain = {name: _plain(value) for name, value in self.filters.items()}
        return Wanted(
            self.period.start,
            self.period.end,
            model=plain.get("model"),
            source_app=plain.get("app"),
            feature_tag=plain.get("tag"),
            session=plain.get("session"),
            status=plain.get("status"),
            cache=plain.get("cache"),
            cost=plain.get("cost"),
        )

    def url(self, **changes: str | None) -> str:
        """The query of this view with some parameters changed; None takes one away."""
        values = {**self.given, **changes}
        kept = {name: value for name, value in values.items() if value}
        return f"?{urlencode(kept)}" if kept else "?"


def read(query: Mapping[str, str], now: datetime, *, zone: str = "") -> Params:
    """Read a URL's parameters; ``zone`` is the one to take where it names none."""
    problems: list[str] = []
    given: dict[str, str] = {}
    found = _zone(query.get("zone", ""), given, problems) or _zone(zone, {}, []) or ZoneInfo("UTC")
    shown = _period(query, found, now, given, problems)
    filters = {}
    for name in FILTERS:
        value = query.get(name, "").strip()[:LONGEST]
        if value and name in CHOICES and value not in CHOICES[name]:
            problems.append(f"{name}: expected one of {', '.join(CHOICES[name])}")
        elif value:
            filters[name] = given[name] = value.replace("\0", "")
    return Params(shown, filters, given, problems)


def _zone(name: str, given: dict[str, str], problems: list[str]) -> ZoneInfo | None:
    if not name:
        return None
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.append("zone: expected a name like Europe/Berlin")
        return None
    given["zone"] = name
    return zone


def _period(
    query: Mapping[str, str],
    zone: ZoneInfo,
    now: datetime,
    given: dict[str, str],
    problems: list[str],
) -> Period:
    first, last = query.get("from", ""), query.get("to", "")
    if first or last:
        try:
            found = between(_moment(first), min(_moment(last), now) if last else now, zone)
        except (ValueError, OverflowError):
            problems.append("from, to: expected two moments in ISO 8601, a minute or more apart")
        else:
            given["from"], given["to"] = first, last
            return found
    name = query.get("range", "")
    if name in RANGES:
        given["range"] = name
    elif name:
        problems.append(f"range: expected one of {', '.join(RANGES)}")
    return period(name if name in RANGES else DEFAULT_RANGE, zone, now)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if not 1990 <= moment.year <= 9000:
        raise ValueError("far from now")
    return moment.astimezone(UTC)


def _plain(value: str) -> str:
    return "" if value == NONE else value
