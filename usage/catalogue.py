"""Published prices of about all models, from the data that genai-prices ships (no network).

Pure. `find` says which entry of the catalogue a model name means, given who was asked;
`Entry.price_list` says what it costs at a time and in a service tier. The library's own
look-up is not used: it remembers every name it was ever asked for, and here clients choose
the names. Nothing raises: what the catalogue does not say is None.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

from genai_prices import types
from genai_prices.data import providers as _bundled

from usage import model_names
from usage.pricing import UNITS, PriceList

PROVIDERS: dict[str, types.Provider] = {provider.id: provider for provider in _bundled}

_PRICE_KEYS: dict[str, tuple[str, ...]] = {
    "input": ("input_mtok",),
    "cache_read": ("cache_read_mtok",),
    "cache_write": ("cache_write_mtok",),
    "cache_write_1h": ("cache_write_1h_mtok",),
    "output": ("output_mtok",),
    "reasoning": ("output_reasoning_mtok",),
    "input_audio": ("input_audio_mtok",),
    "cache_read_audio": ("cache_audio_read_mtok",),
    "output_audio": ("output_audio_mtok",),
    "input_image": ("input_image_mtok",),
    "cache_read_image": ("cache_image_read_mtok",),
    "output_image": ("output_image_mtok",),
    "web_search": ("web_searches_kcount",),
    "file_search": ("storage_searches_kcount",),
    "audio_second": ("input_audio_hours", "audio_hours"),
    "character": ("input_mchars",),
    "request": ("requests_kcount",),
}
"""The catalogue's keys for the units of ``usage.pricing``, the most particular first."""

_DIALECT_PROVIDERS = {"openai": ("openai",), "anthropic": ("anthropic",)}
_PREFIX_PROVIDERS = {"z-ai": "zai", "zai-org": "zai"}
"""Prefixes of model names that the catalogue's own matching does not know."""

Context = dict[str, str]
"""What sets a request apart from a standard one; the keys and values of price variants."""

_STANDARD = frozenset(
    ["", "standard", "default", "auto", "standard_only", "on_demand", "on-demand"]
)
"""Service tiers and speeds at the standard price. ``on_demand`` is Groq's word for it."""


def context(service_tier: str = "", speed: str = "", batch: bool = False) -> Context:
    """What is not standard about a request, from the tier and speed that its answer names.

    Anthropic reports a batch as a service tier; the catalogue knows it as a processing mode.
    """
    tier, pace = service_tier.strip().lower(), speed.strip().lower()
    special: Context = {}
    if batch or tier == "batch":
        special["processing"] = "batch"
    if tier not in _STANDARD and tier != "batch":
        special["service_tier"] = tier
    if pace not in _STANDARD:
        special["speed"] = pace
    return special


@dataclass(frozen=True, slots=True)
class Entry:
    """A model in the catalogue, as one provider sells it."""

    provider: str
    model: types.ModelInfo
    own: bool = True
    """False where another provider's entry stands in: its tiers say nothing about this one."""

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model.id}"

    def price_list(self, at: float, special: Context | None = None) -> PriceList | None:
        """What is published for a request that arrived ``at`` (seconds since the epoch).

        None where nothing is, and where a tier, a speed or batch processing is asked for that
        this entry has no prices for at that time: such requests are known to cost something
        else than the standard price, and a guess would stand in the ledger as a fact.
        """
        when = datetime.fromtimestamp(at, UTC)
        if special and not self._has_variant(when, special):
            return None
        prices = _own_prices(self.model.get_prices(when, special or None))
        if not prices:
            return _FREE if self._is_free else None
        starts = sorted({start for price in prices.values() for start in _starts(price)})
        return PriceList(
            base=_at_size(prices, 0),
            long=tuple((start, _at_size(prices, start + 1)) for start in starts),
            # Groq bills 10 seconds at least: https://console.groq.com/docs/speech-to-text
            min_audio_seconds=10 if self.provider == "groq" and "audio_second" in prices else 0,
        )

    def window(self, at: float) -> tuple[float, float]:
        """The time around ``at`` for which `price_list` stays the same: [since, until)."""
        edges = [edge for constraint in self._constraints() for edge in _edges(constraint, at)]
        since = max((edge for edge in edges if edge <= at), default=float("-inf"))
        until = min((edge for edge in edges if edge > at), default=float("inf"))
        return since, until

    def _has_variant(self, when: datetime, special: Context) -> bool:
        return self.own and any(
            variant.when == special
            and (variant.constraint is None or variant.constraint.active(when))
            for variant in self.model.price_variants or ()
        )

    @property
    def _is_free(self) -> bool:
        """An entry without any price is free only where the catalogue says so."""
        said = f"{self.model.description} {self.model.price_comments}".lower()
        return self.model.id.endswith(":free") or "free of charge" in said

    def _constraints(self) -> Iterator[types.StartDateConstraint | types.TimeOfDateConstraint]:
        prices = self.model.prices
        conditional = prices if isinstance(prices, list) else []
        for item in (*conditional, *(self.model.price_variants or ())):
            if item.constraint is not None:
                yield item.constraint


