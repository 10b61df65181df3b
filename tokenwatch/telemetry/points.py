"""The sums of `sums` as the SDK's data, for its exporter."""

from collections.abc import Iterable

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import AttributeValue

from tokenwatch.telemetry import names
from tokenwatch.telemetry.names import Instrument
from tokenwatch.telemetry.spans import SCOPE
from tokenwatch.telemetry.sums import Distribution, Sums, Values

Reading = tuple[Instrument, Values, float]


def attributes(instrument: Instrument, values: Values) -> dict[str, AttributeValue]:
    """Values with their names; the empty ones are left out."""
    if instrument.attributes and not values:
        return {names.OVERFLOW: True}
    pairs = zip(instrument.attributes, values, strict=True)
    return {name: value for name, value in pairs if value not in ("", None)}  # type: ignore[misc]


def data(
    resource: Resource, sums: Sums, gauges: Iterable[Reading], *, since: int, now: int
) -> MetricsData:
    """All metrics as they stand, cumulative since the worker's start. Times in nanoseconds."""
    metrics = [_sum(one, found, since, now) for one, found in sums.sums()]
    metrics += [_histogram(one, found, since, now) for one, found in sums.distributions()]
    readings: dict[Instrument, list[NumberDataPoint]] = {}
    for instrument, values, value in gauges:
        point = NumberDataPoint(attributes(instrument, values), since, now, value)
        readings.setdefault(instrument, []).append(point)
    metrics += [
        Metric(one.name, one.description, one.unit, Gauge(points))
        for one, points in readings.items()
    ]
    scope = ScopeMetrics(SCOPE, metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _sum(instrument: Instrument, found: dict[Values, int | float], since: int, now: int) -> Metric:
    points = [
        NumberDataPoint(attributes(instrument, values), since, now, value)
        for values, value in found.items()
    ]
    total = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Metric(instrument.name, instrument.description, instrument.unit, total)


def _histogram(
    instrument: Instrument, found: dict[Values, Distribution], since: int, now: int
) -> Metric:
    points = [
        HistogramDataPoint(
            attributes=attributes(instrument, values),
            start_time_unix_nano=since,
            time_unix_nano=now,
            count=one.count,
            sum=one.total,
            bucket_counts=tuple(one.counts),
            explicit_bounds=instrument.bounds,
            min=one.low,
            max=one.high,
        )
        for values, one in found.items()
    ]
    histogram = Histogram(points, AggregationTemporality.CUMULATIVE)
    return Metric(instrument.name, instrument.description, instrument.unit, histogram)
