"""`manage.py stats`: what was used and what it cost, by model."""

from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tokenwatch.commands import TokenWatchCommand, add_json_option
from usage.stats import TIMEFRAMES, Group, Totals, by_model, summary, window

COLUMNS = (
    "Model",
    "Requests>",
    "Errors>",
    "Input>",
    "Output>",
    "Cache read>",
    "Write 5m>",
    "Write 1h>",
    "Reasoning>",
    "Cost>",
    "Unpriced>",
    "Estimated>",
    "Avg ms>",
)
SPANS = {
    "1h": "the last hour",
    "24h": "the last 24 hours",
    "7d": "the last 7 days",
    "30d": "the last 30 days",
    "all": "all time",
}


class Command(TokenWatchCommand):
    help = "Show tokens, cost, errors and latency by model."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--timeframe", choices=list(TIMEFRAMES), default="24h", help="period (24h)"
        )
        add_json_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        timeframe = options["timeframe"]
        start, end = window(timeframe, datetime.now(UTC))
        totals, groups = summary(start, end), by_model(start, end)
        if options["json"]:
            self.write_json(
                {
                    "timeframe": timeframe,
                    "start": start,
                    "end": end,
                    "totals": as_json(totals),
                    "models": [{"model": g.name, **as_json(g.totals)} for g in groups],
                }
            )
        elif not totals.requests:
            self.stdout.write(f"No requests in {SPANS[timeframe]}.")
        else:
            self.stdout.write(f"Requests of {SPANS[timeframe]}\n")
            rows = [cells(group) for group in groups]
            self.write_table(COLUMNS, [*rows, cells(Group("Total", totals))])


def as_json(totals: Totals) -> dict[str, Any]:
    """Totals as plain JSON values; money with 10 decimals, an unknown cost as null."""
    values = {**asdict(totals), "cost": totals.known_cost}
    values.pop("latency_ms")
    money = {k: f"{v:.10f}" for k, v in values.items() if isinstance(v, Decimal)}
    return {**values, **money, "average_latency_ms": totals.average_latency_ms}


def cells(group: Group) -> list[str]:
    totals = group.totals
    cost = totals.known_cost
    average = totals.average_latency_ms
    return [
        group.name or "(none)",
        f"{totals.requests:,}",
        f"{totals.errors:,}",
        f"{totals.input_tokens:,}",
        f"{totals.output_tokens:,}",
        f"{totals.cache_read_tokens:,}",
        f"{totals.cache_write_tokens:,}",
        f"{totals.cache_write_1h_tokens:,}",
        f"{totals.reasoning_tokens:,}",
        "unknown" if cost is None else f"${cost:,.6f}",
        f"{totals.unpriced:,}",
        f"{totals.estimated:,}",
        "" if average is None else f"{average:,}",
    ]
