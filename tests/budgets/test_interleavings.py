"""Whole desks of three workers in any order of events, a reset by hand among them."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from budgets.accounts import Account, Reservation, Share
from budgets.bookkeeping import LIFE
from budgets.models import Budget, BudgetCounter, BudgetLease
from budgets.settlement import moment, spec_of, spent_in
from tests.budgets.desks import Clock, OwnThread, ticking
from tests.usage.samples import NOON, usage_row
from usage import writer
from usage.models import UsageRecord, UsageRollup
from usage.rows import UsageRow

LIMIT = 300
WORKERS = "abc"
SELDOM = st.integers(0, 4).map(lambda drawn: drawn == 4)
"""So that there is something to go wrong when it happens."""


@dataclass(eq=False)
class Request:
    worker: str
    desk: OwnThread
    arrived: float
    estimate: int
    account: Account
    reservation: Reservation


class Branches(RuleBasedStateMachine):
    """What is known to go beyond a limit is put down in ``error``, by the start of the period:
    what an answer cost above its estimate, what was held by a lease that was not renewed in
    time, and what a worker granted from the period before a reset that it had not heard of.
    """

    def __init__(self) -> None:
        super().__init__()
        for model in (UsageRecord, UsageRollup, BudgetLease, BudgetCounter, Budget):
            model.objects.all().delete()
        Budget.objects.create(name="all", limit=LIMIT, unit="tokens", period="daily")
        self.clock = Clock(NOON)
        self.ticking = ticking(self.clock)
        self.run = self.ticking.__enter__()
        self.desks = {name: OwnThread() for name in WORKERS}
        self.requests: list[Request] = []
        self.unwritten: list[tuple[UsageRow, Share]] = []
        self.error: dict[float, int] = {}
        for name in WORKERS:
            self.upkeep(name)

    def teardown(self) -> None:
        self.ticking.__exit__(None, None, None)

    @rule(worker=st.sampled_from(WORKERS), estimates=st.lists(st.integers(1, 100), max_size=5))
    def reserve(self, worker: str, estimates: list[int]) -> None:
        for estimate in estimates:
            self._reserve(worker, estimate)

    def _reserve(self, worker: str, estimate: int) -> None:
        desk = self.desks[worker]
        accounts = desk.accounts(desk.known.specs, self.clock.now)
        if desk.gate(accounts) is not None:
            return
        held = self.run(desk.reserve(accounts, [estimate]))
        if isinstance(held, Reservation):
            request = Request(worker, desk, self.clock.now, estimate, accounts[0], held)
            self.requests.append(request)
            assert held._shares[0].lease is not None
            alive = BudgetLease.objects.filter(
                pk=held._shares[0].lease, expires_at__gt=moment(self.clock.now)
            )
            assert alive.exists(), "granted from a lease that may be taken back"

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), actual=st.integers(0, 110))
    def settle(self, data: st.DataObject, actual: int) -> None:
        request = data.draw(st.sampled_from(self.requests))
        self.requests.remove(request)
        share = request.reservation._shares[0]
        row = usage_row(
            created_at=request.arrived,
            input_tokens=actual,
            output_tokens=0,
            holds=request.reservation.settle(0, actual),
        )
        self.unwritten.append((row, share))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """It failed, was cancelled, or its client left: nothing was used."""
        request = data.draw(st.sampled_from(self.requests))
        self.requests.remove(request)
        assert request.reservation.settle(0, 0) == []

    @precondition(lambda self: self.unwritten)
    @rule()
    def write_rows(self) -> None:
        spec = spec_of(Budget.objects.get())
        for row, share in self.unwritten:
            start = spec.at(row.created_at).start
            assert share.lease is not None
            own = BudgetLease.objects.filter(
                pk=share.lease, counter__period_start=moment(start)
            ).exists()
            covered = min(row.input_tokens, share.units) if own else 0
            self.error[start] = self.error.get(start, 0) + row.input_tokens - covered
        writer.insert([row for row, _ in self.unwritten], check=False)
        self.unwritten = []

    @rule(worker=st.sampled_from(WORKERS))
    def upkeep(self, worker: str) -> None:
        """A second of a worker's: it hears of new policies, and looks at its budgets."""
        self.desks[worker].hears()
        self.run(self.desks[worker]._round())

    @rule(seconds=st.integers(1, 6))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(first=st.sampled_from(WORKERS), then=st.sampled_from(WORKERS))
    def all_leases_expire(self, first: str, then: str) -> None:
        """Nobody renews them in time; one worker takes them back, another one notices."""
        self.clock.now += LIFE.total_seconds() + 1
        self.upkeep(first)
        self.upkeep(then)

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        """Its requests end without rows; those that it had recorded are written by another."""
        self.requests = [one for one in self.requests if one.worker != worker]
        self.desks[worker] = OwnThread()
        self.upkeep(worker)

    @rule(really=SELDOM)
    def reset(self, really: bool) -> None:
        if not really:
            return
        Budget.objects.update(reset_at=datetime.fromtimestamp(self.clock.now, UTC))

    @rule(really=SELDOM)
    def next_day(self, really: bool) -> None:
        if not really:
            return
        spec = spec_of(Budget.objects.get())
        end = spec.at(self.clock.now).end
        assert end is not None
        self.clock.now = end

    @invariant()
    def the_counter_is_the_ledger(self) -> None:
        spec = spec_of(Budget.objects.get())
        period = spec.at(self.clock.now)
        found = BudgetCounter.objects.filter(period_start=moment(period.start)).first()
        if found is not None:
            assert found.spent == spent_in(spec, period)

    @invariant()
    def no_period_is_overspent(self) -> None:
        for counter in BudgetCounter.objects.annotate(held=Sum("leases__amount")):
            assert counter.leased == (counter.held or 0) >= 0
            error = self.error.get(counter.period_start.timestamp(), 0)
            assert counter.spent + counter.leased <= LIMIT + max(0, error)

    @invariant()
    def leases_cover_what_is_granted(self) -> None:
        amounts = dict(BudgetLease.objects.values_list("pk", "amount"))
        held: dict[int, int] = {}
        for request in self.requests:
            share = request.reservation._shares[0]
            assert share.lease is not None
            held[share.lease] = held.get(share.lease, 0) + share.units
        for row, _ in self.unwritten:
            for lease, units in row.holds:
                held[lease] = held.get(lease, 0) + units
        for desk in self.desks.values():
            for account in desk._accounts.values():
                if account.lease is not None and self.clock.now < account.lease_ends:
                    assert account.lease in amounts
                    held[account.lease] = held.get(account.lease, 0) + account.available
        for lease, units in held.items():
            assert lease not in amounts or units <= amounts[lease]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("examples", "steps"), [(25, 40), pytest.param(300, 60, marks=pytest.mark.slow)]
)
def test_any_order_of_events(examples: int, steps: int) -> None:
    machine = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Branches, settings=machine)
