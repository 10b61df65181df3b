"""Periods and their slices: the calendar of the zone, also where the clock changes."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import params
from dashboard.period import RANGES, cuts, period

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")


def local(found, zone):
    return [cut.astimezone(zone) for cut in found]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"])
def test_days_begin_at_midnight_of_the_zone(zone):
    found = period("30d", ZoneInfo(zone), NOW)
    assert found.start is not None
    days = local(cuts(found.start, found.end, found.zone), found.zone)
    assert all((day.hour, day.minute) == (0, 0) for day in days[1:])
    assert len({day.date() for day in days}) == len(days) == 31


def test_a_day_of_25_hours_is_one_day():
    start = datetime(2026, 10, 20, tzinfo=UTC)
    days = local(cuts(start, start + timedelta(days=12), BERLIN, "day"), BERLIN)
    lengths = {b - a for a, b in pairwise(days[1:])}
    in_utc = [day.astimezone(UTC) for day in days[1:]]
    assert {b - a for a, b in pairwise(in_utc)} == {
        timedelta(hours=24),
        timedelta(hours=25),
    }
    assert lengths == {timedelta(days=1)}


def test_hours_are_the_wall_clocks_hours():
    found = period("24h", KOLKATA, NOW)
    assert found.start is not None
    assert {cut.minute for cut in local(cuts(found.start, found.end, KOLKATA), KOLKATA)[1:]} == {0}


def test_today_begins_at_midnight_and_is_compared_with_yesterday():
    found = period("today", BERLIN, NOW)
    assert found.start == datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert found.before == (found.start - timedelta(days=1), NOW - timedelta(days=1))


@given(
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"]),
    st.integers(0, 10**8),
    st.integers(60, 4 * 10**8),
)
def test_slices_cover_a_period_in_order(zone, begin, length):
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=begin)
    found = cuts(start, start + timedelta(seconds=length), ZoneInfo(zone))
    assert found[0] == start
    assert found == sorted(set(found))
    assert found[-1] < start + timedelta(seconds=length)
    assert len(found) < 200


@pytest.mark.parametrize("name", list(RANGES))
def test_every_range_stands_in_the_url(name):
    found = params.read({"range": name}, NOW)
    assert (found.period.range, found.url(), found.problems) == (name, f"?range={name}", [])


@pytest.mark.parametrize(
    "query",
    [
        {"range": "2h"},
        {"zone": "Mars/Base"},
        {"zone": "../../etc/passwd"},
        {"zone": "\0"},
        {"from": "yesterday"},
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"from": "0001-01-01", "to": "0001-01-02"},
        {"to": "2026-01-01"},
        {"status": "broken"},
        {"cache": "<script>"},
    ],
)
def test_what_is_no_parameter_is_named_and_left_out(query):
    found = params.read(query, NOW)
    assert len(found.problems) == 1
    assert found.period.range == params.DEFAULT_RANGE
    assert found.filters == {}


def test_a_dragged_range_is_kept_with_its_filters():
    query = {"from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z", "tag": "(none)"}
    found = params.read(query, NOW)
    assert found.period.start is not None
    assert found.period.end - found.period.start == timedelta(days=1)
    assert params.read(dict(found.given), NOW) == found
    assert found.names == {"feature_tag": ""}
