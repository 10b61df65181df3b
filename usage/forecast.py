"""What the coming days will cost. Pure: daily amounts in, days with intervals out.

From two weeks of history on, several models are tried on days that are known already
(rolling-origin evaluation; Hyndman and Athanasopoulos, Forecasting: Principles and Practice,
section 5.10): exponential smoothing and a straight line, each with and without a week's
season. The one that was nearest serves, and its interval is widened by as much as it was too
narrow on those days. With less history it is the average, with a wide interval.

Amounts are US dollars, or tokens, or anything else that is counted by the day.
"""

import calendar
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

COVERAGE = 0.8
"""The part of all days that shall lie in their interval."""
HORIZON = 31
"""Days foretold: today, of which a part is known at best, and 30 more."""
ENOUGH = 14
"""Days of history from which a model is fitted."""
LONGEST = 180
"""Days of history that are looked at."""
SEASON = 7
SEASONAL_FROM = 3 * SEASON
CORRELATION = 0.5
"""Assumed between the errors of two days, for the interval of a sum of days: a wrong level is
wrong on all of them, noise on each anew."""

Daily = Sequence[tuple[date, float]]


@dataclass(frozen=True, slots=True)
class Day:
    """A day, the amount expected, and the interval it lies in with probability `COVERAGE`."""

    day: date
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The coming days from today on, and how they were found."""

    method: str
    """none, average, smoothing or trend."""
    weekly: bool
    """The days of the week differ."""
    history: int
    """Whole days that it rests on."""
    days: tuple[Day, ...]


@dataclass(frozen=True, slots=True)
class Sum:
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """When a limit is reached: as expected, and at the earliest. None: not before the period or
    the forecast ends."""

    expected: date | None
    earliest: date | None


@dataclass(frozen=True, slots=True)
class _Kind:
    method: str
    seasonal: bool
    trend: bool


_KINDS = (
    _Kind("smoothing", seasonal=False, trend=False),
    _Kind("smoothing", seasonal=True, trend=False),
    _Kind("smoothing", seasonal=False, trend=True),
    _Kind("smoothing", seasonal=True, trend=True),
    _Kind("trend", seasonal=False, trend=True),
    _Kind("trend", seasonal=True, trend=True),
)


def forecast(daily: Daily, today: date) -> Forecast:
    """Foretell today and the days after it from the whole days before it.

    ``daily``: one amount for each day, without gaps, oldest first; today's is left out.
    """
    values = [float(amount) for day, amount in daily if day < today][-LONGEST:]
    days = [today + timedelta(days=number) for number in range(HORIZON)]
    if not any(values):
        nothing = tuple(Day(day, 0.0, 0.0, 0.0) for day in days)
        return Forecast("none", weekly=False, history=len(values), days=nothing)
    if len(values) < ENOUGH:
        mean, half = _average(values)
        kind, middle, halves = _Kind("average", False, False), [mean] * HORIZON, [half] * HORIZON
    else:
        kind, middle, halves = _modelled(values)
    found = tuple(
        Day(day, max(0.0, mid), max(0.0, mid - half), max(0.0, mid + half))
        for day, mid, half in zip(days, middle, halves, strict=True)
    )
    return Forecast(kind.method, weekly=kind.seasonal, history=len(values), days=found)


def month_end(found: Forecast, spent_month: float, spent_today: float) -> Sum:
    """What the present month will have cost at its end."""
    today = found.days[0].day
    last = today.replace(day=calendar.monthrange(today.year, today.month)[1])
    rest = total([day for day in found.days if today < day.day <= last])
    first = found.days[0]
    return Sum(
        spent_month + max(0.0, first.expected - spent_today) + rest.expected,
        spent_month + max(0.0, first.low - spent_today) + rest.low,
        spent_month + max(0.0, first.high - spent_today) + rest.high,
    )


def total(days: Sequence[Day]) -> Sum:
    """The sum of several days."""
    expected = sum(day.expected for day in days)
    count = max(1, len(days))
    together = math.sqrt((1 + (count - 1) * CORRELATION) / count)
    low = sum(day.expected - day.low for day in days) * together
    high = sum(day.high - day.expected for day in days) * together
    return Sum(expected, max(0.0, expected - low), expected + high)


def exhaustion(
    found: Forecast, limit: float, spent: float, spent_today: float, last_day: date | None
) -> Exhaustion:
    """When a budget is used up; ``last_day`` is the last one of its period, None if it has none."""
    if not found.days:
        return Exhaustion(None, None)
    if spent >= limit:
        today = found.days[0].day
        return Exhaustion(today, today)
    days = [day for day in found.days if last_day is None or day.day <= last_day]
    return Exhaustion(
        _passed([(day.day, day.expected) for day in days], limit - spent, spent_today),
        _passed([(day.day, day.high) for day in days], limit - spent, spent_today),
    )


def _passed(days: Sequence[tuple[date, float]], left: float, spent_today: float) -> date | None:
    for number, (day, amount) in enumerate(days):
        left -= max(0.0, amount - spent_today) if number == 0 else amount
        if left <= 0:
            return day
    return None


def _average(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half an interval by Student's t; a deviation below half the mean is not believed,
    as so few days say little of it."""
    from scipy import stats

    count = len(values)
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / max(1, count - 1)
    deviation = max(math.sqrt(variance), mean / 2)
    quantile = float(stats.t.ppf((1 + COVERAGE) / 2, max(1, count - 1)))
    return mean, quantile * deviation * math.sqrt(1 + 1 / count)


