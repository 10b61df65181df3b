"""`manage.py cost by-tag|by-app|by-session|by-model|forecast`: who spends what, and what comes."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenwatch.commands import TokenWatchCommand, add_json_option

if TYPE_CHECKING:
    from usage.costs import Attribution
    from usage.forecast import Forecast

TIMEFRAMES = ("1h", "24h", "7d", "30d", "all")
HISTORY = {"7d": 7, "30d": 30, "90d": 90, "all": None}
COLUMNS = ("Requests>", "Tokens>", "Cost>", "Average>", "Saved by cache>", "Share>")


class Command(TokenWatchCommand):
    help = "Show cost by tag, app, session or model, and what the coming days will cost."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(
            dest="by", required=True, metavar="by-tag|by-app|by-session|by-model|forecast"
        )
        for name in ("by-tag", "by-app", "by-session", "by-model"):
            one = actions.add_parser(name, help=f"cost {name.replace('-', ' ')}")
            one.add_argument("--timeframe", choices=TIMEFRAMES, default="30d", help="(30d)")
            one.add_argument("--top", metavar="N", type=_positive, help="only the N dearest")
            add_json_option(one)
        coming = actions.add_parser("forecast", help="the coming 30 days, and budgets' last days")
        coming.add_argument(
            "--timeframe", choices=list(HISTORY), default="all", help="history to go by (all)"
        )
        add_json_option(coming)

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        if options["by"] == "forecast":
            self._forecast(HISTORY[options["timeframe"]], now, as_json=options["json"])
        else:
            self._attribution(options["by"].removeprefix("by-"), now, options)

    def _attribution(self, dimension: str, now: datetime, options: dict[str, Any]) -> None:
        from usage import costs, stats

        start, end = stats.window(options["timeframe"], now)
        everything = costs.total(start, end)
        top = options["top"]
        if dimension == "session":
            found = costs.by_session(start, end, top or 20)
        else:
            found = costs.by(dimension, start, end)[:top]
        if options["json"]:
            self.write_json(
                {
                    "timeframe": options["timeframe"],
                    "start": start,
                    "end": end,
                    "total": attribution_json(everything),
                    f"{dimension}s": [
                        {dimension: one.name or None, **attribution_json(one)} for one in found
                    ],
                }
            )
        elif not everything.requests:
            self.stdout.write(f"No requests ({options['timeframe']}).")
        else:
            rows = [[one.name or "(none)", *cells(one)] for one in found]
            columns = (dimension.capitalize(), *COLUMNS)
            self.write_table(columns, [*rows, ["All requests", *cells(everything)]])

    def _forecast(self, history: int | None, now: datetime, *, as_json: bool) -> None:
        from usage import costs
        from usage.forecast import forecast, month_end

        today = now.date()
        month = today.replace(day=1)
        daily = costs.daily(None if history is None else today - timedelta(days=history), today)
        spent = dict(costs.daily(month, today))
        found = forecast([(day, float(cost)) for day, cost in daily], today)
        end = month_end(found, float(sum(spent.values())), float(spent.get(today, 0)))
        budgets = budgets_ends(now)
        if as_json:
            self.write_json(
                {
                    "method": found.method,
                    "weekly_season": found.weekly,
                    "history_days": found.history,
                    "month": {
                        "spent": money(float(sum(spent.values()))),
                        "expected": money(end.expected),
                        "low": money(end.low),
                        "high": money(end.high),
                    },
                    "days": [
                        {
                            "date": day.day.isoformat(),
                            "expected": money(day.expected),
                            "low": money(day.low),
                            "high": money(day.high),
                        }
                        for day in found.days[1:]
                    ],
                    "budgets": budgets,
                }
            )
            return
        self.stdout.write(explained(found))
        if found.method != "none":
            self.write_table(
                ("Day", "Expected>", "80% between>", "and>"),
                [
                    (f"{d.day:%a %Y-%m-%d}", dollars(d.expected), dollars(d.low), dollars(d.high))
                    for d in found.days[1:]
                ],
            )
            self.stdout.write(
                f"\nAt the end of {month:%B}: {dollars(end.expected)} "
                f"(80% between {dollars(end.low)} and {dollars(end.high)}), "
                f"of which {dollars(float(sum(spent.values())))} are spent."
            )
        if budgets:
            self.stdout.write("")
            rows = [
                (b["budget"], b["used_up"] or "-", b["earliest"] or "-", b["resets_at"] or "never")
                for b in budgets
            ]
            self.write_table(("Budget", "Used up on", "At the earliest", "Resets"), rows)


def budgets_ends(now: datetime) -> list[dict[str, Any]]:
    """For each active budget the day on which it will be used up, if it will be."""
    from budgets import pace
    from budgets.figures import statuses
    from budgets.models import Budget
    from budgets.refusals import iso
    from usage.forecast import exhaustion, forecast

    today = now.date()
    found = []
    for status in statuses(Budget.objects.filter(active=True), now):
        spec, end = status.spec, status.period.end
        daily = pace.daily(spec, today)
        per_unit = 10**10 if spec.unit == "usd" else 1
        last = None
        if end is not None:
            last = (datetime.fromtimestamp(end, UTC) - timedelta(seconds=1)).date()
        day = exhaustion(
            forecast(daily, today),
            spec.limit / per_unit,
            status.spent / per_unit,
            dict(daily).get(today, 0.0),
            last,
        )
        found.append(
            {
                "id": spec.id,
                "budget": spec.name,
                "used_up": _iso(day.expected),
                "earliest": _iso(day.earliest),
                "resets_at": iso(end) if end is not None else None,
            }
        )
    return found


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None


def attribution_json(one: "Attribution") -> dict[str, Any]:
    return {
        "requests": one.requests,
        "unpriced": one.unpriced,
        "tokens": one.tokens,
        "cost": one.cost,
        "average_cost": one.average.quantize(Decimal("1E-10")) if one.average is not None else None,
        "saved_cost": one.saved,
        "share": round(one.share, 6) if one.share is not None else None,
    }


def cells(one: "Attribution") -> list[str]:
    return [
        f"{one.requests:,}",
        f"{one.tokens:,}",
        "unknown" if one.cost is None else f"${one.cost:,.6f}",
        "" if one.average is None else f"${one.average:,.6f}",
        f"${one.saved:,.6f}",
        "" if one.share is None else f"{one.share:.1%}",
    ]


def explained(found: "Forecast") -> str:
    """How the forecast was found, in a sentence."""
    days = f"{found.history} whole {'day' if found.history == 1 else 'days'}"
    if found.method == "none":
        return "Nothing was spent yet, so there is nothing to go by."
    if found.method == "average":
        return f"From {days}: the average. Two weeks of history make a better forecast."
    how = "exponential smoothing" if found.method == "smoothing" else "a straight line"
    season = ", with a weekly season" if found.weekly else ""
    return f"From {days}: {how}{season}."


def money(amount: float) -> str:
    return f"{amount:.6f}"


def dollars(amount: float) -> str:
    return f"${amount:,.4f}" if amount < 1 else f"${amount:,.2f}"


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= 100_000:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is no count from 1 to 100000")
