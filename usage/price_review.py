"""The price sheet beside the catalogue, and the models that neither of them prices.

Reads the database for the admin and the ``prices`` command; its errors are passed on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Lower, Replace

from tokenwatch.conf import config
from usage import catalogue, stats
from usage.models import ModelPrice
from usage.pricebook import sheet_row
from usage.pricing import PriceList, Prices, resolve_rates

UNPRICED_DAYS = 30
SHOWN = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
"""The units that the sheet has columns for."""


@dataclass(frozen=True, slots=True)
class Review:
    """One row of the sheet beside the catalogue's standard price for the same model."""

    state: str
    """in force, not yet, superseded or retired"""
    catalogue_name: str
    """The catalogue's entry; empty where it has no price for the pattern."""
    published: Prices
    """The catalogue's prices for `SHOWN`, fallbacks applied."""
    verdict: str
    """same, differs, or not in the catalogue"""


def reviewed(now: datetime) -> QuerySet[ModelPrice]:
    """The sheet's rows, each with ``superseded``: a newer one of its pattern has begun."""
    newer = (
        ModelPrice.objects.annotate(same=_comparable("pattern"))
        .filter(same=_comparable(OuterRef("pattern")), valid_from__gt=OuterRef("valid_from"))
        .filter(valid_from__lte=now)
        .order_by()
    )
    return ModelPrice.objects.annotate(superseded=Exists(newer))


def _comparable(pattern: str | OuterRef) -> Replace:
    return Replace(Lower(pattern), Value("."), Value("-"))


def review(row: ModelPrice, now: datetime) -> Review:
    """Compare one of the `reviewed` rows."""
    entry, prices = catalogue_prices(row.pattern, now)
    published: dict[str, Fraction] = {}
    if prices is not None:
        resolved = resolve_rates(prices).base.prices
        published = {unit: resolved[unit] for unit in SHOWN if unit in resolved}
    own = sheet_row(row).prices
    if not published:
        verdict = "not in the catalogue"
    else:
        same = all(published.get(unit) == price for unit, price in own.items())
        verdict = "same" if same else "differs"
    return Review(_state(row, now), entry if published else "", published, verdict)


def _state(row: ModelPrice, now: datetime) -> str:
    if row.retired_at is not None and row.retired_at <= now:
        return "retired"
    if row.valid_from > now:
        return "not yet"
    return "superseded" if getattr(row, "superseded", False) else "in force"


def catalogue_prices(model: str, now: datetime) -> tuple[str, PriceList | None]:
    """The catalogue's entry for a model, as the configured provider sells it, and its prices."""
    entry = None if "*" in model else catalogue.find(model, base_url=config.openai_url)
    if entry is None:
        return "", None
    return entry.name, entry.price_list(now.timestamp())


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A model that was used without a price."""

    model: str
    requests: int


def unpriced_models(now: datetime) -> list[Unpriced]:
    """The models of the last `UNPRICED_DAYS` with requests of unknown cost, the most first."""
    groups = stats.by_model(now - timedelta(days=UNPRICED_DAYS), now)
    found = [Unpriced(g.name, g.totals.unpriced) for g in groups if g.name and g.totals.unpriced]
    return sorted(found, key=lambda item: (-item.requests, item.model))


def shown(price: Fraction | Decimal | None) -> str:
    """A price for people: up to 6 decimal places, no zeros at the end; a dash for none."""
    if price is None:
        return "–"
    value = (
        round(Decimal(price.numerator) / price.denominator, 6)
        if isinstance(price, Fraction)
        else price
    )
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
