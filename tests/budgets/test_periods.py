"""When periods begin and end, on real calendars."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from budgets.periods import Period, period_of

KINDS = ["hourly", "daily", "weekly", "monthly", "total"]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Caracas",
]


def at(text, zone="UTC", fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def shown(period, zone):
    return [
        datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")
        for moment in (period.start, period.end)
    ]


@pytest.mark.parametrize(
    ("kind", "zone", "moment", "start", "end"),
    [
        ("hourly", "UTC", "2026-05-04 10:59:59", "2026-05-04 10:00", "2026-05-04 11:00"),
        ("hourly", "Asia/Kolkata", "2026-05-04 10:15", "2026-05-04 10:00", "2026-05-04 11:00"),
        ("daily", "UTC", "2026-12-31 23:59", "2026-12-31 00:00", "2027-01-01 00:00"),
        ("daily", "Europe/Berlin", "2026-03-29 12:00", "2026-03-29 00:00", "2026-03-30 00:00"),
        ("daily", "Europe/Berlin", "2026-10-25 12:00", "2026-10-25 00:00", "2026-10-26 00:00"),
        # the clock went from 24:00 to 1:00: the day has no midnight
        ("daily", "America/Sao_Paulo", "2018-11-04 02:00", "2018-11-04 01:00", "2018-11-05 00:00"),
        ("weekly", "UTC", "2026-05-03 23:59", "2026-04-27 00:00", "2026-05-04 00:00"),
        ("weekly", "UTC", "2026-05-04 00:00", "2026-05-04 00:00", "2026-05-11 00:00"),
        ("monthly", "UTC", "2024-02-29 12:00", "2024-02-01 00:00", "2024-03-01 00:00"),
        ("monthly", "America/New_York", "2026-01-31 23:59", "2026-01-01 00:00", "2026-02-01 00:00"),
        ("monthly", "Europe/Berlin", "2026-03-31 23:00", "2026-03-01 00:00", "2026-04-01 00:00"),
    ],
)
def test_periods_on_the_calendar(kind, zone, moment, start, end):
    assert shown(period_of(kind, zone, at(moment, zone)), zone) == [start, end]


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-06-01", 24), ("2026-10-25", 25)]
)
def test_a_day_is_as_long_as_its_zone_says(day, hours):
    period = period_of("daily", "Europe/Berlin", at(f"{day} 12:00", "Europe/Berlin"))
    assert period.end == period.start + hours * 3600


def test_the_repeated_hour_is_two_hours():
    first, second = (
        period_of("hourly", "Europe/Berlin", at("2026-10-25 02:30", "Europe/Berlin", fold))
        for fold in (0, 1)
    )
    assert first.end == second.start
    assert second.end == first.start + 7200


def test_a_total_never_ends():
    assert period_of("total", "UTC", 1e9) == Period(0.0, None)


def test_a_reset_by_hand_ends_one_period_and_begins_another():
    reset = at("2026-05-04 10:30")
    before = period_of("daily", "UTC", reset - 1, reset)
    after = period_of("daily", "UTC", reset, reset)
    assert before == Period(at("2026-05-04"), reset)
    assert after == Period(reset, at("2026-05-05"))
    assert period_of("daily", "UTC", at("2026-05-05"), reset).start == at("2026-05-05")
    assert period_of("total", "UTC", reset, reset) == Period(reset, None)


@given(
    st.sampled_from(KINDS),
    st.sampled_from(ZONES),
    st.integers(946_684_800, 2_145_916_800),
    st.none() | st.integers(-100_000, 100_000),
)
@example("daily", "Pacific/Apia", 1325239200, None)  # the day that Samoa left out
@example("hourly", "Australia/Lord_Howe", 1759591800, None)
@example("hourly", "America/Caracas", 1197183600, None)
def test_periods_tile(kind, zone, moment, reset):
    reset_at = None if reset is None else float(moment + reset)
    period = period_of(kind, zone, moment, reset_at)
    assert period.start <= moment
    if period.end is not None:
        assert moment < period.end
        assert period_of(kind, zone, period.end, reset_at).start == period.end
        assert period_of(kind, zone, period.end - 1, reset_at) == period
    assert period_of(kind, zone, period.start, reset_at) == period
