"""What the Overview shows: tiles with their change, and figures over time. Read-only.

Every total is folded from one look at the rollups (`usage.stats.cells`), and the charts cut
the same rollups into slices, so that tiles, charts and the Cost tab add up to each other.
How it fails: the database's errors are passed on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dashboard import present
from dashboard.params import NONE, Params
from dashboard.period import cuts
from usage import series, stats
from usage.stats import Cell, Group, Names, Totals

LINES = 6
"""Models with a colour of their own; the others are one."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long requests took, in milliseconds. None where nothing was measured."""

    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """A period's figures, and those of the period before (None: there is none)."""

    cells: list[Cell]
    now: Totals
    before: Totals | None
    latency: Timing
    latency_before: Timing
    overhead: Timing

    @property
    def models(self) -> list[Group]:
        return stats.fold(self.cells, "model")


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure with its change against the period before."""

    name: str
    title: str
    value: str
    exact: str
    """All digits and the unit, shown on hovering."""
    note: str
    change: present.Change | None


def figures(params: Params) -> Figures:
    """All sums of a view."""
    period, names = params.period, params.names
    cells = stats.cells(period.start, period.end, names)
    earlier = period.before
    before = None
    timing_before = Timing()
    if earlier is not None:
        before = stats.total(stats.cells(*earlier, names))
        timing_before = timing(params, *earlier)
    return Figures(
        cells=cells,
        now=stats.total(cells),
        before=before,
        latency=timing(params, period.start, period.end),
        latency_before=timing_before,
        overhead=overhead(params),
    )


def timing(params: Params, start: datetime | None, end: datetime) -> Timing:
    """Latency of the view's requests; empty where it is of one tag, which is not kept apart."""
    if "feature_tag" in params.names:
        return Timing()
    return _timing("latency", start, end, params.names)


def overhead(params: Params) -> Timing:
    """What TokenWatch itself added, over all requests of the period."""
    return _timing("overhead", params.period.start, params.period.end, {})


def _timing(kind: Any, start: datetime | None, end: datetime, names: Names) -> Timing:
    return Timing(*series.percentiles(kind, series.counts(kind, start, end, names), 0.5, 0.95))


def tiles(found: Figures) -> list[Tile]:
    """The six tiles, in their order."""
    now, before = found.now, found.before

    def changed(figure: Any, more_is: str = "") -> present.Change | None:
        return (
            None if before is None else present.change(figure(now), figure(before), more_is=more_is)
        )

    unpriced = f"{present.count(now.unpriced)} of unknown cost" if now.unpriced else ""
    average = now.cost / (now.requests - now.unpriced) if now.requests > now.unpriced else None
    hits = present.ratio(now.cache_hits, now.requests)
    errors = present.ratio(now.errors, now.requests)
    p50, p95 = found.latency.p50, found.latency.p95
    return [
        Tile(
            "spend",
            "Spend",
            present.dollars(now.known_cost),
            present.exact_dollars(now.known_cost),
            unpriced or (f"{present.dollars(average)} a request" if average is not None else ""),
            changed(lambda t: t.cost),
        ),
        Tile(
            "requests",
            "Requests",
            present.count(now.requests),
            f"{now.requests:,} requests",
            f"{present.count(now.estimated)} with estimated usage" if now.estimated else "",
            changed(lambda t: t.requests),
        ),
        Tile(
            "tokens",
            "Tokens",
            present.count(now.tokens),
            f"{now.tokens:,} tokens",
            f"{present.count(now.output_tokens)} output",
            changed(lambda t: t.tokens),
        ),
        Tile(
            "cache",
            "Cache hits",
            present.share(hits),
            f"{now.cache_hits:,} of {now.requests:,} requests",
            f"{present.dollars(now.saved_cost)} saved",
            changed(lambda t: present.ratio(t.cache_hits, t.requests), "good"),
        ),
        Tile(
            "errors",
            "Errors",
            present.share(errors),
            f"{now.errors:,} of {now.requests:,} requests",
            f"{present.count(now.errors)} requests",
            changed(lambda t: present.ratio(t.errors, t.requests), "bad"),
        ),
        Tile(
            "latency",
            "Latency",
            present.milliseconds(p50),
            "median of all requests of the period",
            _latency_note(p95, found.overhead),
            present.change(p50, found.latency_before.p50, more_is="bad"),
        ),
    ]


def _latency_note(p95: float | None, overhead: Timing) -> str:
    notes = [f"p95 {present.milliseconds(p95)}"] if p95 is not None else []
    if overhead.p95 is not None:
        notes.append(f"added p95 {present.milliseconds(overhead.p95)}")
    return ", ".join(notes)


def charts(params: Params, found: Figures) -> dict[str, Any]:
    """What the page's script draws: slices, and a series for each line. Amounts are numbers."""
    period = params.period
    start = period.start or series.first_request() or period.end - timedelta(hours=1)
    slices = cuts(start, period.end, period.zone)
    names = [group.name for group in found.models[:LINES]]
    lines = series.lines(slices, period.end, "model", names, params.names)
    everything = [
        stats.sum_of(column) for column in zip(*(line.slices for line in lines), strict=True)
    ]
    latencies: list[tuple[float | None, float | None]] = []
    if "feature_tag" not in params.names:
        latencies = series.latencies(slices, period.end, params.names)
    return {
        "slices": [cut.isoformat() for cut in slices],
        "end": period.end.isoformat(),
        "zone": period.zone.key,
        "models": [
            {
                "name": _shown(line.name),
                "filter": "" if line.name == series.OTHER else line.name or NONE,
                "cost": [float(one.cost) for one in line.slices],
                "tokens": [one.tokens for one in line.slices],
            }
            for line in lines
        ],
        "ok": [one.requests - one.errors for one in everything],
        "errors": [one.errors for one in everything],
        "p50": [_rounded(p50) for p50, _ in latencies],
        "p95": [_rounded(p95) for _, p95 in latencies],
    }


def _shown(name: str) -> str:
    return "other models" if name == series.OTHER else name or "no model named"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def mix(totals: Totals) -> list[tuple[str, int, str]]:
    """Kinds of tokens: name, count, and what they are."""
    return [
        ("Input", totals.input_tokens, "billed at the full input price"),
        ("Output", totals.output_tokens, f"{totals.reasoning_tokens:,} of them reasoning"),
        ("Cache read", totals.cache_read_tokens, "read from the provider's cache"),
        (
            "Cache write",
            totals.cache_write_tokens + totals.cache_write_1h_tokens,
            "written to the provider's cache",
        ),
    ]
