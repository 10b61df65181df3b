"""What is too old goes in small steps, and nothing that is counted changes by it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import settlement
from budgets.models import Budget, BudgetCounter
from budgets.settlement import reconcile, spec_of
from tests.usage.samples import NOON, usage_row
from tokenwatch import jobs
from usage import retention, stats, writer
from usage.models import UsageRecord, UsageRollup
from usage.retention import AIM, LARGEST, SMALLEST, RacedError, fitted, prune
from usage.rollups import HOUR, MINUTE

DAY = 86_400
NOW = datetime.fromtimestamp(NOON, UTC)
CENT = 10**8


class Keeps30:
    ledger_retention_days = 30


@pytest.fixture(autouse=True)
def keeping(db, monkeypatch):
    monkeypatch.setattr(writer, "alongside", [settlement.settle_rows])
    monkeypatch.setattr(retention, "config", Keeps30)


def go_on(seconds):
    return True


def row(days_ago, **values):
    return usage_row(**{"created_at": NOON - days_ago * DAY, "cost": "0.0100000000", **values})


def ages():
    return sorted(round((NOW - at).total_seconds() / DAY) for at in _times())


def _times():
    return UsageRecord.objects.values_list("created_at", flat=True)


def test_rows_past_their_days_go_and_others_stay():
    writer.insert([row(age) for age in (0, 29, 30, 31, 400)], check=False)
    assert prune(NOW, pause=go_on)["requests"] == 2
    assert ages() == [0, 29, 30]


def test_nothing_goes_where_no_days_are_set(monkeypatch):
    monkeypatch.setattr(Keeps30, "ledger_retention_days", 0)
    writer.insert([row(4000)], check=False)
    assert prune(NOW, pause=go_on)["requests"] == 0


def test_totals_and_hours_are_the_same_afterwards():
    writer.insert([row(age, source_app=f"a{age}") for age in (0, 5, 40, 400)], check=False)
    before = stats.summary(None, NOW), stats.by_app(None, NOW)
    removed = prune(NOW, pause=go_on)
    assert {name: count for name, count in removed.items() if count} == {
        "requests": 2,
        "sums by minute": 2,
    }
    assert (stats.summary(None, NOW), stats.by_app(None, NOW)) == before
    assert UsageRollup.objects.filter(bucket_seconds=HOUR).count() == 4


def test_sums_by_minute_go_by_whole_hours():
    """Statistics take an hour that has one minute left for one that has all of them."""
    cut = (NOW - retention.MINUTES_KEPT).timestamp() // HOUR * HOUR
    minutes = [cut - 60, cut - 3600, cut - 3601, cut, cut + 60, cut + 3599]
    writer.insert([usage_row(created_at=at) for at in minutes], check=False)
    prune(NOW + timedelta(minutes=59), pause=go_on)
    kept = UsageRollup.objects.filter(bucket_seconds=MINUTE).values_list("bucket_start", flat=True)
    assert min(kept).timestamp() == cut
    assert len(kept) == 3


def test_an_hour_of_very_many_sums_goes_in_several_steps(monkeypatch):
    monkeypatch.setattr(retention, "WHOLE_HOUR", 4)
    rows = [row(20, feature_tag=str(number)) for number in range(11)]
    writer.insert(rows, check=False)
    assert retention.remove_minutes(NOW, 5) == 5
    assert prune(NOW, pause=go_on)["sums by minute"] == 6


# Budgets


def made(**values):
    defaults = {"name": values.get("period", "b"), "limit": 100, "period": "total"}
    return Budget.objects.create(**{**defaults, **values})


def spent(budget):
    return BudgetCounter.objects.get(budget=budget).spent


@pytest.mark.parametrize("unit", ["usd", "tokens"])
def test_a_total_keeps_what_removed_rows_counted(unit):
    budget = made(unit=unit)
    writer.insert([row(age) for age in (0, 31, 500, 800)], check=False)
    each = CENT if unit == "usd" else 120
    assert spent(budget) == 4 * each
    assert prune(NOW, pause=go_on)["requests"] == 3
    spec = spec_of(budget)
    assert reconcile(spec, spec.at(NOON)) == 0
    assert spent(budget) == 4 * each
    writer.insert([row(0)], check=False)
    assert reconcile(spec, spec.at(NOON)) == 0
    assert spent(budget) == 5 * each


def test_a_drift_is_still_found_after_rows_were_removed():
    budget = made()
    writer.insert([row(0), row(100)], check=False)
    prune(NOW, pause=go_on)
    BudgetCounter.objects.update(spent=7)
    spec = spec_of(budget)
    assert reconcile(spec, spec.at(NOON)) == 2 * CENT - 7
    assert spent(budget) == 2 * CENT


def test_a_month_that_is_longer_than_rows_are_kept(monkeypatch):
    monkeypatch.setattr(Keeps30, "ledger_retention_days", 3)
    budget = made(period="monthly", scope="app", pattern="cr*")
    rows = [row(age) for age in (0, 10, 20)] + [row(10, source_app="shop")]
    writer.insert(rows, check=False)
    assert prune(NOW, pause=go_on)["requests"] == 3
    spec = spec_of(budget)
    assert reconcile(spec, spec.at(NOON)) == 0
    assert spent(budget) == 3 * CENT


def test_a_budget_that_nobody_has_counted_yet_is_counted_before_rows_go():
    writer.insert([row(0), row(100)], check=False)
    budget = made(active=False)
    assert not BudgetCounter.objects.exists()
    prune(NOW, pause=go_on)
    assert spent(budget) == 2 * CENT
    spec = spec_of(budget)
    assert reconcile(spec, spec.at(NOON)) == 0


def test_a_reset_by_hand_ends_what_removed_rows_counted():
    budget = made()
    writer.insert([row(100), row(1)], check=False)
    prune(NOW, pause=go_on)
    budget.reset_at = NOW - timedelta(hours=1)
    budget.save()
    writer.insert([row(0)], check=False)
    spec = spec_of(budget)
    figures = BudgetCounter.objects.order_by("period_start").values_list("spent", "pruned")
    assert list(figures) == [(2 * CENT, CENT), (CENT, 0)]
    for at in (NOON, NOON - DAY):
        assert reconcile(spec, spec.at(at)) == 0


@settings(max_examples=25)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=12), st.integers(1, 89))
def test_counters_agree_with_what_was_ever_stored(days, kept):
    try:
        with transaction.atomic():
            Keeps30.ledger_retention_days = kept
            budgets = [made(period=period) for period in ("total", "monthly", "weekly", "daily")]
            writer.insert([row(age) for age in days], check=False)
            before = list(BudgetCounter.objects.order_by("pk").values("pk", "spent"))
            prune(NOW, pause=go_on)
            for budget in budgets:
                spec = spec_of(budget)
                for age in days:
                    assert reconcile(spec, spec.at(NOON - age * DAY)) == 0
            assert list(BudgetCounter.objects.order_by("pk").values("pk", "spent")) == before
            raise Undo
    except Undo:
        pass
    finally:
        Keeps30.ledger_retention_days = 30


class Undo(Exception):
    pass


@pytest.mark.django_db(transaction=True)
def test_writers_retention_and_proof_do_not_disturb_each_other(keeping, monkeypatch):
    """Rows are stored, removed and proved at the same time; nobody ever finds a difference."""
    monkeypatch.setattr(retention, "alongside", [settlement.keep_pruned])
    spec = spec_of(made())
    over = threading.Event()

    def write(number):
        for _ in range(12):
            writer.insert([row(age) for age in (0, 31, 40 + number, 50)], check=False)

    def remove():
        removed = 0
        while not (done := over.is_set()) or removed:
            removed = retention.remove_rows(NOW, 7)
            if done and not removed:
                return

    def prove():
        found = []
        while not over.is_set():
            found.append(reconcile(spec, spec.at(NOON)))
        return found

    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(_apart, remove), pool.submit(_apart, prove)]
        writers = [pool.submit(_apart, write, number) for number in range(2)]
        try:
            for one in writers:
                one.result()
        finally:
            over.set()
        proofs = others[1].result()
        others[0].result()
    assert set(proofs) <= {0}
    assert reconcile(spec, spec.at(NOON)) == 0
    counter = BudgetCounter.objects.get()
    assert (counter.spent, counter.pruned) == (96 * CENT, 72 * CENT)
    assert UsageRecord.objects.count() == 24


def _apart(work, *args):
    """Do it in this thread, with a connection of its own."""
    try:
        return work(*args)
    finally:
        connection.close()


# Steps


def test_a_step_that_fails_in_another_domain_removes_nothing(monkeypatch):
    def fails(rows):
        raise OSError("no")

    monkeypatch.setattr(retention, "alongside", [fails])
    writer.insert([row(100)], check=False)
    with pytest.raises(OSError, match="no"):
        prune(NOW, pause=go_on)
    assert ages() == [100]


def test_a_step_whose_rows_another_process_removed_counts_nothing(monkeypatch):
    budget = made()
    writer.insert([row(100), row(101)], check=False)

    def other(rows):
        UsageRecord.objects.filter(request_id=rows[0].request_id).delete()

    monkeypatch.setattr(retention, "alongside", [settlement.keep_pruned, other])
    with pytest.raises(RacedError):
        retention.remove_rows(NOW, 10)
    assert UsageRecord.objects.count() == 2
    assert BudgetCounter.objects.get(budget=budget).pruned == 0


def test_it_rests_for_as_long_as_its_steps_took_and_stops_when_told():
    writer.insert([row(100) for _ in range(3 * LARGEST)], check=False)
    rests = []

    def pause(seconds):
        rests.append(seconds)
        return len(rests) < 2

    removed = prune(NOW, pause=pause)["requests"]
    assert len(rests) == 2
    assert min(rests) >= retention.SHORTEST_REST
    assert 0 < removed < 3 * LARGEST


def test_steps_become_smaller_where_they_take_long():
    assert fitted(400, AIM * 2) == 200
    assert fitted(SMALLEST, 1) == SMALLEST
    assert fitted(200, AIM / 10) == 400
    assert fitted(LARGEST, 0) == LARGEST
    assert fitted(300, AIM * 0.8) == 300


# The command and the job


def ran(*args):
    out = StringIO()
    call_command("prune", *args, stdout=out)
    return out.getvalue()


@pytest.fixture
def old_rows():
    writer.insert([row(days) for days in (-10_000, 2_000, 3_000)], check=False)


def test_a_dry_run_says_what_would_go_and_removes_nothing(old_rows):
    found = json.loads(ran("--dry-run", "--json"))
    assert found["dry_run"] is True
    assert found["parts"][0] == {"what": "requests", "kept": "30 days", "removed": 2}
    assert UsageRecord.objects.count() == 3


def test_the_command_removes_and_tells(old_rows):
    assert "requests" in (said := ran())
    assert "30 days" in said
    assert UsageRecord.objects.count() == 1


def test_the_command_gives_way_to_a_job_under_way():
    with jobs.claimed(retention.JOB), pytest.raises(CommandError, match="at this moment"):
        ran()


def test_the_daily_job_tells_what_it_removed(old_rows):
    with jobs.claimed(retention.JOB) as turn:
        assert retention.job(turn) == "removed 2 requests, 2 sums by minute"
        assert retention.job(turn) == "nothing is too old"


def test_the_jobs_are_registered():
    assert {task.name for task in jobs.registered()} >= {"retention", "statistics"}
