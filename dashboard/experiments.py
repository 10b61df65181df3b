"""What the Experiments tab shows: A/B tests, their reports, and their intervals as drawings.

How it fails: the database's errors are passed on.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import words
from experiments.assign import A, B
from experiments.models import ABTest
from experiments.report import Report, report
from experiments.store import counts

if TYPE_CHECKING:  # numpy and scipy: only where a report is made
    from experiments.statistics import Row

MOST = 100


@dataclass(frozen=True, slots=True)
class Listed:
    """A test and how many requests each of its variants has."""

    test: ABTest
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Bar:
    """The interval of a difference, drawn around zero. Places are per cent of the width."""

    left: float
    width: float
    point: float
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    cells: tuple[str, ...]
    bar: Bar | None


def listed() -> list[Listed]:
    """The tests, the newest first."""
    tests = list(ABTest.objects.order_by("-id")[:MOST])
    found = counts(test.name for test in tests)
    return [Listed(test, found[test.name][A], found[test.name][B]) for test in tests]


def shown(test: ABTest) -> dict[str, Any]:
    """A test's report, for a template."""
    found: Report = report(test)
    lines = words.table(found)
    figures = [
        Figure(cells, bar(row)) for cells, row in zip(lines, found.comparison.rows, strict=False)
    ]
    return {
        "heading": words.heading(found),
        "verdict": found.verdict,
        "sides": words.sides(found),
        "figures": figures,
        "notes": found.notes,
    }


def bar(row: "Row") -> Bar | None:
    """An interval on a scale of its own: zero in the middle, the farther end at the edge."""
    if row.difference is None:
        return None
    ends = [end for end in (row.low, row.high, row.difference) if end is not None]
    reach = max(abs(end) for end in ends if math.isfinite(end)) or 1.0

    def place(value: float) -> float:
        return 50 + 48 * max(-1.0, min(1.0, value / reach))

    low = place(row.low) if row.low is not None else 0.0
    high = place(row.high) if row.high is not None else 100.0
    text = "B - A, 95 % interval, zero in the middle"
    return Bar(round(low, 2), round(max(0.5, high - low), 2), round(place(row.difference), 2), text)
