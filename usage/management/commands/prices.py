"""`manage.py prices [MODEL]`: the price sheet, or what a model would cost and why."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from tokenwatch.commands import Error, TokenWatchCommand, add_json_option
from tokenwatch.conf import config
from tokenwatch.tokens import TokenUsage
from usage import price_review
from usage.models import PRICE_FIELDS, ModelPrice
from usage.price_review import Review, shown
from usage.pricebook import Explanation, load_price_book

COUNTERS = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
EXAMPLE = TokenUsage(input=1_000, output=1_000)
"""Where no counts are given; small enough for no long-context rate."""

COLUMNS = (
    "Model",
    "Input>",
    "Output>",
    "Cache read>",
    "Write>",
    "Write 1h>",
    "Valid from",
    "State",
    "Catalogue in/out>",
    "Compared",
)


def count(text: str) -> int:
    try:
        value = int(text.replace("_", "").replace(",", ""))
    except ValueError:
        value = -1
    if value < 0:
        raise ArgumentTypeError(f"expected a whole number of tokens, got {text!r}")
    return value


def moment(text: str) -> datetime:
    """ISO 8601; UTC where no offset is given."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"expected an ISO 8601 time, got {text!r}") from None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


class Command(TokenWatchCommand):
    help = "List the price sheet beside the catalogue, or say what a model would cost."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", nargs="?", help="as an answer names it")
        for name in COUNTERS:
            parser.add_argument(f"--{name.replace('_', '-')}", type=count, metavar="N")
        parser.add_argument(
            "--api-type", choices=("openai", "anthropic"), default="openai", help="whose dialect"
        )
        parser.add_argument("--service-tier", default="", metavar="TIER")
        parser.add_argument("--at", type=moment, metavar="TIME", help="when it arrived (ISO 8601)")
        add_json_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["model"] is None:
            self._list(as_json=options["json"])
        else:
            self._explain(options)

    def _list(self, *, as_json: bool) -> None:
        now = timezone.now()
        rows = [
            (row, price_review.review(row, now))
            for row in price_review.reviewed(now).order_by("pattern", "-valid_from")
        ]
        if as_json:
            self.write_json([sheet_json(row, review) for row, review in rows])
            return
        if not rows:
            self.stdout.write("The price sheet is empty: the catalogue's prices are used.")
            return
        self.write_table(COLUMNS, (sheet_cells(row, review) for row, review in rows))
        self.stdout.write("US dollars per million tokens.")

    def _explain(self, options: dict[str, Any]) -> None:
        given = {name: options[name] for name in COUNTERS if options[name] is not None}
        usage = TokenUsage(**given) if given else EXAMPLE
        at: datetime = options["at"] or timezone.now()
        api_type = options["api_type"]
        explanation = load_price_book().explain(
            options["model"],
            usage,
            api_type=api_type,
            base_url=config.openai_url if api_type == "openai" else config.anthropic_url,
            at=at.timestamp(),
            service_tier=options["service_tier"],
        )
        if explanation.cost is None:
            raise Error(f"{options['model']}: {explanation.unknown}")
        if options["json"]:
            self.write_json(explanation_json(options["model"], explanation))
            return
        self.say(f"{options['model']}: {source(explanation)}")
        if explanation.threshold:
            self.say(f"Long-context rates: the prompt is over {explanation.threshold:,} tokens.")
        lines = [
            (
                line.unit.replace("_", " "),
                f"{line.quantity:,}",
                shown(line.rate),
                line.per,
                f"{line.amount:f}",
            )
            for line in explanation.lines
        ]
        lines.append(("total", "", "", "", f"{explanation.cost:f}"))
        self.write_table(("Unit", "Quantity>", "Rate>", "Per", "US dollars>"), lines)


def source(explanation: Explanation) -> str:
    """Where the price comes from, in words."""
    resolved = explanation.resolved
    published = f"the catalogue's {resolved.entry.name}" if resolved.entry else ""
    if resolved.row is None:
        return published
    words = f"the price sheet's {resolved.row.pattern}"
    return f"{words}, over {published}" if published else words


def sheet_cells(row: ModelPrice, review: Review) -> tuple[str, ...]:
    prices = tuple(shown(getattr(row, name)) for name in PRICE_FIELDS)
    published = (
        f"{shown(review.published.get('input'))} / {shown(review.published.get('output'))}"
        if review.published
        else "–"
    )
    begins = f"{row.valid_from:%Y-%m-%d}"
    return (row.pattern, *prices, begins, review.state, published, review.verdict)


def sheet_json(row: ModelPrice, review: Review) -> dict[str, Any]:
    return {
        "pattern": row.pattern,
        **{name: getattr(row, name) for name in PRICE_FIELDS},
        "valid_from": row.valid_from,
        "retired_at": row.retired_at,
        "state": review.state,
        "catalogue": review.catalogue_name or None,
        "catalogue_prices": {unit: shown(price) for unit, price in review.published.items()},
        "compared": review.verdict,
    }


def explanation_json(model: str, explanation: Explanation) -> dict[str, Any]:
    resolved = explanation.resolved
    return {
        "model": model,
        "cost": explanation.cost,
        "source": resolved.source,
        "pattern": resolved.row.pattern if resolved.row else None,
        "catalogue": resolved.entry.name if resolved.entry else None,
        "long_context_threshold": explanation.threshold or None,
        "lines": [
            {
                "unit": line.unit,
                "quantity": line.quantity,
                "rate": shown(line.rate),
                "per": line.per,
                "amount": line.amount,
            }
            for line in explanation.lines
        ],
    }
