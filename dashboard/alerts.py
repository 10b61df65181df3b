"""The strip above the Overview: what is wrong now, the worst first. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from budgets.figures import BudgetStatus
from budgets.scopes import PER_DOLLAR, BudgetSpec
from dashboard import present
from usage.stats import Group

SPOOL_GROWING = 2_000
"""Rows in the spool from which it is growing: at ease there are a few hundred at most."""
ERROR_SHARE = 0.1
ERROR_REQUESTS = 20
_ORDER = {"critical": 0, "warning": 1}


@dataclass(frozen=True, slots=True)
class Alert:
    level: str
    """critical or warning."""
    text: str
    where: str
    """A page's name for the view to link to: budget, prices, errors or system."""
    key: str = ""


def strip(
    budgets: Iterable[BudgetStatus],
    models: Iterable[Group],
    *,
    errors: int,
    requests: int,
    spool_depth: int | None,
    database_ok: bool | None,
    resting: Iterable[str] = (),
) -> list[Alert]:
    """All alerts of a view; ``models`` are its totals by model, ``resting`` the upstreams that
    serve nothing at present, with why."""
    found = [alert for status in budgets if (alert := _budget(status)) is not None]
    found += [Alert("critical", f"Upstream {name}", "system") for name in resting]
    unpriced = [group for group in models if group.totals.unpriced]
    if unpriced:
        names = ", ".join(group.name or "no model named" for group in unpriced[:3])
        more = f" and {len(unpriced) - 3} more" if len(unpriced) > 3 else ""
        count = sum(group.totals.unpriced for group in unpriced)
        text = f"{present.count(count)} requests have no price: {names}{more}"
        found.append(Alert("warning", text, "prices", unpriced[0].name))
    if requests >= ERROR_REQUESTS and errors / requests >= ERROR_SHARE:
        found.append(
            Alert("warning", f"{present.share(errors / requests)} of requests failed", "errors")
        )
    if database_ok is False:
        found.append(Alert("critical", "The database is away; rows wait in the spool", "system"))
    elif spool_depth is not None and spool_depth >= SPOOL_GROWING:
        found.append(Alert("warning", f"{spool_depth:,} rows wait in the spool", "system"))
    return sorted(found, key=lambda alert: _ORDER[alert.level])


def _budget(status: BudgetStatus) -> Alert | None:
    name, spec = status.spec.name, status.spec
    amount = f"{_amount(spec, status.spent)} of {_amount(spec, spec.limit)}"
    if status.state == "killed":
        return Alert(
            "critical", f"Budget {name} is blocked by its kill switch", "budget", str(spec.id)
        )
    if status.state == "exceeded":
        what = "blocks requests" if spec.blocks else "is used up"
        return Alert("critical", f"Budget {name} {what}: {amount}", "budget", str(spec.id))
    if status.state == "approaching":
        return Alert(
            "warning", f"Budget {name} is near its limit: {amount}", "budget", str(spec.id)
        )
    return None


def _amount(spec: BudgetSpec, units: int) -> str:
    if spec.unit == "tokens":
        return f"{present.count(units)} tokens"
    return present.dollars(units / PER_DOLLAR)
