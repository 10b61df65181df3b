"""Which budgets a request counts against. Pure; compiled once a snapshot.

A budget names an app, model, tag or session exactly or by a pattern with ``*``, ``?`` and
``[…]`` (`fnmatch`, case-sensitive). Exact names are found by a dictionary whatever their
number; patterns are tried one after another, once for each value that comes along.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from budgets.periods import Period, period_of
from tokenwatch.globs import is_pattern, matcher

PER_DOLLAR = 10**10
"""Units of a US dollar; a token is one unit."""
REMEMBERED = 4096
"""Values of one dimension whose budgets are kept; the memory is emptied past it."""

DIMENSIONS = ("app", "model", "tag", "session")


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """One active budget as the hot path sees it. Amounts are in units."""

    id: int
    name: str
    scope: str
    """global, app, model, tag or session."""
    pattern: str
    unit: str
    """usd or tokens."""
    limit: int
    period: str
    time_zone: str
    action: str
    """block, warn or notify."""
    threshold: int
    """Per cent of the limit from which a warning is given."""
    killed: bool = False
    reset_at: float | None = None

    @property
    def blocks(self) -> bool:
        return self.action == "block"

    @property
    def warns_from(self) -> int:
        """Units spent from which a warning is given."""
        return -(-self.limit * self.threshold // 100)

    def counts_as(self, other: "BudgetSpec") -> bool:
        """Whether both count the same requests in the same unit."""
        return (self.scope, self.pattern, self.unit) == (other.scope, other.pattern, other.unit)

    def at(self, moment: float) -> Period:
        """The budget's period at a moment, in seconds since the epoch."""
        return period_of(self.period, self.time_zone, moment, self.reset_at)

    def shown(self, units: int) -> str:
        """An amount for people: ``$1.50``, ``1,200 tokens``."""
        return shown(self.unit, units)


def shown(unit: str, units: int) -> str:
    """Units of ``usd`` or ``tokens`` for people."""
    if unit == "tokens":
        return f"{units:,} tokens"
    dollars, rest = divmod(abs(units), PER_DOLLAR)
    places = f"{rest:010d}".rstrip("0").ljust(2, "0")
    return f"{'-' if units < 0 else ''}${dollars:,}.{places}"


class ScopeIndex:
    """Finds the budgets of a request. Not for two threads at once."""

    def __init__(self, budgets: Iterable[BudgetSpec]) -> None:
        self.specs = tuple(sorted(budgets, key=lambda budget: budget.id))
        self._all: tuple[BudgetSpec, ...] = ()
        self._exact: dict[str, dict[str, tuple[BudgetSpec, ...]]] = {d: {} for d in DIMENSIONS}
        self._patterns: dict[str, list[tuple[Callable[[str], bool], BudgetSpec]]] = {
            dimension: [] for dimension in DIMENSIONS
        }
        self._known: dict[str, dict[str, tuple[BudgetSpec, ...]]] = {d: {} for d in DIMENSIONS}
        for budget in self.specs:
            if budget.scope == "global":
                self._all += (budget,)
            elif is_pattern(budget.pattern):
                self._patterns[budget.scope].append((matcher(budget.pattern), budget))
            else:
                named = self._exact[budget.scope]
                named[budget.pattern] = (*named.get(budget.pattern, ()), budget)
        self._used = [d for d in DIMENSIONS if self._exact[d] or self._patterns[d]]

    def matching(self, app: str, model: str, tag: str, session: str) -> tuple[BudgetSpec, ...]:
        """The budgets that a request counts against."""
        found = self._all
        if self._used:
            values = {"app": app, "model": model, "tag": tag, "session": session}
            for dimension in self._used:
                if value := values[dimension]:
                    found += self._of(dimension, value)
        return found

    def _of(self, dimension: str, value: str) -> tuple[BudgetSpec, ...]:
        if not self._patterns[dimension]:
            return self._exact[dimension].get(value, ())
        known = self._known[dimension]
        if value not in known:
            if len(known) >= REMEMBERED:
                known.clear()
            matched = tuple(budget for test, budget in self._patterns[dimension] if test(value))
            known[value] = self._exact[dimension].get(value, ()) + matched
        return known[value]
