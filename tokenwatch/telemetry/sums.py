"""Sums and histograms in memory, by their attributes. Pure.

The SDK's own instruments take about 9 us for each value, and a request has five or more: a tenth
of what it costs to serve one. These take about one; `points` makes the SDK's data of them.
How it fails: past `LIMIT` sets of attributes (clients choose the models' names) what is new
counts together under ``otel.metric.overflow``, as the specification has it.
"""

from bisect import bisect_left
from collections.abc import Iterator

from tokenwatch.telemetry.names import Instrument

LIMIT = 2000
"""The SDK's default."""
Values = tuple[object, ...]
"""An attribute's values in the instrument's order; those that are empty or None are not sent."""
OVERFLOW: Values = ()


class Distribution:
    """The values of one histogram with the same attributes."""

    __slots__ = ("count", "counts", "high", "low", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.count = 0
        self.total = 0.0
        self.low = float("inf")
        self.high = float("-inf")


class Sums:
    """All that one worker has counted since it started. For one thread at a time."""

    def __init__(self) -> None:
        self._sums: dict[Instrument, dict[Values, int | float]] = {}
        self._distributions: dict[Instrument, dict[Values, Distribution]] = {}

    def add(self, instrument: Instrument, values: Values, amount: int | float = 1) -> None:
        """Add to a sum."""
        sums = self._sums.setdefault(instrument, {})
        if values not in sums and len(sums) >= LIMIT and values:
            values = OVERFLOW
        sums[values] = sums.get(values, 0) + amount

    def record(self, instrument: Instrument, values: Values, value: float) -> None:
        """Take a value into a histogram; a bucket includes its upper bound."""
        found = self._distributions.setdefault(instrument, {})
        one = found.get(values)
        if one is None:
            if len(found) >= LIMIT:
                values = OVERFLOW
            one = found.setdefault(values, Distribution(len(instrument.bounds) + 1))
        one.counts[bisect_left(instrument.bounds, value)] += 1
        one.count += 1
        one.total += value
        one.low = min(one.low, value)
        one.high = max(one.high, value)

    def sums(self) -> Iterator[tuple[Instrument, dict[Values, int | float]]]:
        yield from self._sums.items()

    def distributions(self) -> Iterator[tuple[Instrument, dict[Values, Distribution]]]:
        yield from self._distributions.items()
