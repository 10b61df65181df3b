"""How the budgets stand: for the command, the admin and the dashboard. Read-only.

How it fails: the database's errors are passed on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from budgets.models import Budget, BudgetCounter
from budgets.periods import Period
from budgets.scopes import BudgetSpec
from budgets.settlement import moment, spec_of, spent_in


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One budget in its current period. Amounts are in units."""

    spec: BudgetSpec
    active: bool
    period: Period
    spent: int
    reserved: int
    """Held by requests in flight, or leased to workers for more."""

    @property
    def share(self) -> float:
        """Spent, as a part of the limit; may be above 1."""
        return self.spent / self.spec.limit if self.spec.limit else 1.0

    @property
    def remaining(self) -> int:
        return max(0, self.spec.limit - self.spent)

    @property
    def state(self) -> str:
        """killed, inactive, exceeded, approaching or ok."""
        if not self.active:
            return "inactive"
        if self.spec.killed:
            return "killed"
        if self.spent >= self.spec.limit:
            return "exceeded"
        return "approaching" if self.spent >= self.spec.warns_from else "ok"


def statuses(budgets: Iterable[Budget], now: datetime) -> list[BudgetStatus]:
    """How the budgets stand at a moment, in their order."""
    known = list(budgets)
    specs = {budget.pk: spec_of(budget) for budget in known}
    at = now.timestamp()
    found = spent_and_leased(specs.values(), at)
    return [_status(specs[b.pk], at, *found[b.pk], active=b.active) for b in known]


def spent_and_leased(specs: Iterable[BudgetSpec], at: float) -> dict[int, tuple[int, int]]:
    """Units of each budget in its period at a moment, in seconds since the epoch; by its id."""
    periods = {spec.id: (spec, spec.at(at)) for spec in specs}
    counters = _counters({pk: period for pk, (_, period) in periods.items()})
    # A budget that no worker has seen yet has no counter: the ledger knows.
    return {
        pk: counters[pk] if pk in counters else (spent_in(spec, period), 0)
        for pk, (spec, period) in periods.items()
    }


def _counters(periods: dict[int, Period]) -> dict[int, tuple[int, int]]:
    """Spent and leased units of the counters that exist, by budget."""
    rows = BudgetCounter.objects.filter(
        budget__in=periods, period_start__in={moment(p.start) for p in periods.values()}
    ).values_list("budget_id", "period_start", "spent", "leased")
    return {
        budget: (spent, leased)
        for budget, start, spent, leased in rows
        if start == moment(periods[budget].start)
    }


def _status(spec: BudgetSpec, at: float, spent: int, leased: int, *, active: bool) -> BudgetStatus:
    return BudgetStatus(spec, active, spec.at(at), spent, max(0, leased))
