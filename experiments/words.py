"""A report as people read it, the same in the terminal and in admin. Pure."""

from typing import TYPE_CHECKING

from experiments.assign import A, B
from experiments.verdict import change, distance, shown

if TYPE_CHECKING:
    from experiments.report import LeftOut, Report
    from experiments.statistics import Row

_REASONS = (
    ("cache_hits", "from the cache"),
    ("routed", "routed"),
    ("failed_over", "failed over"),
    ("not_sent", "not sent"),
)


def heading(found: "Report") -> str:
    """``checkout (active), 2026-11-20 08:00 to 2026-11-24 09:30 UTC``"""
    name = f"{found.test.name} ({found.test.status})"
    if found.first is None or found.last is None:
        return name
    return f"{name}, {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC"


def sides(found: "Report") -> list[tuple[str, ...]]:
    """A line for each variant: letter, model, sessions, requests, what is left out, labels."""
    comparison, test = found.comparison, found.test
    split = comparison.split
    return [
        (
            variant,
            model,
            f"{sessions:,}",
            f"{requests:,}",
            left_out(found.left_out[variant]),
            ", ".join(f"{label} {count:,}" for label, count in found.labels[variant]),
        )
        for variant, model, sessions, requests in (
            (A, test.model_a, split.sessions_a, comparison.requests_a),
            (B, test.model_b, split.sessions_b, comparison.requests_b),
        )
    ]


def left_out(counts: "LeftOut") -> str:
    """``12 (10 from the cache, 2 failed over)``"""
    if not counts.total:
        return "0"
    parts = [f"{getattr(counts, name):,} {why}" for name, why in _REASONS if getattr(counts, name)]
    return f"{counts.total:,} ({', '.join(parts)})"


def table(found: "Report") -> list[tuple[str, ...]]:
    """A line for each figure: title, A, B, difference, interval, p, verdict, needed. Empty where
    no request was counted."""
    if not found.comparison.requests_a + found.comparison.requests_b:
        return []
    return [_line(row) for row in found.comparison.rows]


def _line(row: "Row") -> tuple[str, ...]:
    return (
        row.title,
        shown(row.a, row.unit),
        shown(row.b, row.unit),
        change(row),
        _interval(row),
        "-" if row.p is None else ("<0.0001" if row.p < 0.0001 else f"{row.p:.4f}"),
        _judged(row),
        "-" if row.needed is None else f"{row.needed:,}",
    )


def _interval(row: "Row") -> str:
    if row.difference is None:
        return "-"
    low = "open" if row.low is None else distance(row.low, row.unit)
    high = "open" if row.high is None else distance(row.high, row.unit)
    return f"{low} to {high}"


def _judged(row: "Row") -> str:
    if row.p is None:
        return "no data"
    if row.p_verdict is None:
        return "too early"
    if row.differs:
        return f"{row.winner} better" if row.winner else "differs"
    return "no difference" if row.same else "not told yet"
