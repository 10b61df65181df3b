"""Forecasts on series of which the future is known."""

import math
import random
import warnings
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.forecast import Day, Forecast, exhaustion, forecast, month_end, total

TODAY = date(2026, 11, 24)
WEEK = (1.0, 1.0, 1.0, 1.0, 1.0, 0.4, 0.3)


def series(values):
    """Amounts of the days that end yesterday."""
    first = TODAY - timedelta(days=len(values))
    return [(first + timedelta(days=number), value) for number, value in enumerate(values)]


def seasonal(seed, days, noise=2.0):
    rng = random.Random(seed)
    return [
        max(0.0, 20 + 0.2 * t + 10 * (WEEK[t % 7] - 0.8) + rng.gauss(0, noise)) for t in range(days)
    ]


@pytest.mark.parametrize(("known", "weekly_at_least"), [(28, 0.0), (56, 0.6), (120, 0.9)])
def test_the_interval_covers_days_that_were_held_out(known, weekly_at_least):
    covered, width, weekly, runs = 0, 0.0, 0, 12
    for seed in range(runs):
        values = seasonal(seed, known + 30)
        found = forecast(series(values[:known]), TODAY)
        weekly += found.weekly
        for day, true in zip(found.days, values[known:], strict=False):
            covered += day.low <= true <= day.high
            width += day.high - day.low
    assert covered / (runs * 30) >= 0.75
    # The noise alone needs 2 x 1.28 x 2 = 5.1 dollars: no interval that covers everything.
    assert width / (runs * 30) < 15
    assert weekly / runs >= weekly_at_least


def test_a_level_that_changed_is_followed():
    found = forecast(
        series([10.0 + t % 3 for t in range(40)] + [30.0 + t % 3 for t in range(40)]), TODAY
    )
    assert all(25 < day.expected < 37 for day in found.days)


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [1.0, 9.0], [5.0] * 13])
def test_little_history_is_an_average_that_does_not_pretend(values):
    found = forecast(series(values), TODAY)
    mean = sum(values) / len(values)
    assert (found.method, found.weekly, found.history) == ("average", False, len(values))
    for day in found.days:
        assert day.expected == pytest.approx(mean)
        assert day.high - day.expected >= 0.6 * mean
    if len(values) <= 2:
        assert found.days[0].low == 0
        assert found.days[0].high > 2.5 * mean


@pytest.mark.parametrize("values", [[], [0.0], [0.0] * 60])
def test_nothing_foretells_nothing(values):
    found = forecast(series(values), TODAY)
    assert found.method == "none"
    assert {(day.expected, day.high) for day in found.days} == {(0.0, 0.0)}


@pytest.mark.parametrize(
    "values",
    [
        [7.0] * 60,
        [0.0] * 30 + [500.0] + [0.0] * 29,
        [0.0] * 59 + [500.0],
        [1e-10] * 20,
        [1e9 * (1 + t % 2) for t in range(20)],
        [float(t) for t in range(14)],
        [2.0**t for t in range(30)],
    ],
)
def test_odd_histories(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = forecast(series(values), TODAY)
    assert len(found.days) == 31
    for day in found.days:
        assert 0 <= day.low <= day.expected <= day.high < math.inf


@settings(max_examples=25)
@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 1e6)), max_size=45))
def test_any_history_has_a_forecast(values):
    found = forecast(series(values), TODAY)
    assert [day.day for day in found.days] == [TODAY + timedelta(days=n) for n in range(31)]
    assert all(0 <= day.low <= day.expected <= day.high < math.inf for day in found.days)


def test_todays_amount_is_not_taken_for_a_whole_day():
    values = series([10.0] * 30)
    assert forecast([*values, (TODAY, 0.5)], TODAY) == forecast(values, TODAY)


def flat(amount=10.0, spread=4.0, days=31):
    return Forecast(
        "average",
        weekly=False,
        history=5,
        days=tuple(
            Day(TODAY + timedelta(days=number), amount, amount - spread, amount + spread)
            for number in range(days)
        ),
    )


def test_the_months_end():
    # 24 November: 10 expected today, of which 3 are spent, and 6 days more.
    end = month_end(flat(), spent_month=200.0, spent_today=3.0)
    assert end.expected == pytest.approx(200 + 7 + 60)
    assert end.low < end.expected < end.high
    assert end.low >= 200
    assert month_end(flat(), 200.0, 50.0).expected == pytest.approx(260)


def test_a_sums_interval_is_narrower_than_the_days_together():
    days = flat().days[:10]
    assert 100 + 4 * math.sqrt(10) < total(days).high < 140


@pytest.mark.parametrize(
    ("limit", "spent", "last", "expected", "earliest"),
    [
        (100, 95, None, 0, 0),
        (100, 91, None, 1, 0),
        (100, 80, None, 2, 1),
        (100, 100, None, 0, 0),
        (1000, 0, None, None, None),
        (100, 80, TODAY, None, None),
        (100, 80, TODAY + timedelta(days=1), None, 1),
    ],
)
def test_the_day_on_which_a_budget_is_used_up(limit, spent, last, expected, earliest):
    found = exhaustion(flat(), limit, spent, 5.0, last)

    def day(number):
        return None if number is None else TODAY + timedelta(days=number)

    assert (found.expected, found.earliest) == (day(expected), day(earliest))
