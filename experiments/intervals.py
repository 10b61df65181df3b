"""Differences between two groups of requests, with intervals that know of sessions. Pure.

The unit is the session: requests of one session resemble each other, so each group's variance
is that of its sessions (the delta method for a ratio of sums; Deng, Knoblich and Lu, Applying
the Delta Method in Metric Analytics, KDD 2018). A request without a session is a unit of its
own. Three kinds of figures:

- means: Welch's interval over the sessions, its skewness taken out by Hall's transformation,
  as costs have heavy tails (P. Hall, On the removal of skewness by transformation, JRSS B 54,
  1992; for two samples Zhou and Dinh, Biostatistics 6, 2005);
- percentiles: the order statistics that a binomial leaves possible (Woodruff, JASA 47, 1952),
  for the number of independent requests that the sessions are worth;
- rates: Wilson's score interval for that number (Korn and Graubard, Survey Methodology 24,
  1998).

The last two are joined to an interval of the difference by what each side's own interval
reaches (Newcombe, Statistics in Medicine 17, 1998, method 10; in general Zou and Donner,
Statistics in Medicine 27, 2008).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Limits = Callable[[float], tuple[float, float]]

LEVEL = 0.95
MOST_SKEW = 1.0
"""Skewness of a difference beyond which no more is taken out: so few sessions say too little."""
FARTHEST = 40.0
"""Deviations beyond which nothing is told apart any more."""
STEPS = 30


@dataclass(frozen=True, slots=True)
class Series:
    """One group's values of one figure, each with the number of its session."""

    values: Floats
    units: Integers
    """From 0; a request without a session has a number of its own."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """The difference B - A of one figure."""

    a: float
    b: float
    units_a: int
    units_b: int
    low: float
    high: float
    """The 95 % interval of the difference; infinite on a side that the data leave open."""
    p: float
    """Probability of a difference as large if there were none, for one look at the data."""
    z: float
    """The same as deviations of a normal distribution."""

    @property
    def difference(self) -> float:
        return self.b - self.a

    @property
    def error(self) -> float:
        """Standard error that corresponds to the interval; infinite where it is open."""
        return (self.high - self.low) / (2 * float(special.ndtri((1 + LEVEL) / 2)))


def mean_contrast(a: Series, b: Series) -> Contrast | None:
    """Of means; None where a group has less than two sessions."""
    if _sessions(a) < 2 or _sessions(b) < 2:
        return None
    of_a, of_b = float(a.values.mean()), float(b.values.mean())
    first = _Spread.of(a.units, a.values - of_a)
    second = _Spread.of(b.units, b.values - of_b)
    variance, difference = first.variance + second.variance, of_b - of_a
    if variance <= (1e-9 * max(abs(of_a), abs(of_b))) ** 2:
        return _without_spread(of_a, of_b, first.units, second.units)
    error = math.sqrt(variance)
    skew = (second.third - first.third) / error**3
    back = _hall(max(-MOST_SKEW, min(MOST_SKEW, skew)))

    def limits(t: float) -> tuple[float, float]:
        return difference - error * back(t), difference - error * back(-t)

    units = first.units, second.units
    return _contrast(of_a, of_b, *units, limits, _freedom(first, second))


def percentile_contrast(a: Series, b: Series, part: float) -> Contrast | None:
    """Of percentiles, ``part`` from 0 to 1; None where a group has less than two sessions."""
    if _sessions(a) < 2 or _sessions(b) < 2:
        return None
    first, second = _Percentile(a, part), _Percentile(b, part)
    units = first.spread.units, second.spread.units
    limits = _joined(first.middle, second.middle, first.limits, second.limits)
    freedom = _freedom(first.spread, second.spread)
    return _contrast(first.middle, second.middle, *units, limits, freedom)


def rate_contrast(a: Series, b: Series) -> Contrast | None:
    """Of rates, values 0 or 1; None where a group has less than two sessions."""
    if _sessions(a) < 2 or _sessions(b) < 2:
        return None
    of_a, of_b = float(a.values.mean()), float(b.values.mean())
    first = _Spread.of(a.units, a.values - of_a)
    second = _Spread.of(b.units, b.values - of_b)
    counts = len(a.values), len(b.values)
    simple = of_a * (1 - of_a) / counts[0] + of_b * (1 - of_b) / counts[1]
    # By how much sessions make the variance larger, over both groups; where no value says it,
    # as much as they can: as if all requests of a session went the same way.
    effect = sum(counts) / (first.units + second.units)
    if simple > 0:
        effect = max(1.0, (first.variance + second.variance) / simple)
    wilson = [_wilson(rate, n / effect) for rate, n in zip((of_a, of_b), counts, strict=True)]
    freedom = float(first.units + second.units - 2)
    limits = _joined(of_a, of_b, *wilson)
    return _contrast(of_a, of_b, first.units, second.units, limits, freedom)


@dataclass(frozen=True, slots=True)
class _Spread:
    """What a mean's error is made of: the moments of its sessions' shares in it."""

    variance: float
    third: float
    fourth: float
    units: int

    @classmethod
    def of(cls, units: Integers, deviations: Floats) -> "_Spread":
        """From deviations from the mean. A long session pulls the mean towards itself: its part
        is made larger by as much (the jackknife's; CR3 of Cameron and Miller, A
        Practitioner's Guide to Cluster-Robust Inference, JHR 50, 2015)."""
        sizes = np.bincount(units)
        there = sizes > 0
        parts: Floats = np.bincount(units, weights=deviations)[there] / len(units)
        parts = parts / (1 - sizes[there] / len(units))
        count = len(parts)
        squares = parts * parts
        return cls(
            (count - 1) / count * float(squares.sum()),
            float((squares * parts).sum()),
            float((squares * squares).sum()),
            count,
        )


def _freedom(first: _Spread, second: _Spread) -> float:
    """Satterthwaite's degrees of freedom from the sessions' own fourth moments instead of a
    normal distribution's: with heavy tails a variance is known less well."""
    fourth = first.fourth + second.fourth
    if fourth <= 0:
        return float(first.units + second.units - 2)
    return max(1.0, 2 * (first.variance + second.variance) ** 2 / fourth)


def _hall(skew: float) -> Callable[[float], float]:
    """What a deviation is worth before its skewness was taken out (the inverse of Hall's g)."""
    if abs(skew) < 1e-9:
        return lambda t: t
    return lambda t: 3 / skew * (float(np.cbrt(1 + skew * (t - skew / 6))) - 1)


def _sessions(series: Series) -> int:
    return int(np.count_nonzero(np.bincount(series.units))) if len(series.units) else 0


class _Percentile:
    """A group's percentile and its limits."""

    def __init__(self, series: Series, part: float) -> None:
        self._ordered: Floats = np.sort(series.values)
        count = len(self._ordered)
        self._places = (np.arange(count) + 0.5) / count
        self._part = part
        self.middle = self._at(part)
        below = (series.values <= self.middle).astype(float)
        self.spread = _Spread.of(series.units, below - below.mean())
        simple = part * (1 - part) / count
        self._error = math.sqrt(max(self.spread.variance, simple))
        # The binomial's skewness, for as many requests as the sessions are worth
        self._shift = (1 - 2 * part) / (6 * part * (1 - part)) * self._error**2

    def limits(self, t: float) -> tuple[float, float]:
        centre = self._part + max(0.0, t * t - 1) * self._shift
        low, high = self._at(centre - t * self._error), self._at(centre + t * self._error)
        return min(low, self.middle), max(high, self.middle)

    def _at(self, place: float) -> float:
        if not 0 < place < 1:
            return -math.inf if place <= 0 else math.inf
        return float(np.interp(place, self._places, self._ordered))


def _wilson(rate: float, count: float) -> Limits:
    """The limits of a rate's score interval."""

    def limits(t: float) -> tuple[float, float]:
        square = t * t / count
        half = t * math.sqrt(rate * (1 - rate) / count + square / (4 * count))
        centre = rate + square / 2
        low, high = (centre - half) / (1 + square), (centre + half) / (1 + square)
        return min(max(0.0, low), rate), max(min(1.0, high), rate)

    return limits


def _joined(of_a: float, of_b: float, limits_a: Limits, limits_b: Limits) -> Limits:
    """Two figures' own limits as those of their difference."""

    def limits(t: float) -> tuple[float, float]:
        low_a, high_a = limits_a(t)
        low_b, high_b = limits_b(t)
        return (
            of_b - of_a - math.hypot(of_b - low_b, high_a - of_a),
            of_b - of_a + math.hypot(high_b - of_b, of_a - low_a),
        )

    return limits


def _contrast(
    a: float, b: float, units_a: int, units_b: int, limits: Limits, freedom: float
) -> Contrast:
    low, high = limits(float(special.stdtrit(freedom, (1 + LEVEL) / 2)))
    t = _reach(b - a, limits)
    p = min(1.0, 2 * float(special.stdtr(freedom, -t)))
    return Contrast(a, b, units_a, units_b, low, high, p, _deviations(p))


def _reach(difference: float, limits: Limits) -> float:
    """How wide the interval must be, in deviations, to reach no difference."""

    def reaches(t: float) -> bool:
        low, high = limits(t)
        return low <= 0 if difference > 0 else high >= 0

    if difference == 0:
        return 0.0
    inside, outside = FARTHEST, 0.0
    if not reaches(inside):
        return FARTHEST
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        if reaches(middle):
            inside = middle
        else:
            outside = middle
    return outside


def _without_spread(a: float, b: float, units_a: int, units_b: int) -> Contrast:
    """All values of a group are the same: the probability that chance parted the sessions so."""
    alike = math.isclose(a, b, rel_tol=1e-9)
    ways = math.lgamma(units_a + units_b + 1) - math.lgamma(units_a + 1) - math.lgamma(units_b + 1)
    p = 1.0 if alike else min(1.0, 2 * math.exp(-ways))
    if alike:
        b = a
    return Contrast(a, b, units_a, units_b, b - a, b - a, p, _deviations(p))


def _deviations(p: float) -> float:
    return float(-special.ndtri(max(p, 1e-300) / 2))
