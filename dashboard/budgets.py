"""Budgets as the dashboard shows them: how they stand, their burn-down and their last day.

How it fails: the database's errors are passed on. Where the forecast is not made yet, the last
day is unknown (`dashboard.foretelling`).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from budgets import pace
from budgets.figures import BudgetStatus, statuses
from budgets.models import Budget
from budgets.scopes import PER_DOLLAR, BudgetSpec
from dashboard.foretelling import foreteller
from usage.forecast import Exhaustion, exhaustion


@dataclass(frozen=True, slots=True)
class Burn:
    """One budget: how it stands, what was spent by day, and when it will be used up."""

    status: BudgetStatus
    daily: list[tuple[date, float]]
    """US dollars or tokens, by days in UTC, of the current period."""
    ends: Exhaustion | None
    """None: not known yet."""

    @property
    def limit(self) -> float:
        return self.status.spec.limit / per_unit(self.status.spec)

    @property
    def spent(self) -> float:
        return self.status.spent / per_unit(self.status.spec)

    @property
    def resets_at(self) -> datetime | None:
        end = self.status.period.end
        return None if end is None else datetime.fromtimestamp(end, UTC)


def standing(now: datetime) -> list[BudgetStatus]:
    """All active budgets, the nearest to its limit first."""
    found = statuses(Budget.objects.filter(active=True), now)
    return sorted(found, key=lambda status: -status.share)


def burns(now: datetime, most: int = 12, wait: float = 0.0) -> list[Burn]:
    """The budgets nearest to their limits, with their pace; ``wait``: seconds for a forecast."""
    return [burn(status, now, wait) for status in standing(now)[:most]]


def burn(status: BudgetStatus, now: datetime, wait: float = 0.0) -> Burn:
    spec, today = status.spec, now.date()
    daily = pace.daily(spec, today)
    begin = datetime.fromtimestamp(max(0.0, status.period.start), UTC).date()
    found = foreteller.forecast(daily, today, wait)
    ends = None
    if found is not None:
        ends = exhaustion(
            found,
            spec.limit / per_unit(spec),
            status.spent / per_unit(spec),
            dict(daily).get(today, 0.0),
            _last_day(status),
        )
    return Burn(status, [(day, amount) for day, amount in daily if day >= begin], ends)


def _last_day(status: BudgetStatus) -> date | None:
    end = status.period.end
    if end is None:
        return None
    return (datetime.fromtimestamp(end, UTC) - timedelta(seconds=1)).date()


def per_unit(spec: BudgetSpec) -> int:
    """Units of a budget in a US dollar or a token."""
    return PER_DOLLAR if spec.unit == "usd" else 1
