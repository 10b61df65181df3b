"""Statistics that differ from their rows are found, told and put right."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.usage.samples import NOON, assert_rollups_agree, usage_row
from tokenwatch import jobs
from usage import rollup_check, writer
from usage.models import UsageRecord, UsageRollup
from usage.rollup_check import Found, check, hours

HOUR = datetime.fromtimestamp(NOON, UTC)
ROWS = [
    usage_row(cost=None, ttft_ms=12, stream=True, source_app="", feature_tag="search"),
    usage_row(saved_cost="0.0000010000", routing_saved="-0.5000000000", cache_tier="exact"),
    usage_row(created_at=NOON + 3599, status_code=429, error_type="rate_limit_error"),
    usage_row(created_at=NOON + 1800, model_used="", error_type="stream_broken"),
    usage_row(created_at=NOON + 1800, usage_estimated=True, cost="12.3456789012"),
    usage_row(created_at=NOON + 3600),
    usage_row(created_at=NOON - 0.5),
]


@pytest.fixture(autouse=True)
def stored(db, monkeypatch):
    monkeypatch.setattr(writer, "alongside", [])
    writer.insert(ROWS, check=False)


def test_what_the_writer_wrote_is_right():
    assert check(HOUR, repair=True) == Found(rollups=8, wrong=0)


def test_a_look_changes_nothing():
    UsageRollup.objects.update(requests=99)
    assert check(HOUR, repair=False).wrong == 8
    assert set(UsageRollup.objects.values_list("requests", flat=True)) == {99}


@pytest.mark.parametrize(
    "harm",
    [
        lambda: UsageRollup.objects.update(cost=7, output_tokens=0),
        lambda: UsageRollup.objects.all().delete(),
        lambda: UsageRecord.objects.filter(status_code=429).delete(),
        lambda: UsageRecord.objects.filter(created_at__gte=HOUR).delete(),
    ],
    ids=["changed", "missing", "a row removed", "too many"],
)
def test_what_was_harmed_is_repaired_and_told(harm, caplog):
    harm()
    for start in (HOUR - timedelta(hours=1), HOUR, HOUR + timedelta(hours=1)):
        check(start, repair=True)
    assert_rollups_agree()
    assert "were not those of the requests" in caplog.text
    assert check(HOUR, repair=True).wrong == 0


def test_the_hours_that_are_over_are_looked_at():
    now = HOUR + timedelta(minutes=30)
    assert [f"{start:%H:%M}" for start in hours(now)] == ["11:00", "10:00"]
    just_over = HOUR + timedelta(minutes=2)
    assert [f"{start:%H:%M}" for start in hours(just_over)] == ["10:00", "09:00"]


def test_hours_of_which_rows_may_be_gone_are_left_out(monkeypatch):
    class Keeps1:
        ledger_retention_days = 1

    monkeypatch.setattr(rollup_check, "config", Keeps1)
    monkeypatch.setattr(rollup_check, "HOURS", 30)
    now = HOUR + timedelta(minutes=30)
    assert min(hours(now)) >= now - timedelta(hours=23)


def test_the_job_says_what_it_did(monkeypatch):
    monkeypatch.setattr(rollup_check, "hours", lambda now: [HOUR])
    UsageRollup.objects.filter(bucket_seconds=3600).update(errors=50)
    with jobs.claimed(rollup_check.JOB) as turn:
        assert rollup_check.job(turn) == "8 sums checked, 3 repaired"
