"""What a client is told of its budgets: refusals, and headers near and over a limit. Pure."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from budgets.accounts import Account
from budgets.periods import Period
from budgets.scopes import BudgetSpec

KILLED = "budget_killed"
EXCEEDED = "budget_exceeded"
UNREACHABLE = "budget_unavailable"

Pairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a budget does not admit a request."""

    code: str
    spec: BudgetSpec
    period: Period
    spent: int
    reserved: int = 0
    """Units that requests in flight hold, or are leased to workers for more."""
    needed: int = 0

    @property
    def status(self) -> int:
        return 503 if self.code == UNREACHABLE else 429

    @property
    def message(self) -> str:
        """A sentence or two for people."""
        spec = self.spec
        if self.code == UNREACHABLE:
            return (
                f"The budget {spec.name!r} ({scope_of(spec)}) cannot be checked, as the database "
                "does not answer, and TOKENWATCH_BUDGET_FAIL_MODE is closed."
            )
        if self.code == KILLED:
            return (
                f"The budget {spec.name!r} ({scope_of(spec)}) is blocked by its kill switch. "
                f"{self._state()}"
            )
        if self.spent >= spec.limit:
            return f"The budget {spec.name!r} ({scope_of(spec)}) is used up. {self._state()}"
        return (
            f"The budget {spec.name!r} ({scope_of(spec)}) does not leave enough for this request, "
            f"which may take {spec.shown(self.needed)}. {self._state()}"
        )

    def _state(self) -> str:
        spec = self.spec
        state = f"Spent: {spec.shown(self.spent)} of {spec.shown(spec.limit)} ({spec.period})"
        if self.reserved and self.spent < spec.limit:
            state += f", {spec.shown(self.reserved)} reserved by requests in flight"
        if self.period.end is None:
            return f"{state}; it does not reset by itself."
        return f"{state}; it resets at {iso(self.period.end)}."

    def details(self) -> dict[str, Any]:
        """The same for programs: a member of the error object."""
        spec = self.spec
        return {
            "budget": {
                "name": spec.name,
                "scope": spec.scope,
                "value": spec.pattern or None,
                "unit": spec.unit,
                "limit": spec.shown(spec.limit),
                "spent": spec.shown(self.spent),
                "period": spec.period,
                "resets_at": iso(self.period.end) if self.period.end is not None else None,
            }
        }

    def headers(self, now: float) -> Pairs:
        """When to come again, and that SDKs must not try before."""
        pairs = [(b"x-should-retry", b"false")]
        if self.period.end is not None and self.code == EXCEEDED:
            seconds = max(1, math.ceil(self.period.end - now))
            pairs.append((b"retry-after", str(seconds).encode()))
        return pairs


class Refused(Exception):
    """A budget does not admit a request."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Unknown(Exception):
    """The worker has never been able to read the budgets, and they fail closed."""

    headers: Pairs = [(b"x-should-retry", b"false")]

    def __init__(self) -> None:
        super().__init__(
            "The budgets cannot be read, as the database does not answer, and "
            "TOKENWATCH_BUDGET_FAIL_MODE is closed."
        )


def refusal(account: Account, code: str = EXCEEDED, needed: int = 0) -> Refusal:
    """The refusal of one account as things stand."""
    return Refusal(
        code,
        account.spec,
        account.period,
        account.known_spent if account.spent < account.spec.limit else account.spent,
        reserved=max(0, account.leased),
        needed=needed,
    )


def notices(accounts: list[Account]) -> Pairs:
    """Headers for budgets that are near their limits, or past them without blocking."""
    near: list[str] = []
    over: list[str] = []
    for account in accounts:
        spec, spent = account.spec, account.known_spent
        if spent >= spec.limit:
            over.append(_notice(spec, spent))
        elif spent >= spec.warns_from:
            near.append(_notice(spec, spent))
    pairs = []
    if near:
        pairs.append((b"x-tokenwatch-budget-warning", _header(near)))
    if over:
        pairs.append((b"x-tokenwatch-budget-exceeded", _header(over)))
    return pairs


def _notice(spec: BudgetSpec, spent: int) -> str:
    unit = " tokens" if spec.unit == "tokens" else ""
    figures = f"{spec.shown(spent)}/{spec.shown(spec.limit)}".replace(" tokens", "")
    return f"scope={scope_of(spec)} spent={figures}{unit}"


def _header(values: list[str]) -> bytes:
    return ", ".join(values).encode("ascii", "backslashreplace")


def scope_of(spec: BudgetSpec) -> str:
    """``global``, or the dimension with its value: ``app:checkout``."""
    return spec.scope if spec.scope == "global" else f"{spec.scope}:{spec.pattern}"


def iso(moment: float) -> str:
    """Seconds since the epoch as people and programs read it: ``2026-12-01T00:00:00Z``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
