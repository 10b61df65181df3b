"""`manage.py budget set|status|remove|kill|revive`: limits from the command line."""

from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError

from budgets.figures import BudgetStatus, statuses
from budgets.models import Action, Budget, PeriodKind
from budgets.refusals import iso, scope_of
from budgets.scopes import DIMENSIONS
from tokenwatch.commands import Error, TokenWatchCommand, add_json_option

ACTIONS = [*Action.values, "webhook"]
"""``webhook`` is notify's other name."""


class Command(TokenWatchCommand):
    help = "Set limits on what apps, models, tags or sessions spend; see how they stand."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(
            dest="does", required=True, metavar="set|status|remove|kill|revive"
        )
        _add_set(actions.add_parser("set", help="make a budget, or change the one of its scope"))
        add_json_option(actions.add_parser("status", help="what was spent of each budget"))
        for name, text in (
            ("remove", "remove a budget"),
            ("kill", "block a budget's scope at once, whatever was spent"),
            ("revive", "take the kill switch back"),
        ):
            one = actions.add_parser(name, help=text)
            one.add_argument("--id", type=int, required=True, help="see budget status")
            add_json_option(one)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["does"] == "set":
            self._set(options)
        elif options["does"] == "status":
            self._status(Budget.objects.all(), as_json=options["json"])
        elif options["does"] == "remove":
            self._remove(find(options["id"]), as_json=options["json"])
        else:
            self._switch(find(options["id"]), killed=options["does"] == "kill", options=options)

    def _set(self, options: dict[str, Any]) -> None:
        budget = drafted(options)
        made = budget.pk is None
        try:
            budget.full_clean()
        except ValidationError as exc:
            raise Error(first_problem(exc)) from None
        budget.save()
        if options["json"]:
            self._status([budget], as_json=True)
            return
        word = "Set" if made else "Changed"
        self.say(f"{word} budget {budget.pk}: {described(budget)}.")

    def _status(self, budgets: Iterable[Budget], *, as_json: bool) -> None:
        found = statuses(budgets, datetime.now(UTC))
        if as_json:
            self.write_json([as_dict(status) for status in found])
            return
        if not found:
            self.stdout.write("No budgets. Make one: budget set --limit 50 --period monthly")
            return
        columns = ("Id>", "Budget", "Scope", "Spent>", "Limit>", "Used>", "State", "Action", "")
        self.write_table(columns, (table_row(status) for status in found))

    def _remove(self, budget: Budget, *, as_json: bool) -> None:
        pk = budget.pk
        budget.delete()
        if as_json:
            self.write_json({"removed": pk})
        else:
            self.say(f"Removed budget {pk} ({budget.name}).")

    def _switch(self, budget: Budget, *, killed: bool, options: dict[str, Any]) -> None:
        budget.killed = killed
        budget.active |= killed  # one that is not active would block nothing
        budget.save()
        if options["json"]:
            self._status([budget], as_json=True)
            return
        state = "Blocked" if killed else "No longer blocked"
        self.say(f"{state}: {scope_name(budget)} (budget {budget.pk}, {budget.name}).")


def _add_set(parser: ArgumentParser) -> None:
    parser.add_argument("--name", help="default: from its scope and period")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--limit", metavar="USD", type=_amount, help="in US dollars")
    limit.add_argument("--tokens", metavar="N", type=_amount, help="or in tokens")
    parser.add_argument("--period", choices=PeriodKind.values, help="default: monthly")
    scope = parser.add_mutually_exclusive_group()
    for name in DIMENSIONS:
        scope.add_argument(f"--{name}", help=f"the {name}, or a pattern such as 'search-*'")
    parser.add_argument("--action", choices=ACTIONS, help="at the limit (default: block)")
    parser.add_argument("--webhook-url", help="is told of the threshold and of the limit")
    parser.add_argument("--webhook-secret", help="signs what it is told")
    parser.add_argument(
        "--threshold", metavar="PERCENT", type=int, help="warn from here on (default: 80)"
    )
    parser.add_argument("--time-zone", help="where its days begin (default: UTC)")
    add_json_option(parser)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$").replace(",", "").replace("_", ""))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise Error(f"{text!r} is no amount")
    return amount


