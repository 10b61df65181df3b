"""What an A/B test's comparison means, in plain words. Pure.

A winner is named only for differences that `sequential` calls ones, and only where all of them
speak for the same variant. Whatever else is said says how sure it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.assign import A, B

if TYPE_CHECKING:  # numpy and scipy are not needed for words
    from experiments.statistics import Comparison, Row

NO_DATA = "no data"
TOO_EARLY = "too early"
UNDECIDED = "undecided"
SAME = "no difference"
BETTER = "better"
MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said of a test by now."""

    state: str
    """no data, too early, undecided, no difference, better or mixed."""
    winner: str
    """A or B where the state is ``better``."""
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def verdict(found: "Comparison", minimum: int) -> Verdict:
    """Judge a comparison; ``minimum`` is the number of sessions of each variant from which on
    anything is judged."""
    if found.requests_a + found.requests_b == 0:
        return Verdict(NO_DATA, "", ("No request was counted yet.",))
    cautions = _cautions(found)
    if not found.enough:
        early = (
            f"Too early to tell: A has {_count(found.split.sessions_a, 'session')}, "
            f"B has {_count(found.split.sessions_b, 'session')}, and below {minimum} each "
            "every difference may be chance."
        )
        return Verdict(TOO_EARLY, "", (early, *cautions))
    differing = [row for row in found.rows if row.differs]
    open_rows = [r for r in found.rows if r.p is not None and not r.differs and not r.same]
    said = [_difference(row) for row in differing]
    winners = {row.winner for row in differing} - {""}
    if len(winners) == 1:
        (winner,) = winners
        ahead = f"{winner} is better: {_list([_advantage(r) for r in differing if r.winner])}."
        neutral = [_difference(row) for row in differing if not row.winner]
        rest = f"Nothing that is measured is known to be worse with {winner}."
        return Verdict(BETTER, winner, (ahead, *neutral, rest, *_open(open_rows), *cautions))
    if winners:
        mixed = "It is a trade: A is better at some things, B at others."
        return Verdict(MIXED, "", (mixed, *said, *_open(open_rows), *cautions))
    if not open_rows and not differing:
        nothing = "A and B do not differ by anything of practical size."
        return Verdict(SAME, "", (nothing, *cautions))
    if differing:
        neither = "Neither is better by anything that could be told."
        return Verdict(UNDECIDED, "", (*said, neither, *_open(open_rows), *cautions))
    chance = "No difference between A and B can be told from chance."
    return Verdict(UNDECIDED, "", (chance, *_open(open_rows), *cautions))


def shown(value: float | None, unit: str) -> str:
    """A figure for people: ``1,200 ms``, ``$0.00123``, ``1.20 %``."""
    if value is None:
        return "-"
    sign, size = "-" if value < 0 else "", abs(value)
    match unit:
        case "ms":
            return f"{sign}{size:,.0f} ms"
        case "usd":
            places = 2 if size == 0 else max(2, 2 - math.floor(math.log10(size)))
            return f"{sign}${size:,.{min(places, 10)}f}"
        case "rate":
            return f"{sign}{size:.2%}".replace("%", " %")
        case "tokens":
            return f"{sign}{size:,.1f}"
        case _:
            return f"{sign}{size:,.3g}"


def change(row: "Row") -> str:
    """A difference for people: ``+120 ms (+12.0 %)``, ``-0.50 points``."""
    if row.difference is None or row.a is None:
        return "-"
    absolute = f"{'+' if row.difference > 0 else ''}{distance(row.difference, row.unit)}"
    if row.unit in ("rate", "points") or not row.a:
        return absolute
    return f"{absolute} ({row.difference / abs(row.a):+.1%})".replace("%", " %")


def distance(size: float, unit: str) -> str:
    """How far two figures are apart; rates in percentage points."""
    return f"{size * 100:,.2f} points" if unit == "rate" else shown(size, unit)


def _difference(row: "Row") -> str:
    """``Output tokens are 12.0 % higher with B (310.2 against 277.0).``"""
    title = f"{row.title[0].upper()}{row.title[1:]}"
    return f"{title}: {_by(row, B)} with B ({_values(row, B)})."


def _advantage(row: "Row") -> str:
    return f"{row.title} {_by(row, row.winner)} ({_values(row, row.winner)})"


def _by(row: "Row", of: str) -> str:
    """By how much a variant's figure is higher or lower than the other's."""
    assert row.a is not None
    assert row.b is not None
    mine, other = (row.a, row.b) if of == A else (row.b, row.a)
    word = "higher" if mine > other else "lower"
    small = row.practical is not None and abs(mine - other) < row.practical
    if row.unit in ("rate", "points") or other == 0:
        size = distance(abs(mine - other), row.unit)
    else:
        size = f"{abs(mine / other - 1):.1%}".replace("%", " %")
    return f"{size} {word}{', which is small' if small else ''}"


def _values(row: "Row", of: str) -> str:
    mine, other = (row.a, row.b) if of == A else (row.b, row.a)
    return f"{shown(mine, row.unit)} against {shown(other, row.unit)}"


def _open(rows: "Sequence[Row]") -> list[str]:
    """What is not told yet, and what it takes."""
    if not rows:
        return []
    told = f"Not told yet: {_list([row.title for row in rows])}."
    needed = sorted((row.needed, row.title) for row in rows if row.needed)
    if not needed:
        return [told]
    (least, first), (most, last) = needed[0], needed[-1]
    more = f"{least:,} more requests ({first})"
    if most > least:
        more += f" to {most:,} ({last})"
    return [told, f"Differences of practical size would show after about {more}."]


def _cautions(found: "Comparison") -> list[str]:
    cautions = []
    split = found.split
    if split.uneven:
        total = split.sessions_a + split.sessions_b
        cautions.append(
            f"Caution: A has {split.sessions_a / total:.1%} of the sessions, where "
            f"{split.share:.1%} were asked for, which is no chance: something keeps one "
            "variant's requests from being counted.".replace("%", " %")
        )
    if unpriced := found.unpriced_a + found.unpriced_b:
        cautions.append(
            f"{_count(unpriced, 'request')} of unknown cost (A {found.unpriced_a:,}, "
            f"B {found.unpriced_b:,}) left out of the cost."
        )
    return cautions


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _list(parts: "Sequence[str]") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