_FREE = PriceList(dict.fromkeys(UNITS, Fraction(0)))

_Price = Decimal | types.TieredPrices


def _own_prices(published: types.ModelPrice) -> dict[str, _Price]:
    """By unit, what is published for it; units without a price of their own are left out."""
    found: dict[str, _Price] = {}
    for unit, keys in _PRICE_KEYS.items():
        for key in keys:
            if (price := published.__dict__.get(key)) is not None:
                found[unit] = price
                break
    return found


def _starts(price: _Price) -> list[int]:
    return [tier.start for tier in price.tiers] if isinstance(price, types.TieredPrices) else []


def _at_size(prices: dict[str, _Price], prompt_total: int) -> dict[str, Fraction]:
    return {unit: Fraction(_tier_price(price, prompt_total)) for unit, price in prices.items()}


def _tier_price(price: _Price, prompt_total: int) -> Decimal:
    if not isinstance(price, types.TieredPrices):
        return price
    reached = [tier.price for tier in price.tiers if prompt_total > tier.start]
    return reached[-1] if reached else price.base


def _edges(
    constraint: types.StartDateConstraint | types.TimeOfDateConstraint, at: float
) -> Iterator[float]:
    """Every moment near ``at`` at which the constraint may begin or cease to hold."""
    if isinstance(constraint, types.StartDateConstraint):
        yield datetime.combine(constraint.start_date, time(), UTC).timestamp()
        return
    today = datetime.fromtimestamp(at, UTC).date()
    for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
        for clock in (constraint.start_time, constraint.end_time):
            aware = clock if clock.tzinfo is not None else clock.replace(tzinfo=UTC)
            yield datetime.combine(day, aware).timestamp()


def find(model: str, api_type: str = "", base_url: str = "") -> Entry | None:
    """The catalogue's entry for a model name.

    Asked in this order: the provider that the upstream's URL belongs to, the provider whose
    dialect was spoken (both dialects' where ``api_type`` is empty), every provider that the
    name itself points to; then the same again without the name's first prefix
    (``openai/gpt-4o-mini``), which then goes before the dialect, and so on.

    A fine-tuned model (``ft:…``) has entries of its own; its base model's price is not its.
    """
    name = model.strip().lower()
    if not name or len(name) > model_names.MAX_LENGTH:
        return None
    host = provider_of_url(base_url)
    dialect = _DIALECT_PROVIDERS.get(api_type, ("openai", "anthropic"))
    for hint, candidate in model_names.without_prefixes(name):
        asked = [host, *_hinted(hint, candidate), *(PROVIDERS[id_] for id_ in dialect)]
        for provider in (*asked, *_named_by(candidate)):
            if provider is not None and (entry := _entry(provider, candidate)):
                return entry
    return None


def provider_of_url(base_url: str) -> types.Provider | None:
    """Whose API the URL is, by the catalogue's patterns; None for hosts of one's own."""
    if not base_url:
        return None
    url = base_url.lower()
    return next((p for p in PROVIDERS.values() if re.match(p.api_pattern, url)), None)


def _hinted(prefix: str, name: str) -> Iterator[types.Provider]:
    """Providers that a name's prefix, or Amazon Bedrock's way of naming, points to."""
    if prefix:
        id_ = _PREFIX_PROVIDERS.get(prefix, prefix)
        if id_ in PROVIDERS:
            yield PROVIDERS[id_]
        else:
            for provider in PROVIDERS.values():
                if provider.provider_match and provider.provider_match.is_match(id_):
                    yield provider
    if model_names.BEDROCK.fullmatch(name):
        yield PROVIDERS["aws"]


def _named_by(name: str) -> Iterator[types.Provider]:
    for provider in PROVIDERS.values():
        if provider.model_match and provider.model_match.is_match(name):
            yield provider


def _entry(provider: types.Provider, name: str) -> Entry | None:
    if found := provider.find_model(name):
        return Entry(provider.id, found)
    for other in provider.fallback_model_providers or ():
        if found := PROVIDERS[other].find_model(name):
            return Entry(provider.id, found, own=False)
    return None
