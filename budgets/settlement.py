"""Counting what requests spent: in the transaction that writes their rows, or from the ledger.

`settle_rows` runs inside ``usage.writer``: the counters and the ledger agree at every commit,
whichever worker writes the rows and however often it has to try. A counter that is missing is
built from the ledger; `reconcile` proves the others against it and repairs them. What rows
counted that retention removes is kept in their counters (`keep_pruned`), so the proof holds
whatever is left of the ledger.

How it fails: the database's errors are passed on, and the rows are not stored either; they
wait in the spool and come again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, Sum

from budgets import leases
from budgets.leases import BudgetGoneError, Hold
from budgets.models import Budget, BudgetCounter
from budgets.periods import Period
from budgets.scopes import PER_DOLLAR, BudgetSpec, ScopeIndex
from tokenwatch.conf import config
from tokenwatch.globs import matcher
from usage.models import UsageRecord
from usage.rows import UsageRow

COLUMNS = {
    "app": ("source_app",),
    "model": ("model_routed", "model_requested"),
    "tag": ("feature_tag",),
    "session": ("session_id",),
}
"""The ledger's columns of each scope: the first that says something names it. A model is the
one that was really asked."""
TOKEN_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
)

Key = tuple[int, float]
"""A budget's id and the start of one of its periods."""


def load_specs(*, active: bool = True) -> list[BudgetSpec]:
    """The budgets that are enforced, or, without ``active``, all that there are."""
    budgets = Budget.objects.filter(active=True) if active else Budget.objects.all()
    return [spec_of(budget) for budget in budgets.order_by("id")]


def spec_of(budget: Budget) -> BudgetSpec:
    unit = PER_DOLLAR if budget.unit == "usd" else 1
    return BudgetSpec(
        id=budget.pk,
        name=budget.name,
        scope=budget.scope,
        pattern=budget.pattern or "",
        unit=budget.unit,
        limit=int(budget.limit * unit),
        period=budget.period,
        time_zone=budget.time_zone,
        action=budget.action,
        threshold=budget.threshold,
        killed=budget.killed,
        reset_at=budget.reset_at.timestamp() if budget.reset_at else None,
    )


def unpriced_units() -> int:
    """What a request of unknown price counts against a budget in dollars."""
    amount = config.unpriced_cost
    return 0 if amount == "admit" else int(Decimal(amount) * PER_DOLLAR)


def units_of(row: UsageRow, unit: str) -> int:
    """What a row counts against a budget in dollars or in tokens."""
    if unit == "tokens":
        return sum(getattr(row, column) for column in TOKEN_COLUMNS)
    if row.cost is None:
        return unpriced_units()
    return int(Decimal(row.cost).scaleb(10))


def settle_rows(rows: Sequence[UsageRow]) -> None:
    """Add rows that are being stored to the counters of their budgets, and end their holds."""
    holds = [Hold(lease, units) for row in rows for lease, units in row.holds]
    # Those that are switched off count too: their counters are right when they come back.
    specs = load_specs(active=False)
    if not specs and not holds:
        return
    sums, periods = _sums(rows, specs)
    counters = _counters(sums)
    for key in sums.keys() - counters.keys():
        spec, period = periods[key]
        built = _build(spec, period)
        if built is None:  # another writer was faster, and did not see these rows
            counters |= _counters([key])
    spent = {counters[key]: units for key, units in sums.items() if key in counters}
    leases.settle(spent, holds)


def counter_of(spec: BudgetSpec, period: Period) -> int:
    """The id of the counter of a budget's period; it is built where there is none.

    Raises:
        BudgetGoneError: the budget was removed, or counts something else by now.
    """
    key = (spec.id, period.start)
    found = _counters([key])
    if key not in found:
        with transaction.atomic():
            # The spec is as old as the worker's snapshot: what it says must still be so.
            if not _stands(spec):
                raise BudgetGoneError(spec.id)
            built = _build(spec, period)
        if built is not None:
            return built
        found = _counters([key])
        if key not in found:
            raise BudgetGoneError(spec.id)
    return found[key]


def _stands(spec: BudgetSpec) -> bool:
    """Whether the budget counts what its spec says; so it does until the transaction ends."""
    same = Budget.objects.filter(
        pk=spec.id,
        scope=spec.scope,
        pattern=spec.pattern,
        unit=spec.unit,
        period=spec.period,
        time_zone=spec.time_zone,
    )
    return bool(same.order_by().update(scope=spec.scope))


def reconcile(spec: BudgetSpec, period: Period, *, checked_before: datetime | None = None) -> int:
    """Set a counter to what the ledger says; the units that it was off by (0 when all is well).

    With ``checked_before``, only if nobody has checked it since.
    """
    with transaction.atomic():
        found = BudgetCounter.objects.filter(budget=spec.id, period_start=moment(period.start))
        due = found.filter(due_for_check(checked_before)) if checked_before else found
        if not due.update(checked_at=datetime.now(UTC)):  # and writers wait from here on
            return 0
        # In this order: a removal that is committed in between waits for this counter's row.
        spent, pruned = found.values_list("spent", "pruned").get()
        off: int = pruned + spent_in(spec, period) - spent
        if off:
            found.update(spent=F("spent") + off)
        return off


