"""What every model costs: the operator's sheet over the published catalogue, in memory.

A `PriceBook` is built once for each state of the sheet and never changes, so the hot path
prices a request without a lock, a database or a search; `load_price_book` is the only I/O.
Failure posture: loading raises `DatabaseError` and the caller keeps the book it has; an
unknown model, tier or unit is None, never 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import inf

from tokenwatch.tokens import TokenUsage
from usage import catalogue, model_names, pricesheet
from usage.catalogue import Entry
from usage.models import ModelPrice
from usage.pricesheet import PriceSheet, SheetRow
from usage.pricing import Line, PriceList, Rates, breakdown, price, resolve_rates

REMEMBERED = 2048
"""Resolved rates kept per generation; about two kilobytes each."""

Key = tuple[str, str, str, str, str, bool]
"""Model, api type, base URL, service tier, speed, batch."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The rates of one kind of request and where they come from."""

    rates: Rates | None
    """None where they are not known; `unknown` says why."""
    row: SheetRow | None = None
    """The sheet's row that speaks, if one does."""
    entry: Entry | None = None
    """The catalogue's entry, also where it only fills in what the row leaves open."""
    unknown: str = ""
    since: float = -inf
    until: float = inf
    """Holds for requests that arrived in [since, until), seconds since the epoch."""

    @property
    def source(self) -> str:
        """``sheet``, ``catalogue``, or empty where the rates are unknown."""
        if self.rates is None:
            return ""
        return "sheet" if self.row is not None else "catalogue"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A cost with its reasons, for people."""

    resolved: Resolved
    cost: Decimal | None
    lines: tuple[Line, ...]
    threshold: int
    """The prompt is longer than so many tokens and costs long-context rates; 0 if not."""
    unknown: str
    """Why the cost is None; empty where it is not."""


class PriceBook:
    """Prices for any model at any time; immutable but for what it remembers."""

    def __init__(self, rows: Iterable[SheetRow] = ()) -> None:
        self._sheet = PriceSheet(rows)
        # Two generations bound the memory: clients choose the names, and one that sends a new
        # name with every call must not push out those that everyone uses.
        self._young: dict[Key, Resolved] = {}
        self._old: dict[Key, Resolved] = {}

    def cost(
        self,
        model: str,
        usage: TokenUsage,
        *,
        api_type: str,
        base_url: str,
        at: float,
        service_tier: str = "",
        speed: str = "",
        batch: bool = False,
    ) -> Decimal | None:
        """US dollars with 10 decimal places; None where a price is unknown.

        ``model``, ``service_tier`` and ``speed`` are as the answer names them, ``at`` is the
        request's arrival in seconds since the epoch.
        """
        rates = self._rates((model, api_type, base_url, service_tier, speed, batch), at).rates
        return None if rates is None else price(usage, rates)

    def rates(
        self,
        model: str,
        *,
        api_type: str = "",
        base_url: str = "",
        at: float,
        service_tier: str = "",
        speed: str = "",
        batch: bool = False,
    ) -> Resolved:
        """The rates that `cost` uses, and where they come from."""
        return self._rates((model, api_type, base_url, service_tier, speed, batch), at)

    def explain(
        self,
        model: str,
        usage: TokenUsage,
        *,
        api_type: str = "",
        base_url: str = "",
        at: float,
        service_tier: str = "",
        speed: str = "",
        batch: bool = False,
    ) -> Explanation:
        """What `cost` says, line by line, and why."""
        resolved = self._rates((model, api_type, base_url, service_tier, speed, batch), at)
        rates = resolved.rates
        if rates is None:
            return Explanation(resolved, None, (), 0, resolved.unknown)
        lines = breakdown(usage, rates)
        return Explanation(
            resolved,
            cost=price(usage, rates),
            lines=lines or (),
            threshold=rates.threshold_for(usage.prompt_total),
            unknown="" if lines is not None else "no price is known for part of the usage",
        )

    def _rates(self, key: Key, at: float) -> Resolved:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self._remember(key, found)
        if found is None or not found.since <= at < found.until:
            found = self._resolve(key, at)
            self._remember(key, found)
        return found

    def _remember(self, key: Key, resolved: Resolved) -> None:
        if len(key[0]) > model_names.MAX_LENGTH:
            return
        if len(self._young) >= REMEMBERED:
            self._old, self._young = self._young, {}
        self._young[key] = resolved

    def _resolve(self, key: Key, at: float) -> Resolved:
        model, api_type, base_url, service_tier, speed, batch = key
        row = self._sheet.find(model, at)
        entry = catalogue.find(model, api_type, base_url)
        special = catalogue.context(service_tier, speed, batch)
        prices, unknown = _prices(row, entry, at, special)
        since, until = self._sheet.window(model, at)
        if entry is not None:
            entry_since, entry_until = entry.window(at)
            since, until = max(since, entry_since), min(until, entry_until)
        rates = None if prices is None else resolve_rates(prices)
        return Resolved(rates, row, entry, unknown, since, until)


def _prices(
    row: SheetRow | None, entry: Entry | None, at: float, special: catalogue.Context
) -> tuple[PriceList | None, str]:
    """The price list, or why there is none."""
    standard = entry.price_list(at) if entry is not None else None
    asked = entry.price_list(at, special) if entry is not None and special else standard
    if row is not None and standard is None:
        return pricesheet.price_list(row, None), ""
    if standard is None:
        return None, "neither the price sheet nor the catalogue has a price for the model"
    if asked is None:
        wanted = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in special.items())
        return None, f"the catalogue has no price for {wanted} at that time"
    return (asked if row is None else pricesheet.price_list(row, standard, asked)), ""


def load_price_book() -> PriceBook:
    """Read the whole sheet.

    Raises:
        DatabaseError: the sheet cannot be read.
    """
    # The newest first: of two rows of one pattern that begin at once, the later one speaks.
    return PriceBook(sheet_row(row) for row in ModelPrice.objects.order_by("-valid_from", "-pk"))


def sheet_row(row: ModelPrice) -> SheetRow:
    """A stored row as plain values."""
    return SheetRow(
        pattern=row.pattern,
        input=row.input_per_mtok,
        output=row.output_per_mtok,
        cache_read=row.cache_read_per_mtok,
        cache_write=row.cache_write_per_mtok,
        cache_write_1h=row.cache_write_1h_per_mtok,
        valid_from=row.valid_from.timestamp(),
        retired_at=row.retired_at.timestamp() if row.retired_at else None,
    )
