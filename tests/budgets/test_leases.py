"""Leases on a real database: no order of events overspends or loses a unit."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from budgets import leases
from budgets.leases import Hold, slice_of
from budgets.models import Budget, BudgetCounter, BudgetLease

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIFE = timedelta(seconds=15)
LIMIT = 1000


@pytest.fixture
def counter(db):
    budget = Budget.objects.create(name="all", limit=LIMIT, unit="tokens")
    return BudgetCounter.objects.create(budget=budget, period_start=NOW).pk


def take(counter, need, *, worker="a", lease=None, limit=LIMIT):
    return leases.take(counter, limit, need, worker=worker, lease=lease, until=NOW + LIFE)


def figures(counter):
    return BudgetCounter.objects.values_list("spent", "leased").get(pk=counter)


@pytest.mark.parametrize(
    ("remaining", "need", "units"),
    [(1000, 10, 125), (1000, 200, 200), (80, 10, 10), (10, 10, 10), (9, 10, 0), (-5, 1, 0)],
)
def test_slices_shrink_as_the_limit_comes_near(remaining, need, units):
    assert slice_of(remaining, need) == units


def test_five_of_many_fit(counter):
    taken = [take(counter, 200, worker=str(number)) for number in range(64)]
    assert sum(one is not None for one in taken) == 5
    assert figures(counter) == (0, LIMIT)


def test_a_lease_grows_and_is_spent(counter):
    first = take(counter, 100)
    second = take(counter, 100, lease=first.lease)
    assert second.lease == first.lease
    leases.settle({counter: 90}, [Hold(first.lease, 90)])
    total = first.units + second.units
    assert figures(counter) == (90, total - 90)
    assert leases.give_back(counter, first.lease, total - 90)
    assert figures(counter) == (90, 0)


def test_a_dead_workers_lease_comes_back_and_its_late_rows_still_count(counter):
    taken = take(counter, 400)
    assert leases.expire(NOW + LIFE) == 0
    assert leases.expire(NOW + LIFE + timedelta(seconds=1)) == 1
    assert figures(counter) == (0, 0)
    leases.settle({counter: 300}, [Hold(taken.lease, 300)])
    assert figures(counter) == (300, 0)
    assert not leases.give_back(counter, taken.lease, 100)


def test_a_renewed_lease_stays_and_an_expired_one_is_replaced(counter):
    mine, other = take(counter, 10), take(counter, 10, worker="b")
    assert leases.renew([mine.lease], NOW + 2 * LIFE) == {mine.lease}
    assert leases.expire(NOW + LIFE + timedelta(seconds=1)) == 1
    again = take(counter, 10, worker="b", lease=other.lease)
    assert again.lease not in {mine.lease, other.lease}
    assert leases.end_all("b") == leases.end_all("a") == 1
    assert figures(counter) == (0, 0)


def test_a_worker_that_others_outrun_again_and_again_is_served_all_the_same(counter, monkeypatch):
    real = leases._lease
    outrun: list[tuple] = []

    def slow(*args):
        if len(outrun) < leases.TRIES:  # another one takes a unit first
            outrun.append(args)
            return None
        return real(*args)

    monkeypatch.setattr(leases, "_lease", slow)
    assert take(counter, 10) is not None
    assert len(outrun) == leases.TRIES


class Workers(RuleBasedStateMachine):
    """Three workers on one budget, in any order of events, against what must be true."""

    def __init__(self):
        super().__init__()
        BudgetCounter.objects.all().delete()
        Budget.objects.all().delete()
        budget = Budget.objects.create(name="all", limit=LIMIT, unit="tokens")
        self.counter = BudgetCounter.objects.create(budget=budget, period_start=NOW).pk
        self.now = NOW
        self.lease: dict[str, int] = {}
        self.available: dict[str, int] = dict.fromkeys("abc", 0)
        self.requests: list[tuple[str, int, int]] = []
        self.finished: list[tuple[int, Hold]] = []
        self.ledger = 0
        self.error = 0

    @rule(worker=st.sampled_from("abc"), estimate=st.integers(1, 300))
    def reserve(self, worker, estimate):
        if self.available[worker] < estimate:
            lease = self.lease.get(worker)
            taken = leases.take(
                self.counter, LIMIT, estimate, worker=worker, lease=lease, until=self.now + LIFE
            )
            if taken is None:
                return
            if taken.lease != lease:
                self.available[worker] = 0
            self.lease[worker] = taken.lease
            self.available[worker] += taken.units
        self.available[worker] -= estimate
        self.requests.append((worker, self.lease[worker], estimate))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), actual=st.integers(0, 400))
    def finish(self, data, actual):
        at = data.draw(st.integers(0, len(self.requests) - 1))
        worker, lease, estimate = self.requests.pop(at)
        used = min(estimate, actual)
        if self.lease.get(worker) == lease:
            self.available[worker] += estimate - used
        self.finished.append((actual, Hold(lease, used)))
        self.error += actual - used
        if not BudgetLease.objects.filter(pk=lease).exists():
            self.error += used  # granted before the expiry, spent after it

    @precondition(lambda self: self.finished)
    @rule()
    def write_rows(self):
        spent = sum(actual for actual, _ in self.finished)
        leases.settle({self.counter: spent}, [hold for _, hold in self.finished])
        self.ledger += spent
        self.finished = []

    @rule(worker=st.sampled_from("abc"), dead=st.booleans())
    def lose(self, worker, dead):
        """A worker dies, or is cut off from the database, and its lease expires."""
        lease = self.lease.pop(worker, None)
        if lease is None:
            return
        leases.renew(self.lease.values(), self.now + 3 * LIFE)
        self.now += LIFE + timedelta(seconds=1)
        leases.expire(self.now)
        leases.renew(self.lease.values(), self.now + LIFE)
        assert not BudgetLease.objects.filter(pk=lease).exists()
        self.available[worker] = 0
        self.error += sum(hold.units for _, hold in self.finished if hold.lease == lease)
        if dead:
            self.requests = [request for request in self.requests if request[0] != worker]

    @rule(worker=st.sampled_from("abc"))
    def give_back(self, worker):
        if worker in self.lease:
            leases.give_back(self.counter, self.lease[worker], self.available[worker])
            self.available[worker] = 0

    @invariant()
    def nothing_is_overspent(self):
        spent, leased = figures(self.counter)
        assert spent == self.ledger
        assert leased >= 0
        assert spent + leased <= LIMIT + self.error

    @invariant()
    def every_lease_covers_what_was_granted_from_it(self):
        for worker, lease in self.lease.items():
            held = sum(units for _, of, units in self.requests if of == lease)
            unwritten = sum(hold.units for _, hold in self.finished if hold.lease == lease)
            amount = BudgetLease.objects.values_list("amount", flat=True).get(pk=lease)
            assert amount == self.available[worker] + held + unwritten


@pytest.mark.django_db
def test_any_order_of_events():
    machine = settings(
        max_examples=60,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Workers, settings=machine)