def due_for_check(checked_before: datetime) -> Q:
    """Counters that nobody has proved against the ledger since then, or not since they were
    built: rows that were written in the very same moment may have been missed."""
    return Q(checked_at__lt=checked_before) | Q(checked_at__isnull=True)


def forget_counters() -> None:
    """Remove all counters, as the ledger was emptied: they are built from it anew."""
    BudgetCounter.objects.all().delete()


def keep_pruned(rows: Sequence[UsageRow]) -> None:
    """Note in their counters what rows counted that the present transaction will remove.

    A counter that is missing is built while the rows are there, if its period goes on; one
    whose period is over is not needed any more.
    """
    now = datetime.now(UTC).timestamp()
    sums, periods = _sums(rows, load_specs(active=False))
    for key in sums.keys() - _counters(sums).keys():
        spec, period = periods[key]
        if period.end is None or period.end > now:
            _build(spec, period)
    counters = _counters(sums)
    for key in sorted(counters, key=lambda key: counters[key]):  # as writers lock them
        BudgetCounter.objects.filter(pk=counters[key]).update(pruned=F("pruned") + sums[key])


def spent_in(spec: BudgetSpec, period: Period) -> int:
    """The sum of the ledger's rows that count against a budget in a period."""
    rows = UsageRecord.objects.filter(created_at__gte=moment(period.start))
    if period.end is not None:
        rows = rows.filter(created_at__lt=moment(period.end))
    figures = (
        {"unpriced": Count("pk", filter=Q(cost__isnull=True)), "cost_sum": Sum("cost")}
        if spec.unit == "usd"
        else {f"{column}_sum": Sum(column) for column in TOKEN_COLUMNS}
    )
    if spec.scope == "global":
        return _units(spec.unit, rows.aggregate(**figures))
    matches = matcher(spec.pattern)
    columns = COLUMNS[spec.scope]
    groups = rows.order_by().values(*columns).annotate(**figures)
    return sum(_units(spec.unit, group) for group in groups if matches(named(group, columns)))


def named(group: Mapping[str, Any], columns: Sequence[str]) -> str:
    """What a group of rows names of a scope's columns."""
    return next((str(group[column]) for column in columns if group[column]), "")


def _units(unit: str, sums: dict[str, int | Decimal | None]) -> int:
    if unit == "tokens":
        return sum(int(sums[f"{column}_sum"] or 0) for column in TOKEN_COLUMNS)
    cost = Decimal(sums["cost_sum"] or 0).scaleb(10)
    return int(cost.to_integral_value()) + int(sums["unpriced"] or 0) * unpriced_units()


def _sums(
    rows: Iterable[UsageRow], specs: Sequence[BudgetSpec]
) -> tuple[dict[Key, int], dict[Key, tuple[BudgetSpec, Period]]]:
    index = ScopeIndex(specs)
    sums: dict[Key, int] = {}
    periods: dict[Key, tuple[BudgetSpec, Period]] = {}
    current: dict[int, Period] = {}
    for row in rows:
        budgets = index.matching(
            row.source_app,
            row.model_routed or row.model_requested,
            row.feature_tag,
            row.session_id,
        )
        for spec in budgets:
            period = current.get(spec.id)
            if period is None or not _within(period, row.created_at):
                period = current[spec.id] = spec.at(row.created_at)
            key = (spec.id, period.start)
            periods[key] = spec, period
            sums[key] = sums.get(key, 0) + units_of(row, spec.unit)
    return sums, periods


def _within(period: Period, at: float) -> bool:
    return period.start <= at and (period.end is None or at < period.end)


def _counters(keys: Iterable[Key]) -> dict[Key, int]:
    """The ids of the counters that exist."""
    wanted = set(keys)
    found = BudgetCounter.objects.filter(
        budget__in={budget for budget, _ in wanted},
        period_start__in={moment(start) for _, start in wanted},
    ).values_list("budget_id", "period_start", "pk")
    by_key = {(budget, start.timestamp()): pk for budget, start, pk in found}
    return {key: pk for key, pk in by_key.items() if key in wanted}


def _build(spec: BudgetSpec, period: Period) -> int | None:
    """Make a counter from the ledger, the rows of this transaction included; None if it exists."""
    try:
        with transaction.atomic():
            made = BudgetCounter.objects.create(
                budget_id=spec.id, period_start=moment(period.start)
            )
    except IntegrityError:
        return None
    # Only now: whoever else has rows for it waits for this one, and adds his own afterwards.
    spent = spent_in(spec, period)
    BudgetCounter.objects.filter(pk=made.pk).update(spent=F("spent") + spent)
    return made.pk


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as the database keeps them."""
    return datetime.fromtimestamp(seconds, UTC)
