"""From counted tokens to US dollars: exact integer arithmetic over resolved rates.

Pure. `resolve_rates` turns a price list (what a provider publishes) into `Rates`, once;
`price` then multiplies and adds integers, a few microseconds a request. An amount whose
rate is not known makes the whole cost None: unknown is never 0. Nothing here raises on
usage that keeps the promises of `TokenUsage`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from math import lcm

from tokenwatch.tokens import TokenUsage

PLACES = 10
"""Decimal places of a cost in US dollars; the ledger's column has as many."""

_SCALE: int = 10**PLACES
_WIDE = Context(prec=60)

Prices = Mapping[str, Fraction]
"""US dollars by the unit's name (the keys of `UNITS`), for `Unit.per` of it."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that providers bill for."""

    per: int
    """Prices are published for so many."""
    label: str
    """How the price is quoted, e.g. ``1M tokens``."""
    falls_back_to: tuple[str, ...] = ()
    """Units whose price holds where this one has none of its own, nearest first: audio that is
    not priced apart is text, a cache write for one hour is a cache write, and a cache read is
    input (the ancestor rule of genai-prices)."""


def _tokens(*falls_back_to: str) -> Unit:
    return Unit(1_000_000, "1M tokens", falls_back_to)


UNITS: dict[str, Unit] = {
    "input": _tokens(),
    "cache_read": _tokens("input"),
    "cache_write": _tokens("input"),
    "cache_write_1h": _tokens("cache_write", "input"),
    "output": _tokens(),
    "reasoning": _tokens("output"),
    "input_audio": _tokens("input"),
    "cache_read_audio": _tokens("cache_read", "input_audio", "input"),
    "output_audio": _tokens("output"),
    "input_image": _tokens("input"),
    "cache_read_image": _tokens("cache_read", "input_image", "input"),
    "output_image": _tokens("output"),
    "web_search": Unit(1_000, "1K searches"),
    "file_search": Unit(1_000, "1K searches"),
    "audio_second": Unit(3_600, "hour"),
    "character": Unit(1_000_000, "1M characters"),
    "request": Unit(1_000, "1K requests"),
}
"""The disjoint parts of a bill, in the order of `quantities`."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """What is published for a model: the base prices, and those that replace all of them
    where the prompt is longer than a threshold (caches included), lowest threshold first."""

    base: Prices
    long: tuple[tuple[int, Prices], ...] = ()
    min_audio_seconds: int = 0
    """Shorter audio is billed as so many seconds."""


@dataclass(frozen=True, slots=True)
class RateRow:
    """The price of each unit for prompts of one size, fallbacks applied."""

    prices: Prices
    numerators: tuple[int | None, ...]
    """In the order of `UNITS`: dollars for a single unit, times ``denominator``."""
    denominator: int


@dataclass(frozen=True, slots=True)
class Rates:
    """A price list made ready for `price`."""

    base: RateRow
    long: tuple[tuple[int, RateRow], ...] = ()
    """Highest threshold first: a threshold applies to prompts above it, and to every token of
    such a request, not only to those beyond."""
    min_audio_seconds: int = 0

    def threshold_for(self, prompt_total: int) -> int:
        """The long-context threshold that a prompt of this size is above; 0 for none."""
        return next((start for start, _ in self.long if prompt_total > start), 0)

    def row_for(self, prompt_total: int) -> RateRow:
        for start, row in self.long:
            if prompt_total > start:
                return row
        return self.base


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill."""

    unit: str
    quantity: int | float
    rate: Fraction
    """US dollars for ``per`` of the unit."""
    per: str
    amount: Decimal
    """US dollars; the lines' amounts add up to the cost exactly."""


def resolve_rates(prices: PriceList) -> Rates:
    """Apply the fallbacks and find common denominators."""
    return Rates(
        _rate_row(prices.base),
        tuple((start, _rate_row(row)) for start, row in reversed(prices.long)),
        prices.min_audio_seconds,
    )


