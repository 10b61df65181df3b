"""A period ends while requests are under way: each counts where it began, and nothing is lost."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from budgets.accounts import Reservation
from budgets.models import Budget, BudgetCounter, BudgetLease
from budgets.settlement import moment, spec_of, spent_in
from tests.budgets.desks import Clock, OwnThread, ticking
from tests.usage.samples import usage_row
from usage import writer

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT = 100


def at(text: str, zone: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def used(tokens, arrived, reservation):
    """The row of a request that arrived then and used so many tokens."""
    return usage_row(
        created_at=arrived,
        input_tokens=tokens,
        output_tokens=0,
        holds=reservation.settle(0, tokens),
    )


@pytest.mark.parametrize(
    ("kind", "zone", "end"),
    [
        ("hourly", "UTC", at("2026-05-04 11:00", "UTC")),
        # The hour that comes twice: its second time is a period of its own.
        ("hourly", "Europe/Berlin", at("2026-10-25 02:00", "Europe/Berlin", fold=1)),
        ("hourly", "Europe/Berlin", at("2026-03-29 03:00", "Europe/Berlin")),
        ("daily", "UTC", at("2026-05-04", "UTC")),
        # Days of 23 and of 25 hours, at their end.
        ("daily", "Europe/Berlin", at("2026-03-30", "Europe/Berlin")),
        ("daily", "America/New_York", at("2026-11-02", "America/New_York")),
        # A day that begins at one o'clock, as its midnight does not exist.
        ("daily", "America/Sao_Paulo", at("2018-11-04 01:00", "America/Sao_Paulo")),
        ("weekly", "Europe/Berlin", at("2026-03-30", "Europe/Berlin")),
        ("weekly", "UTC", at("2027-01-04", "UTC")),
        ("monthly", "UTC", at("2026-03-01", "UTC")),
        ("monthly", "UTC", at("2024-03-01", "UTC")),
        ("monthly", "Europe/Berlin", at("2026-04-01", "Europe/Berlin")),
        ("monthly", "America/New_York", at("2026-12-01", "America/New_York")),
    ],
)
def test_a_request_that_outlives_its_period_counts_where_it_began(kind, zone, end):
    made = Budget.objects.create(name="b", unit="tokens", limit=LIMIT, period=kind, time_zone=zone)
    spec = spec_of(made)
    clock, worker = Clock(end - 1), OwnThread()
    with ticking(clock) as run:
        worker.hears()
        run(worker._round())
        before = worker.accounts([spec], clock.now)
        late = run(worker.reserve(before, [60]))
        assert isinstance(late, Reservation)
        assert not isinstance(run(worker.reserve(before, [60])), Reservation)

        clock.now = end + 1
        run(worker._round())
        after = worker.accounts([spec], clock.now)
        assert after[0] is not before[0]
        assert after[0].period.start == end
        # The new period has all of its limit, the old one still only what was left.
        new = run(worker.reserve(after, [LIMIT]))
        assert isinstance(new, Reservation)
        assert not isinstance(run(worker.reserve(before, [60])), Reservation)

        writer.insert([used(70, end - 1, late), used(90, end + 1, new)], check=False)
        run(worker._round())
        counters = dict(BudgetCounter.objects.values_list("period_start", "spent"))
        assert counters == {moment(before[0].period.start): 70, moment(end): 90}
        for account in (*before, *after):
            assert counters[moment(account.period.start)] == spent_in(spec, account.period)
        assert isinstance(run(worker.reserve(after, [10])), Reservation)
        assert not isinstance(run(worker.reserve(after, [1])), Reservation)


def test_a_reset_by_hand_loses_nothing_of_what_is_under_way():
    noon = at("2026-11-24 12:00", "UTC")
    made = Budget.objects.create(name="b", unit="tokens", limit=LIMIT, period="daily")
    clock, worker = Clock(noon), OwnThread()
    with ticking(clock) as run:
        worker.hears()
        run(worker._round())
        early = run(worker.reserve(worker.accounts(worker.known.specs, clock.now), [LIMIT]))
        assert isinstance(early, Reservation)

        clock.now += 10
        Budget.objects.update(reset_at=datetime.fromtimestamp(clock.now, UTC))
        worker.hears()
        run(worker._round())
        new = run(worker.reserve(worker.accounts(worker.known.specs, clock.now), [LIMIT]))
        assert isinstance(new, Reservation)
        writer.insert([used(80, noon, early), used(30, noon + 10, new)], check=False)
    made.refresh_from_db()
    spec = spec_of(made)
    counters = dict(BudgetCounter.objects.values_list("period_start", "spent"))
    assert counters == {
        moment(spec.at(noon).start): 80,
        moment(noon + 10): 30,
    }
    assert [spent_in(spec, spec.at(moment_)) for moment_ in (noon, noon + 10)] == [80, 30]
    # What was held too much is still leased, and nothing else is.
    assert sorted(BudgetLease.objects.values_list("amount", flat=True)) == [20, 70]
