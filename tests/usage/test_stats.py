"""Statistics over a period: right to the minute, from rollups alone."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from tests.usage.samples import sums_of, usage_row
from usage.models import UsageRollup
from usage.rollups import DAY, HOUR, MINUTE
from usage.stats import Totals, by_app, by_model, by_tag, pieces, summary, window
from usage.writer import insert

START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
moments = st.integers(0, 5 * 24 * 3600).map(lambda s: START + timedelta(seconds=s))


def minutes_of(found):
    """Every minute that the pieces cover, as a list (so that overlaps show)."""
    covered = []
    for piece in found:
        assert piece.start is not None
        moment = piece.start
        while moment < piece.end:
            covered.append(moment)
            moment += timedelta(minutes=1)
    return covered


def floor(moment):
    return moment.replace(second=0)


@given(start=moments, length=st.integers(0, 3 * 24 * 3600))
def test_a_period_is_covered_to_the_minute_and_nothing_twice(start, length):
    end = start + timedelta(seconds=length)
    found = pieces(start, end, START)
    covered = minutes_of(found)
    assert len(covered) == len(set(covered))
    if start < end:
        assert min(covered) == floor(start)
        assert end - timedelta(minutes=1) <= max(covered) < end
    for piece in found:
        assert piece.start is not None
        whole = piece.start.minute == piece.end.minute == 0
        assert whole or piece.seconds == MINUTE
        whole_days = piece.start.hour == piece.end.hour == 0 and whole
        assert whole_days or piece.seconds != DAY
    assert sum(piece.seconds == MINUTE for piece in found) <= 2


@given(start=moments, length=st.integers(1, 3 * 24 * 3600), kept=st.none() | moments)
def test_where_minutes_are_gone_an_edge_is_widened_to_its_hour(start, length, kept):
    end = start + timedelta(seconds=length)
    covered = set(minutes_of(pieces(start, end, kept)))
    asked = set(minutes_of(pieces(start, end, START)))
    assert asked <= covered
    hours = {moment.replace(minute=0) for moment in asked}
    assert {moment.replace(minute=0) for moment in covered} == hours
    for piece in pieces(start, end, kept):
        if piece.seconds == MINUTE:
            assert kept is not None
            assert piece.start >= kept.replace(minute=0, second=0)


def test_the_last_hour_is_read_by_the_minute():
    start, end = window("1h", NOW)
    found = [(p.seconds, f"{p.start:%H:%M}", f"{p.end:%H:%M}") for p in pieces(start, end, START)]
    assert found == [(MINUTE, "11:34", "12:00"), (MINUTE, "12:00", "12:35")]


def test_all_time_has_no_start():
    start, end = window("all", NOW)
    found = pieces(start, end, START)
    assert [(piece.seconds, piece.start) for piece in found] == [
        (DAY, None),
        (HOUR, NOW.replace(hour=0, minute=0, second=0)),
        (MINUTE, NOW.replace(minute=0, second=0)),
    ]


def test_the_average_latency_of_nothing_is_nothing():
    assert Totals().average_latency_ms is None
    assert Totals(requests=3, latency_ms=100).average_latency_ms == 33


def test_a_cost_of_which_nothing_is_known_is_not_zero():
    assert Totals(requests=2, unpriced=2).known_cost is None
    assert Totals(requests=2, unpriced=1, cost=Decimal(1)).known_cost == 1
    assert Totals(requests=3, errors=2, unpriced=1).known_cost is None  # the failed ones cost 0
    assert Totals().known_cost == 0


def at(minutes_before_now):
    return NOW.timestamp() - 60 * minutes_before_now


@pytest.fixture
def spread(db):
    """Requests from a minute to four hundred days ago."""
    ages = [1, 20, 33, 61, 100, 1_439, 1_500, 5_000, 20_000, 40_000, 600_000]
    rows = [
        usage_row(
            created_at=at(age),
            model_used=f"model-{position % 2}",
            source_app="crm" if position % 3 else "",
            feature_tag="chat" if position % 2 else "mail",
            cost=None if position == 4 else f"0.{age:010d}",
        )
        for position, age in enumerate(ages)
    ]
    insert(rows, check=False)
    return rows


@pytest.mark.parametrize(
    ("timeframe", "minutes"),
    [("1h", 60), ("24h", 1440), ("7d", 10_080), ("30d", 43_200), ("all", 10**6)],
)
def test_totals_are_those_of_the_rows_in_the_period(spread, timeframe, minutes):
    within = [row for row in spread if row.created_at >= at(minutes)]
    found = summary(*window(timeframe, NOW))
    expected = sums_of(within)
    assert {name: getattr(found, name) for name in expected} == expected


def test_totals_stay_right_by_the_hour_when_old_minutes_are_removed(spread):
    UsageRollup.objects.filter(
        bucket_seconds=MINUTE, bucket_start__lt=NOW - timedelta(hours=3)
    ).delete()
    assert summary(*window("24h", NOW)).requests == 6
    assert summary(*window("all", NOW)).requests == len(spread)


def test_groups_add_up_to_the_totals(spread):
    period = window("all", NOW)
    totals = summary(*period)
    for groups in (by_model(*period), by_app(*period), by_tag(*period)):
        assert sum(group.totals.requests for group in groups) == totals.requests
        assert sum(group.totals.cost for group in groups) == totals.cost
        costs = [group.totals.cost for group in groups]
        assert costs == sorted(costs, reverse=True)
    assert {group.name for group in by_app(*period)} == {"", "crm"}


def test_rows_are_never_read(spread):
    with CaptureQueriesContext(connection) as queries:
        summary(*window("30d", NOW))
        by_model(*window("all", NOW))
    assert len(queries) == 4
    assert not any('"tw_usage"' in query["sql"] for query in queries)


def test_an_empty_ledger_has_zero_totals(db):
    assert summary(*window("all", NOW)) == Totals()
    assert by_model(*window("24h", NOW)) == []


def stats(*args):
    out = StringIO()
    call_command("stats", *args, stdout=out)
    return out.getvalue()


def test_the_command_prints_a_table_with_a_total(db):
    rows = [
        usage_row(created_at=datetime.now(UTC).timestamp(), input_tokens=1_000_000),
        usage_row(created_at=datetime.now(UTC).timestamp(), cost=None, model_used="[red]\x1b[2J"),
    ]
    insert(rows, check=False)
    printed = stats("--timeframe", "1h")
    assert "\x1b" not in printed
    assert "[red]\\x1b[2J" in printed
    assert "unknown" in printed
    assert "1,000,100" in printed.splitlines()[-1]
    assert printed.splitlines()[-1].startswith("Total")


def test_the_command_prints_json(db):
    now = datetime.now(UTC).timestamp()
    insert(
        [usage_row(created_at=now), usage_row(created_at=now, model_used="x", cost=None)],
        check=False,
    )
    printed = json.loads(stats("--json"))
    assert list(printed) == ["timeframe", "start", "end", "totals", "models"]
    assert printed["timeframe"] == "24h"
    assert printed["end"].endswith("Z")
    assert printed["totals"]["cost"] == "0.0000270000"
    assert printed["totals"]["average_latency_ms"] == 350
    by_name = {model["model"]: model for model in printed["models"]}
    assert by_name["x"]["cost"] is None
    assert by_name["x"]["unpriced"] == 1


def test_the_command_says_that_there_is_nothing(db):
    assert stats() == "No requests in the last 24 hours.\n"
    assert json.loads(stats("--timeframe", "all", "--json"))["start"] is None


def test_an_unknown_timeframe_is_refused():
    with pytest.raises(CommandError, match="invalid choice"):
        stats("--timeframe", "2h")