def _rate_row(own: Prices) -> RateRow:
    resolved: dict[str, Fraction] = {}
    for name, unit in UNITS.items():
        for candidate in (name, *unit.falls_back_to):
            if candidate in own:
                resolved[name] = own[candidate]
                break
    resolved.setdefault("request", Fraction(0))  # only a few providers bill the call itself
    each = [resolved[name] / unit.per if name in resolved else None for name, unit in UNITS.items()]
    denominator = lcm(*(price.denominator for price in each if price is not None))
    return RateRow(
        prices=resolved,
        numerators=tuple(
            None if price is None else price.numerator * (denominator // price.denominator)
            for price in each
        ),
        denominator=denominator,
    )


def price(usage: TokenUsage, rates: Rates) -> Decimal | None:
    """The cost in US dollars, rounded half-even to `PLACES`; None where a rate is unknown."""
    row = rates.row_for(usage.prompt_total) if rates.long else rates.base
    total: int | Fraction = 0
    counted = _text_only(usage) or quantities(usage, rates)
    for quantity, numerator in zip(counted, row.numerators, strict=True):
        if quantity:
            if numerator is None:
                return None
            total += quantity * numerator
    return _dollars(_rounded(total * _SCALE, row.denominator))


def _text_only(usage: TokenUsage) -> tuple[int, ...] | None:
    """`quantities` of what nearly all requests use, in a fraction of the time; else None."""
    if (
        usage.reasoning
        or usage.input_audio
        or usage.output_audio
        or usage.cache_read_audio
        or usage.input_image
        or usage.output_image
        or usage.cache_read_image
        or usage.audio_seconds
    ):
        return None
    return (
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.cache_write_1h,
        usage.output,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        usage.web_searches,
        usage.file_searches,
        0,
        usage.characters,
        1,
    )


def quantities(usage: TokenUsage, rates: Rates) -> tuple[int | Fraction, ...]:
    """The disjoint quantities of a request, in the order of `UNITS`."""
    text_in, audio_in, image_in = usage.input, usage.input_audio, usage.input_image
    if audio_in or image_in:
        text_in, audio_in, image_in, _ = _parts(text_in, audio_in, image_in, 0)
    text_read, audio_read, image_read = (
        usage.cache_read,
        usage.cache_read_audio,
        usage.cache_read_image,
    )
    if audio_read or image_read:
        text_read, audio_read, image_read, _ = _parts(text_read, audio_read, image_read, 0)
    text_out, audio_out, image_out, reasoning = _parts(
        usage.output, usage.output_audio, usage.output_image, usage.reasoning
    )
    return (
        text_in,
        text_read,
        usage.cache_write,
        usage.cache_write_1h,
        text_out,
        reasoning,
        audio_in,
        audio_read,
        audio_out,
        image_in,
        image_read,
        image_out,
        usage.web_searches,
        usage.file_searches,
        _billed_seconds(usage.audio_seconds, rates.min_audio_seconds),
        usage.characters,
        1,
    )


def _parts(whole: int, audio: int, image: int, reasoning: int) -> tuple[int, int, int, int]:
    """Split a counter into plain, audio, image and reasoning tokens.

    Parts that a provider reports larger than their whole are cut: no token is billed twice.
    """
    audio = min(audio, whole)
    image = min(image, whole - audio)
    reasoning = min(reasoning, whole - audio - image)
    return whole - audio - image - reasoning, audio, image, reasoning


def _billed_seconds(seconds: float, minimum: int) -> int | Fraction:
    if not seconds:
        return 0
    # By its shortest decimal form: 0.1 s means a tenth, not the nearest binary fraction.
    return max(Fraction(repr(seconds)), Fraction(minimum))


def breakdown(usage: TokenUsage, rates: Rates) -> tuple[Line, ...] | None:
    """The bill of `price`, line by line; None where it is None. Lines of nothing are left out.

    Each line is rounded down to `PLACES`, and what the sum then lacks goes to the lines that
    lost most (largest remainder), so that the bill adds up.
    """
    cost = price(usage, rates)
    if cost is None:
        return None
    exact = list(_exact_lines(usage, rates))
    amounts = [int(amount * _SCALE) for *_, amount in exact]
    missing = int(cost.scaleb(PLACES, _WIDE)) - sum(amounts)
    by_remainder = sorted(
        range(len(exact)), key=lambda i: exact[i][3] * _SCALE - amounts[i], reverse=True
    )
    for i in by_remainder[:missing]:
        amounts[i] += 1
    return tuple(
        Line(name, _shown(quantity), rate, UNITS[name].label, _dollars(amount))
        for (name, quantity, rate, _), amount in zip(exact, amounts, strict=True)
    )


def _exact_lines(
    usage: TokenUsage, rates: Rates
) -> Iterator[tuple[str, int | Fraction, Fraction, Fraction]]:
    prices = rates.row_for(usage.prompt_total).prices
    for (name, unit), quantity in zip(UNITS.items(), quantities(usage, rates), strict=True):
        if quantity and (name != "request" or prices[name]):
            yield name, quantity, prices[name], quantity * prices[name] / unit.per


def _shown(quantity: int | Fraction) -> int | float:
    return quantity if isinstance(quantity, int) else float(quantity)


def _rounded(numerator: int | Fraction, denominator: int) -> int:
    """The quotient as a whole number, half to even (building a Fraction costs twice as much)."""
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return whole + (twice > denominator or (twice == denominator and whole % 2 == 1))


def _dollars(ten_billionths: int) -> Decimal:
    return Decimal(ten_billionths).scaleb(-PLACES, _WIDE)
