"""The budgets as they stand, for whoever asks what would become of a request.

The decisions are the desk's own. Nothing is leased and nothing is written: what no lease and
no request has taken is taken for granted, and the rest for refused, as the database would.
How it fails: the database's errors are passed on.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from budgets.accounts import Account
from budgets.desk import Desk
from budgets.scopes import BudgetSpec, ScopeIndex

Figures = Callable[[Sequence[BudgetSpec], float], Mapping[int, tuple[int, int]]]
"""Spent and leased units at a moment, by a budget's id (`figures.spent_and_leased`)."""


class StillDesk(Desk):
    """Answers as a worker would that has leased nothing yet."""

    def __init__(self, figures: Figures) -> None:
        super().__init__(lambda: ScopeIndex([]), lambda: True, fail_open=True)
        self._figures = figures
        self.asked: list[Account] = []
        """The accounts that were asked for last."""

    def accounts(self, budgets: Iterable[BudgetSpec], at: float) -> list[Account]:
        specs = list(budgets)
        known = self._figures(specs, at)
        self.asked = [_as_it_stands(spec, at, *known[spec.id]) for spec in specs]
        return self.asked


def _as_it_stands(spec: BudgetSpec, at: float, spent: int, leased: int) -> Account:
    left = max(0, spec.limit - spent - leased)
    return Account(
        spec,
        spec.at(at),
        spent=spent,
        leased=leased,
        available=left,
        lease_ends=math.inf,
        denied=left + 1,
    )
