"""Figures as people read them: with their unit, few digits, and never a number for "unknown".

Pure. Where digits are left out, the page shows the exact value beside it on hovering.
"""

from dataclasses import dataclass
from decimal import Decimal

UNKNOWN = "unknown"
NONE = "–"
_LARGE = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**4, "k"))


def dollars(amount: Decimal | float | None) -> str:
    """``$12,345``, ``$3.20``, ``$0.0042``."""
    if amount is None:
        return UNKNOWN
    value = Decimal(str(amount)) if isinstance(amount, float) else Decimal(amount)
    sign, size = ("-" if value < 0 else ""), abs(value)
    if not size:
        return "$0"
    if size >= 10_000:
        return f"{sign}${size:,.0f}"
    if size >= 1:
        return f"{sign}${size:,.2f}"
    places = min(10, 1 - size.adjusted())
    return f"{sign}${size:.{max(2, places)}f}"


def exact_dollars(amount: Decimal | None) -> str:
    """All ten places but the zeros at the end."""
    if amount is None:
        return UNKNOWN
    text = f"{amount:,.10f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"${whole}.{rest.ljust(2, '0')}"


def count(number: float | None) -> str:
    """``987``, ``1,234``, ``12.3k``, ``4.56M``."""
    if number is None:
        return NONE
    for size, sign in _LARGE:
        if abs(number) >= size:
            short = number / (1000 if sign == "k" else size)
            return f"{short:.{2 if abs(short) < 10 else 1 if abs(short) < 100 else 0}f}{sign}"
    return f"{number:,.0f}"


def milliseconds(value: float | None) -> str:
    """``0.4 ms``, ``350 ms``, ``1.24 s``, ``2 min 5 s``."""
    if value is None:
        return NONE
    if value < 10:
        return f"{value:.2g} ms" if value else "0 ms"
    if value < 1000:
        return f"{value:.0f} ms"
    if value < 120_000:
        return f"{value / 1000:.3g} s"
    minutes, seconds = divmod(round(value / 1000), 60)
    return f"{minutes} min {seconds} s"


def share(part: float | None) -> str:
    """``12.3%``."""
    if part is None:
        return NONE
    per_cent = part * 100
    if 0 < per_cent < 0.1:
        return "<0.1%"
    return f"{per_cent:.1f}%" if per_cent < 99.95 else f"{per_cent:.0f}%"


@dataclass(frozen=True, slots=True)
class Change:
    """Against the period before, for a tile: an arrow, a word and a figure."""

    arrow: str
    text: str
    good: bool | None
    """None where more is neither better nor worse."""


def change(
    now: float | Decimal | None, before: float | Decimal | None, *, more_is: str = ""
) -> Change | None:
    """The relative change; ``more_is`` says whether more is "good", "bad" or neither.

    None where there is nothing to compare with.
    """
    if now is None or before is None:
        return None
    present, past = float(now), float(before)
    if not past:
        return Change("", "none before", None) if present else None
    ratio = present / past - 1
    if abs(ratio) < 0.0005:
        return Change("→", "unchanged", None)
    good = None if not more_is else (ratio > 0) == (more_is == "good")
    text = f"{abs(ratio):.0%}" if abs(ratio) >= 0.1 else f"{abs(ratio):.1%}"
    if ratio >= 9.995:
        text = f"{present / past:,.0f}×" if ratio < 99 else "over 100×"
    return Change("▲" if ratio > 0 else "▼", text, good)


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
