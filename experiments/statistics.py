"""What an A/B test's requests say: figures, differences, what may be concluded. Pure.

Requests in, `Comparison` out. What is compared how:

=============  ===================  =========================================================
figure         over                 practical size
=============  ===================  =========================================================
latency p50    answers              10 % of A's
latency p95    answers              10 % of A's
ttft p50       streamed answers     10 % of A's
output tokens  answers, mean        10 % of A's
cost           all requests, mean   10 % of A's; requests whose price is unknown are left out
error rate     all requests         1 percentage point
rating         rated requests       a fifth of a standard deviation (Cohen's "small")
=============  ===================  =========================================================

An answer is a request without an error: a fast refusal is no fast answer. `intervals` has the
formulas of one look, `sequential` those of the verdict.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from experiments import sequential
from experiments.assign import A, B
from experiments.intervals import (
    Contrast,
    Series,
    mean_contrast,
    percentile_contrast,
    rate_contrast,
)

MIN_UNITS = 100
"""Sessions of each variant below which nothing is judged: formulas for large numbers."""
UNEVEN = 0.001
"""Probability of a split below which it is said to be off."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observations:
    """One variant's requests, a column each; NaN where a value is unknown."""

    units: NDArray[np.int64]
    """The number of the session, from 0; a request without one has a number of its own."""
    latency_ms: Floats
    ttft_ms: Floats
    output_tokens: Floats
    cost: Floats
    error: Floats
    """1 or 0."""
    rating: Floats

    @property
    def requests(self) -> int:
        return len(self.units)

    @property
    def sessions(self) -> int:
        return len(np.unique(self.units))

    @property
    def unpriced(self) -> int:
        return int(np.isnan(self.cost).sum())


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that variants are compared by."""

    name: str
    title: str
    unit: str
    """ms, tokens, usd, rate or points."""
    better: str
    """lower, higher, or empty where neither is."""
    column: str
    answers_only: bool
    figure: Callable[[Floats], float]
    contrast: Callable[[Series, Series], Contrast | None]

    def of(self, seen: Observations) -> Series:
        """What is known of the figure."""
        values: Floats = getattr(seen, self.column)
        known = ~np.isnan(values)
        if self.answers_only:
            known &= seen.error == 0
        return Series(values[known], seen.units[known])

    def practical(self, a: Series, b: Series) -> float:
        """The size of a difference that is worth finding."""
        if self.unit == "rate":
            return 0.01
        if self.unit == "points":
            return math.sqrt((float(a.values.var()) + float(b.values.var())) / 2) / 5
        return abs(self.figure(a.values)) / 10


def _mean(values: Floats) -> float:
    return float(values.mean())


def _percentile(name: str, title: str, column: str, part: float) -> Metric:
    return Metric(
        name,
        title,
        "ms",
        "lower",
        column,
        True,
        lambda values: float(np.quantile(values, part)),
        lambda a, b: percentile_contrast(a, b, part),
    )


METRICS = (
    _percentile("latency_p50", "latency p50", "latency_ms", 0.5),
    _percentile("latency_p95", "latency p95", "latency_ms", 0.95),
    _percentile("ttft_p50", "time to first token p50", "ttft_ms", 0.5),
    Metric(
        "output_tokens", "output tokens", "tokens", "", "output_tokens", True, _mean, mean_contrast
    ),
    Metric("cost", "cost per request", "usd", "lower", "cost", False, _mean, mean_contrast),
    Metric("error_rate", "error rate", "rate", "lower", "error", False, _mean, rate_contrast),
    Metric("rating", "rating", "points", "higher", "rating", False, _mean, mean_contrast),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both variants and what its difference is worth."""

    metric: str
    title: str
    unit: str
    better: str
    a: float | None
    b: float | None
    """None where the variant has no such value."""
    units_a: int
    units_b: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    """95 % interval of B - A, for one look; None where the data leave it open."""
    p: float | None = None
    """For one look."""
    p_verdict: float | None = None
    """For all looks and all figures together: below 0.05 the difference is called one."""
    practical: float | None = None
    """The size of a difference that is worth finding."""
    needed: int | None = None
    """Requests still needed to find one of that size; 0 where there are enough."""
    differs: bool = False
    """The verdict takes the difference for one."""
    same: bool = False
    """The verdict takes any difference for smaller than the practical size."""

    @property
    def winner(self) -> str:
        """A or B where this figure speaks for one."""
        if not self.differs or not self.better or self.difference is None:
            return ""
        return B if (self.difference > 0) == (self.better == "higher") else A