def _modelled(values: Sequence[float]) -> tuple[_Kind, list[float], list[float]]:
    """The kind that did best, its middles and half intervals for `HORIZON` days."""
    count = len(values)
    backs = (7, 10, 14, 17, 21, 28, 35, 42)
    origins = [count - back for back in backs if count - back >= max(ENOUGH // 2, count // 2)]
    kinds = [kind for kind in _KINDS if not kind.seasonal or count >= SEASONAL_FROM]
    tried = [(*_tried(kind, values, origins), kind) for kind in kinds]
    _, ratios, best = min(tried, key=lambda trial: trial[0])
    fitted = _fitted(best, values, HORIZON)
    if fitted is None:
        mean, half = _average(values)
        return _Kind("average", False, False), [mean] * HORIZON, [half] * HORIZON
    middle, halves = fitted
    # The ratios come from few days of one series: the shorter it is, the more is added.
    widen = max(1.0, _quantile(ratios, 0.85)) * (1 + SEASON / count)
    return best, middle, [half * widen for half in halves]


def _tried(
    kind: _Kind, values: Sequence[float], origins: Sequence[int]
) -> tuple[float, list[float]]:
    """The mean error on known days, and each error as a part of half the interval."""
    errors: list[float] = []
    ratios: list[float] = []
    for origin in origins:
        known = values[origin : origin + HORIZON]
        fitted = _fitted(kind, values[:origin], len(known))
        if fitted is None:
            return math.inf, [1.0]
        misses = [abs(value - middle) for value, middle in zip(known, fitted[0], strict=True)]
        errors.append(sum(misses) / len(misses))
        ratios += [m / half if half > 0 else 1.0 for m, half in zip(misses, fitted[1], strict=True)]
    return (sum(errors) / len(errors) if errors else 0.0), ratios or [1.0]


def _fitted(
    kind: _Kind, values: Sequence[float], ahead: int
) -> tuple[list[float], list[float]] | None:
    """Middles and half intervals of one kind; None where it cannot be fitted."""
    import numpy

    fit = _smoothing if kind.method == "smoothing" else _line
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits that did not converge: they are judged below
        try:
            middle, half = fit(kind, values, ahead)
        except (ValueError, numpy.linalg.LinAlgError, ZeroDivisionError, IndexError):
            return None
    found = [float(value) for value in middle], [float(value) for value in half]
    return found if all(map(math.isfinite, [*found[0], *found[1]])) else None


def _smoothing(kind: _Kind, values: Sequence[float], ahead: int) -> tuple[Any, Any]:
    """Exponential smoothing with additive errors, as a state space model."""
    import pandas
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    model = ETSModel(
        pandas.Series(values, dtype=float),
        error="add",
        trend="add" if kind.trend else None,
        seasonal="add" if kind.seasonal else None,
        seasonal_periods=SEASON if kind.seasonal else None,
    )
    fitted = model.fit(disp=False, maxiter=200)
    count = len(values)
    frame = fitted.get_prediction(start=count, end=count + ahead - 1).summary_frame(
        alpha=1 - COVERAGE
    )
    middle = frame["mean"].to_numpy()
    freedom = math.sqrt(count / max(1, count - len(fitted.params)))
    return middle, (frame["pi_upper"].to_numpy() - middle) * freedom


def _line(kind: _Kind, values: Sequence[float], ahead: int) -> tuple[Any, Any]:
    """A straight line by least squares, with a step for each day of the week."""
    import numpy
    import statsmodels.api

    count = len(values)

    def terms(days: Any) -> Any:
        columns = [numpy.ones(len(days)), days.astype(float)]
        if kind.seasonal:
            columns += [(days % SEASON == day).astype(float) for day in range(1, SEASON)]
        return numpy.column_stack(columns)

    fitted = statsmodels.api.OLS(numpy.asarray(values), terms(numpy.arange(count))).fit()
    coming = terms(numpy.arange(count, count + ahead))
    frame = fitted.get_prediction(coming).summary_frame(alpha=1 - COVERAGE)
    middle = frame["mean"].to_numpy()
    return middle, frame["obs_ci_upper"].to_numpy() - middle


def _quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.floor(part * len(ordered)))]
