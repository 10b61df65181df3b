"""What the Cost Intelligence tab shows: who spends what, and what comes. Read-only.

How it fails: the database's errors are passed on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from dashboard import present
from dashboard.foretelling import foreteller
from dashboard.params import NONE, Params
from dashboard.period import cuts, midnight
from usage import costs, series, stats
from usage.costs import Attribution, Routed
from usage.forecast import Forecast, Sum, month_end
from usage.stats import Dimension, Totals

LISTED = 12
SESSION_ROWS = 20_000
"""Sessions and routing rules are summed from rows, the newest so many of a period."""
HISTORY_DAYS = 180
SHOWN_HISTORY = 30


@dataclass(frozen=True, slots=True)
class Share:
    """One row of a table: a name's totals, its part of the cost, its change."""

    name: str
    label: str
    filter: str
    """The value for the URL; empty where a click leads nowhere."""
    totals: Totals
    share: float | None
    change: present.Change | None

    @property
    def cost(self) -> Decimal | None:
        return self.totals.known_cost


@dataclass(frozen=True, slots=True)
class Table:
    """Who caused the cost, by one dimension; the rows add up to the period's total."""

    title: str
    filter: str
    """The parameter that a click sets."""
    rows: list[Share]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Coming:
    """The forecast: past days, coming days with their intervals, and the month's end."""

    daily: list[tuple[date, Decimal]]
    found: Forecast | None
    """None: not made yet."""
    month: Sum | None
    month_spent: float
    today_spent: float


DIMENSIONS: dict[str, tuple[str, Dimension, str]] = {
    "tag": ("By tag", "feature_tag", "untagged"),
    "app": ("By app", "source_app", "no app named"),
    "model": ("By model", "model", "no model named"),
}


def tables(params: Params) -> tuple[list[Table], Totals, Totals | None]:
    """Cost by tag, app and model, from one look at the rollups; and the totals, now and before."""
    period = params.period
    cells = stats.cells(period.start, period.end, params.names)
    past = stats.cells(*period.before, params.names) if period.before is not None else []
    total = stats.total(cells)
    found = []
    for name, (title, dimension, without) in DIMENSIONS.items():
        groups = stats.fold(cells, dimension)
        before = {g.name: g.totals for g in stats.fold(past, dimension)} if past else None
        found.append(Table(title, name, _shares(groups, total, before, without)))
    return found, total, stats.total(past) if past else None


def _shares(
    groups: list[stats.Group],
    total: Totals,
    before: dict[str, Totals] | None,
    without: str,
) -> list[Share]:
    rows = [
        Share(
            group.name,
            group.name or without,
            group.name or NONE,
            group.totals,
            _part(group.totals.cost, total.cost),
            _change(group.totals, before.get(group.name)) if before is not None else None,
        )
        for group in groups[:LISTED]
    ]
    rest = groups[LISTED:]
    if rest:
        totals = stats.sum_of(group.totals for group in rest)
        rows.append(
            Share("", f"{len(rest)} others", "", totals, _part(totals.cost, total.cost), None)
        )
    return rows


def _change(now: Totals, before: Totals | None) -> present.Change | None:
    if before is None:
        return present.Change("", "new", None)
    return present.change(now.cost, before.cost)


def _part(cost: Decimal, total: Decimal) -> float | None:
    return float(cost / total) if total else None


@dataclass(frozen=True, slots=True)
class Sessions:
    """The dearest sessions; ``since`` is set where only the newest requests were looked at."""

    rows: list[Attribution]
    since: datetime | None


def sessions(params: Params, top: int = LISTED) -> Sessions:
    """The dearest sessions of the view's newest `SESSION_ROWS` requests."""
    period = params.period
    since = series.busiest_since(period.start, period.end, SESSION_ROWS)
    rows = costs.by_session(since, period.end, top, params.names)
    return Sessions(rows, since if since != period.start else None)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the routing rules did."""

    rows: list[Routed]
    since: datetime | None
    """Set where only the newest requests were looked at."""


def rules(params: Params) -> Rules:
    """Hits by rule among the view's newest `SESSION_ROWS` requests."""
    period = params.period
    since = series.busiest_since(period.start, period.end, SESSION_ROWS)
    rows = costs.by_rule(since, period.end, params.names)
    return Rules(rows, since if since != period.start else None)


def over_time(params: Params, dimension: Dimension, names: Iterable[str]) -> dict[str, Any]:
    """Cost over time of some names and of the others, for the page's script."""
    period = params.period
    start = period.start or series.first_request() or period.end - timedelta(hours=1)
    slices = cuts(start, period.end, period.zone)
    lines = series.lines(slices, period.end, dimension, list(names), params.names)
    return {
        "slices": [cut.isoformat() for cut in slices],
        "end": period.end.isoformat(),
        "zone": period.zone.key,
        "lines": [
            {
                "name": "others" if line.name == series.OTHER else line.name or NONE,
                "filter": "" if line.name == series.OTHER else line.name or NONE,
                "cost": [float(one.cost) for one in line.slices],
            }
            for line in lines
        ],
    }


def coming(params: Params, wait: float = 0.0) -> Coming:
    """The days of the zone, those to come foretold; only by model, app and tag of the view.

    ``wait``: seconds to wait for the forecast.
    """
    zone, now = params.period.zone, params.period.end
    today = now.astimezone(zone).date()
    first = series.first_request()
    since = midnight(now - timedelta(days=HISTORY_DAYS), zone)
    daily: list[tuple[date, Decimal]] = []
    if first is not None:
        start = max(since, midnight(first, zone))
        slices = cuts(start, now, zone, "day")
        lines = series.lines(slices, now, "model", [], params.names)
        totals = lines[0].slices if lines else [Totals()] * len(slices)
        daily = [
            (cut.astimezone(zone).date(), one.cost) for cut, one in zip(slices, totals, strict=True)
        ]
    spent = dict(daily)
    month = sum((cost for day, cost in daily if (day.year, day.month) == (today.year, today.month)))
    found = foreteller.forecast([(day, float(cost)) for day, cost in daily], today, wait)
    today_spent = float(spent.get(today, 0))
    end = month_end(found, float(month), today_spent) if found and found.days else None
    return Coming(daily, found, end, float(month), today_spent)


def drawn(found: Coming) -> dict[str, Any]:
    """The forecast for the page's script."""
    past = found.daily[-SHOWN_HISTORY - 1 : -1] if found.daily else []
    return {
        "past": [[day.isoformat(), float(cost)] for day, cost in past],
        "today": found.today_spent,
        "coming": [
            [day.day.isoformat(), day.expected, day.low, day.high] for day in found.found.days
        ]
        if found.found is not None
        else [],
    }


def explained(found: Forecast | None) -> str:
    """How the forecast was found, in a sentence."""
    if found is None:
        return "Working out the forecast …"
    days = f"{found.history} whole {'day' if found.history == 1 else 'days'}"
    if found.method == "none":
        return "Nothing was spent on a whole day yet, so there is nothing to go by."
    if found.method == "average":
        return f"The average of {days}. Two weeks of history make a better forecast."
    how = "exponential smoothing" if found.method == "smoothing" else "a straight line"
    season = " with a weekly season" if found.weekly else ""
    return f"By {how}{season}, from {days}. The band holds 80% of days."