@dataclass(frozen=True, slots=True)
class Split:
    """How the sessions fell, against what the share says."""

    sessions_a: int
    sessions_b: int
    share: float
    p: float
    """Probability of a split that is at least as far off."""

    @property
    def uneven(self) -> bool:
        return self.p < UNEVEN


@dataclass(frozen=True, slots=True)
class Comparison:
    """A test's requests, compared."""

    requests_a: int
    requests_b: int
    split: Split
    unpriced_a: int
    unpriced_b: int
    rows: tuple[Row, ...]

    @property
    def enough(self) -> bool:
        """Whether there are sessions enough to judge anything."""
        return min(self.split.sessions_a, self.split.sessions_b) >= MIN_UNITS


def compare(a: Observations, b: Observations, share: float) -> Comparison:
    """Compare two variants. ``share`` is A's part of the sessions that was asked for."""
    found = {metric.name: metric.contrast(metric.of(a), metric.of(b)) for metric in METRICS}
    judged = {
        name: sequential.always_valid(
            contrast.z, sequential.information(contrast.units_a, contrast.units_b)
        )
        for name, contrast in found.items()
        if contrast is not None and min(contrast.units_a, contrast.units_b) >= MIN_UNITS
    }
    adjusted = sequential.holm(judged)
    requests = a.requests + b.requests
    return Comparison(
        a.requests,
        b.requests,
        split(a.sessions, b.sessions, share),
        a.unpriced,
        b.unpriced,
        tuple(
            _row(metric, metric.of(a), metric.of(b), found[metric.name], adjusted, requests)
            for metric in METRICS
        ),
    )


def split(sessions_a: int, sessions_b: int, share: float) -> Split:
    """How probable a split is, at all looks together (the binomial distribution's normal
    approximation, continuity corrected)."""
    total = sessions_a + sessions_b
    if total == 0:
        return Split(0, 0, share, 1.0)
    off = max(0.0, abs(sessions_a - total * share) - 0.5)
    z = off / math.sqrt(total * share * (1 - share))
    progress = total / 2 / sequential.TUNED_TO
    return Split(sessions_a, sessions_b, share, sequential.always_valid(z, progress))


def _row(
    metric: Metric,
    a: Series,
    b: Series,
    contrast: Contrast | None,
    adjusted: dict[str, float],
    requests: int,
) -> Row:
    row = Row(
        metric.name,
        metric.title,
        metric.unit,
        metric.better,
        metric.figure(a.values) if len(a.values) else None,
        metric.figure(b.values) if len(b.values) else None,
        len(np.unique(a.units)),
        len(np.unique(b.units)),
    )
    if contrast is None:
        return row
    progress = sequential.information(contrast.units_a, contrast.units_b)
    strictest = sequential.ALPHA / max(1, len(adjusted))
    size, error = metric.practical(a, b), contrast.error
    p_verdict = adjusted.get(metric.name)
    factor = sequential.growth(error, size, progress, strictest) if error else 0.0
    largest = abs(contrast.difference) + sequential.reach(progress, strictest) * error
    return replace(
        row,
        a=contrast.a,
        b=contrast.b,
        difference=contrast.difference,
        low=_finite(contrast.low),
        high=_finite(contrast.high),
        p=contrast.p,
        p_verdict=p_verdict,
        practical=size,
        needed=_needed(contrast, factor, requests),
        differs=p_verdict is not None and p_verdict < sequential.ALPHA,
        same=p_verdict is not None and (largest < size or largest == 0),
    )


def _needed(contrast: Contrast, factor: float, requests: int) -> int | None:
    """Further requests of the test, in two figures: more would be false precision."""
    factor = max(factor, MIN_UNITS / min(contrast.units_a, contrast.units_b))
    if factor >= sequential.MOST:
        return None
    more = requests * (factor - 1)
    if more <= 0:
        return 0
    step = 10 ** max(0, math.floor(math.log10(more)) - 1)
    return math.ceil(more / step) * step


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
