"""What a routing condition holds a value against: names, numbers, times. Pure.

Each predicate says whether a value satisfies it (`holds`), why one does not (`denial`),
whether it is at least as strict as another (`implies`), and whether no value satisfies both
(`excludes`). The last two may say False where they cannot tell.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from routing.patterns import Pattern
from tokenwatch.globs import matcher

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
"""Minutes."""
_SPECIAL = re.compile(r"[*?\[]")


class Predicate(Protocol):
    """A condition's test of one value."""

    def holds(self, value: Any, /) -> bool: ...

    def denial(self, value: Any, /) -> str:
        """Why a value does not satisfy it, to follow the name of what the value is of."""
        ...

    def implies(self, other: "Predicate", /) -> bool:
        """Whether whatever satisfies this one satisfies the other."""
        ...

    def excludes(self, other: "Predicate", /) -> bool:
        """Whether nothing satisfies both."""
        ...


@dataclass(frozen=True)
class Name:
    """A name itself, or a pattern for names. An empty value satisfies neither."""

    text: str
    exact: bool
    secret: bool = False
    """The values are nobody's business: no reason repeats them."""

    @cached_property
    def _matches(self) -> Callable[[str], bool]:
        if self.exact:
            return self.text.__eq__
        matches, head = matcher(self.text), _SPECIAL.split(self.text)[0]
        return lambda value: value.startswith(head) and matches(value)

    def holds(self, value: str) -> bool:
        return value != "" and self._matches(value)

    def denial(self, value: str) -> str:
        if not value:
            return "is not given"
        if self.secret:
            return "is another"
        return f"is '{shortened(value)}', not '{self.text}'"

    def implies(self, other: Predicate) -> bool:
        if not isinstance(other, Name):
            return False
        same = (self.text, self.exact) == (other.text, other.exact)
        everything = other.text == "*" and not other.exact
        return same or everything or (self.exact and other.holds(self.text))

    def excludes(self, other: Predicate) -> bool:
        if not isinstance(other, Name):
            return False
        return (self.exact and not other.holds(self.text)) or (
            other.exact and not self.holds(other.text)
        )


@dataclass(frozen=True)
class Regex:
    """A regular expression that is found in a text as `patterns.encode` prepares it; never
    in an empty one."""

    source: str

    @cached_property
    def pattern(self) -> Pattern:
        return Pattern(self.source)

    def holds(self, value: bytes) -> bool:
        return value != b"" and self.pattern.searches(value)

    def denial(self, value: bytes) -> str:
        return "does not match" if value else "is empty"

    def implies(self, other: Predicate) -> bool:
        return self == other

    def excludes(self, other: Predicate) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Bound:
    """A number below or above a limit."""

    sign: str
    """``<``, ``<=``, ``>`` or ``>=``."""
    limit: Decimal

    def holds(self, value: Decimal | int | None) -> bool:
        if value is None:
            return False
        if self.sign == ">":
            return value > self.limit
        if self.sign == "<":
            return value < self.limit
        return value >= self.limit if self.sign == ">=" else value <= self.limit

    def denial(self, value: Decimal | int | None) -> str:
        if value is None:
            return "does not exist"
        return f"is {plain(value)}, not {self}"

    def implies(self, other: Predicate) -> bool:
        if not isinstance(other, Bound) or self.sign[0] != other.sign[0]:
            return False
        if self.limit == other.limit:
            return len(other.sign) == 2 or len(self.sign) == 1
        return (self.limit > other.limit) == (self.sign[0] == ">")

    def excludes(self, other: Predicate) -> bool:
        if not isinstance(other, Bound) or self.sign[0] == other.sign[0]:
            return False
        above, below = (self, other) if self.sign[0] == ">" else (other, self)
        if above.limit == below.limit:
            return len(above.sign) == 1 or len(below.sign) == 1
        return above.limit > below.limit

    def __str__(self) -> str:
        return f"{self.sign}{plain(self.limit)}"


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day on a zone's clock, ``first`` <= minute < ``last``; it may pass midnight."""

    first: int
    """Minutes since midnight."""
    last: int
    zone: str

    def holds(self, moment: float) -> bool:
        local = clock(self.zone, moment)
        return self._has(local.hour * 60 + local.minute)

    def _has(self, minute: int) -> bool:
        if self.first < self.last:
            return self.first <= minute < self.last
        return minute >= self.first or minute < self.last

    def denial(self, moment: float) -> str:
        return f"is {clock(self.zone, moment):%H:%M} in {self.zone}, not in {self}"

    def implies(self, other: Predicate) -> bool:
        if not isinstance(other, Window):
            return False
        if self.zone != other.zone:
            return other.last - other.first == DAY
        return all(other._has(minute) for minute in range(DAY) if self._has(minute))

    def excludes(self, other: Predicate) -> bool:
        if not isinstance(other, Window) or self.zone != other.zone:
            return False
        return not any(self._has(minute) and other._has(minute) for minute in range(DAY))

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.first, self.last))


@dataclass(frozen=True, slots=True)
class Days:
    """Days of the week on a zone's calendar; 0 is Monday."""

    days: frozenset[int]
    zone: str

    def holds(self, moment: float) -> bool:
        return clock(self.zone, moment).weekday() in self.days

    def denial(self, moment: float) -> str:
        day = WEEKDAYS[clock(self.zone, moment).weekday()]
        return f"is {day} in {self.zone}, not {self}"

    def implies(self, other: Predicate) -> bool:
        if not isinstance(other, Days):
            return False
        return len(other.days) == 7 or (self.zone == other.zone and self.days <= other.days)

    def excludes(self, other: Predicate) -> bool:
        return isinstance(other, Days) and self.zone == other.zone and not (self.days & other.days)

    def __str__(self) -> str:
        return ",".join(WEEKDAYS[day] for day in sorted(self.days))


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    wanted: bool

    def holds(self, value: bool) -> bool:
        return value is self.wanted

    def denial(self, value: bool) -> str:
        return f"is {yes_or_no(value)}, not {yes_or_no(self.wanted)}"

    def implies(self, other: Predicate) -> bool:
        return self == other

    def excludes(self, other: Predicate) -> bool:
        return isinstance(other, Flag) and other != self


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def plain(number: Decimal | int) -> str:
    """A number for people: ``1,200``, ``0.5``."""
    text = f"{Decimal(number):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def clock(zone: str, moment: float) -> datetime:
    """A zone's local time at a moment, in seconds since the epoch.

    Raises:
        ValueError, OSError, KeyError: there is no such zone.
    """
    return datetime.fromtimestamp(moment, _zone(zone))


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)
