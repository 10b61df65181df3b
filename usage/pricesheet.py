"""The operator's own prices: which row speaks for a model, and what follows from it.

Pure. A row goes before the catalogue, which fills in what a row cannot say: blank cache
prices, long-context tiers, service tiers, and units that have no column (audio, searches).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import inf

from usage import model_names
from usage.pricing import PriceList, Prices


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row: US dollars per million tokens; times in seconds since the epoch."""

    pattern: str
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    valid_from: float = 0.0
    retired_at: float | None = None

    @property
    def prices(self) -> dict[str, Fraction]:
        """The columns that are filled in."""
        columns = {
            "input": self.input,
            "output": self.output,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
            "cache_write_1h": self.cache_write_1h,
        }
        return {unit: Fraction(price) for unit, price in columns.items() if price is not None}

    def retired(self, at: float) -> bool:
        return self.retired_at is not None and at >= self.retired_at


class PriceSheet:
    """All rows, by pattern.

    A pattern matches a model's name without regard to case or to prefixes such as
    ``anthropic/`` (unless it has the prefix itself), with dots and dashes between digits
    alike, and with a date or revision after it: ``claude-opus-4-6`` matches
    ``anthropic/claude-opus-4.6-20260205``, and ``glm-4.7`` does not match ``glm-4.7-flash``.
    ``*`` stands for any text. A name goes before a wildcard, a longer pattern before a
    shorter one. Of the rows with one pattern the newest that has begun speaks, and when it
    is retired the pattern is silent: the rows before it do not come back.
    """

    def __init__(self, rows: Iterable[SheetRow]) -> None:
        patterns: dict[str, list[SheetRow]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row.valid_from, reverse=True):
            patterns[model_names.canonical(row.pattern)].append(row)
        self._names = {pattern: rows for pattern, rows in patterns.items() if "*" not in pattern}
        self._globs = sorted(
            ((pattern, rows) for pattern, rows in patterns.items() if "*" in pattern),
            key=lambda item: (-len(item[0]), item[0]),
        )

    def find(self, model: str, at: float) -> SheetRow | None:
        """The row that speaks for a model's request at a time."""
        for rows in self._matching(model):
            begun = next((row for row in rows if row.valid_from <= at), None)
            if begun is not None and not begun.retired(at):
                return begun
        return None

    def window(self, model: str, at: float) -> tuple[float, float]:
        """The time around ``at`` for which `find` stays the same: [since, until)."""
        edges = [edge for rows in self._matching(model) for row in rows for edge in _edges(row)]
        since = max((edge for edge in edges if edge <= at), default=-inf)
        until = min((edge for edge in edges if edge > at), default=inf)
        return since, until

    def _matching(self, model: str) -> Iterator[list[SheetRow]]:
        """The rows of each pattern that matches, the pattern that goes first, first."""
        if len(model) > model_names.MAX_LENGTH:
            return
        spellings = [
            model_names.canonical(name)
            for _, name in model_names.without_prefixes(model.strip().lower())
        ]
        names = {name for spelling in spellings for name in model_names.undated(spelling)}
        for name in sorted(names & self._names.keys(), key=lambda name: (-len(name), name)):
            yield self._names[name]
        for pattern, rows in self._globs:
            if any(model_names.matches_glob(name, pattern) for name in spellings):
                yield rows


def _edges(row: SheetRow) -> Iterator[float]:
    yield row.valid_from
    if row.retired_at is not None:
        yield row.retired_at


def price_list(
    row: SheetRow, standard: PriceList | None, asked: PriceList | None = None
) -> PriceList:
    """What a row makes of the catalogue's prices.

    ``standard`` is the catalogue's standard price list for the model, ``asked`` the one for
    the request's service tier (the standard one where None). Each price of the row is scaled
    as the catalogue's price for the tier and the prompt's size stands to its standard base
    price; a blank cache price stands to the row's input price as it does in the catalogue.
    Where the catalogue has no prices the row's are flat, and blank ones fall back as
    ``usage.pricing`` says, in the end to the input price.
    """
    if standard is None or not any(standard.base.values()):
        return PriceList(row.prices)
    asked = asked or standard
    return PriceList(
        base=_scaled(row, standard.base, asked.base),
        long=tuple((start, _scaled(row, standard.base, prices)) for start, prices in asked.long),
        min_audio_seconds=asked.min_audio_seconds,
    )


def _scaled(row: SheetRow, standard: Prices, asked: Prices) -> Prices:
    own = row.prices
    result = dict(asked)
    input_ratio = _ratio(asked.get("input"), standard.get("input")) or Fraction(1)
    for unit, price in own.items():
        ratio = _ratio(asked.get(unit), standard.get(unit))
        result[unit] = price * (input_ratio if ratio is None else ratio)
    for unit in ("cache_read", "cache_write", "cache_write_1h"):
        if unit in own:
            continue
        share = _ratio(asked.get(unit), standard.get("input"))
        if share is None:
            result.pop(unit, None)
        else:
            result[unit] = own["input"] * share
    return result


def _ratio(part: Fraction | None, whole: Fraction | None) -> Fraction | None:
    return part / whole if part is not None and whole else None