def drafted(options: dict[str, Any]) -> Budget:
    """The budget that the options speak of: the one of that name, or of that scope, unit and
    period; else a new one.

    Raises:
        Error: a new one lacks its limit.
    """
    scope = next((name for name in DIMENSIONS if options[name] is not None), "global")
    pattern = "" if scope == "global" else options[scope]
    period = options["period"] or PeriodKind.MONTHLY
    limit = options["limit"] if options["tokens"] is None else options["tokens"]
    budget = _existing(options, scope, pattern, period)
    if budget is None:
        if limit is None:
            raise Error("give a limit: --limit 50 (US dollars) or --tokens 1000000")
        budget = Budget(scope=scope, pattern=pattern, period=period)
        budget.name = options["name"] or _free_name(scope, pattern, period)
    elif options["name"] is not None and scope != "global":
        budget.scope, budget.pattern = scope, pattern
    if limit is not None:
        budget.unit = "usd" if options["tokens"] is None else "tokens"
        budget.limit = limit
    if options["period"] is not None:
        budget.period = options["period"]
    if options["action"] is not None:
        budget.action = "notify" if options["action"] == "webhook" else options["action"]
    for name in ("webhook_url", "webhook_secret", "threshold", "time_zone"):
        if options[name] is not None:
            setattr(budget, name, options[name])
    return budget


def _existing(options: dict[str, Any], scope: str, pattern: str, period: str) -> Budget | None:
    if options["name"] is not None:
        return Budget.objects.filter(name=options["name"]).first()
    unit = "usd" if options["tokens"] is None else "tokens"
    same = Budget.objects.filter(scope=scope, period=period, unit=unit).order_by("id")
    # Compared here: Oracle stores an empty pattern as NULL.
    return next((budget for budget in same if (budget.pattern or "") == pattern), None)


def _free_name(scope: str, pattern: str, period: str) -> str:
    wanted = f"{scope if scope == 'global' else f'{scope} {pattern}'}, {period}"[:90]
    taken = set(Budget.objects.filter(name__startswith=wanted).values_list("name", flat=True))
    number = 1
    name = wanted
    while name in taken:
        number += 1
        name = f"{wanted} ({number})"
    return name


def find(pk: int) -> Budget:
    """
    Raises:
        Error: there is no such budget.
    """
    budget = Budget.objects.filter(pk=pk).first() if 0 < pk < 2**63 else None
    if budget is None:
        raise Error(f"there is no budget with the id {pk} (see budget status)")
    return budget


def scope_name(budget: Budget) -> str:
    return budget.scope if budget.scope == "global" else f"{budget.scope}:{budget.pattern}"


def described(budget: Budget) -> str:
    limit = f"${budget.limit:,.2f}" if budget.unit == "usd" else f"{budget.limit:,.0f} tokens"
    return f"{scope_name(budget)}, {limit} {budget.period}, {budget.action} at the limit"


def table_row(status: BudgetStatus) -> tuple[object, ...]:
    spec = status.spec
    end = status.period.end
    return (
        spec.id,
        spec.name,
        scope_of(spec),
        spec.shown(status.spent),
        spec.shown(spec.limit),
        f"{status.share:.1%}",
        status.state,
        spec.action,
        f"resets {iso(end)}" if end is not None else "no reset",
    )


def as_dict(status: BudgetStatus) -> dict[str, Any]:
    """A budget for programs; amounts are US dollars as strings, or tokens as numbers."""
    spec = status.spec
    amount = (lambda units: units) if spec.unit == "tokens" else _dollars
    return {
        "id": spec.id,
        "name": spec.name,
        "scope": spec.scope,
        "pattern": spec.pattern or None,
        "unit": spec.unit,
        "limit": amount(spec.limit),
        "spent": amount(status.spent),
        "reserved": amount(status.reserved),
        "share": round(status.share, 6),
        "state": status.state,
        "action": spec.action,
        "threshold": spec.threshold,
        "active": status.active,
        "killed": spec.killed,
        "period": spec.period,
        "time_zone": spec.time_zone,
        "period_start": iso(status.period.start),
        "resets_at": iso(status.period.end) if status.period.end is not None else None,
    }


def _dollars(units: int) -> Decimal:
    return Decimal(units).scaleb(-10)


def first_problem(error: ValidationError) -> str:
    """The first thing wrong, as one line with the option's name."""
    field, messages = next(iter(error.message_dict.items()))
    option = {"__all__": "", "pattern": "scope: "}.get(field, f"{field.replace('_', '-')}: ")
    return f"{option}{messages[0]}"
