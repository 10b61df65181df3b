"""Which of many rules a request's value admits, found by one look-up. Pure.

A dimension is what conditions look at: the model, one header, the minute, the token count.
Rules are bits of a number by their place. The bits of a value are worked out once, by asking
the conditions' own predicates, and remembered by a key: names by themselves, numbers by the
limits that they lie between.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

from routing.conditions import (
    ALL,
    APP,
    COST,
    HEADER,
    MODEL,
    REGEX,
    SESSION,
    STREAM,
    TAG,
    TIME,
    TOKENS,
    TOOLS,
    WEEKDAY,
    Condition,
)
from routing.facts import Facts
from routing.patterns import encode
from routing.predicates import Bound, Name

REMEMBERED = 4096
"""Values of one dimension whose bits are kept; the memory is emptied past it."""
LONGEST = 256
"""Characters, or bytes of a header, of a value that is remembered."""
MINUTE = 60.0

ORDER = (MODEL, APP, TAG, SESSION, STREAM, TOOLS, HEADER, TIME, WEEKDAY, TOKENS, COST, REGEX)
"""Kinds of conditions, the cheapest to look at first."""
COSTLY = frozenset({TOKENS, COST, REGEX})
"""Kinds that are looked at only where the answer depends on them."""

Conditions = Sequence[Condition]


class Dimension:
    """One subject of conditions, over all rules."""

    def __init__(self, subject: tuple[str, str], rules: Sequence[Conditions]) -> None:
        """``rules``: the conditions of each rule, in the rules' order."""
        self.kind, self.of = subject
        self.read = _reader(self.kind, self.of)
        """The value in a request's facts; for costly kinds it takes a while."""
        self.asking = 0
        """Rules that have a condition here."""
        self._exact: dict[Any, int] = {}
        self._others: list[tuple[int, tuple[Callable[[Any], bool], ...]]] = []
        self._known: dict[Hashable, int] = {}
        mine = [[one for one in conditions if one.subject == subject] for conditions in rules]
        for place, conditions in enumerate(mine):
            if conditions:
                self.asking |= 1 << place
                self._add(1 << place, conditions)
        self._free = ~self.asking
        self._key = _keys(self.kind, [one for conditions in mine for one in conditions])

    def _add(self, bit: int, conditions: Conditions) -> None:
        first = conditions[0].predicate
        if len(conditions) == 1 and isinstance(first, Name) and first.exact:
            self._exact[first.text] = self._exact.get(first.text, 0) | bit
        else:
            self._others.append((bit, tuple(one.predicate.holds for one in conditions)))

    def bits(self, facts: Facts) -> int:
        """The rules whose conditions here hold, and those that have none here."""
        value = self.read(facts)
        key = self._key(value)
        found = self._known.get(key)
        if found is None:
            found = self._work_out(value)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            if key is not None:
                self._known[key] = found
        return found

    def _work_out(self, value: Any) -> int:
        found = self._free | self._exact.get(value, 0)
        for bit, tests in self._others:
            for holds in tests:
                if not holds(value):
                    break
            else:
                found |= bit
        return found


def dimensions(rules: Sequence[Conditions]) -> list[Dimension]:
    """Everything that the rules look at, the cheapest first."""
    subjects = {one.subject for conditions in rules for one in conditions}
    ordered = sorted(subjects, key=lambda subject: (ORDER.index(subject[0]), subject[1]))
    return [Dimension(subject, rules) for subject in ordered]


def in_order(conditions: Iterable[Condition]) -> list[Condition]:
    """Conditions in the order in which they are looked at."""
    return sorted(conditions, key=lambda one: ORDER.index(one.kind))


_ATTRIBUTES = {
    MODEL: "model",
    APP: "app",
    TAG: "tag",
    SESSION: "session",
    STREAM: "stream",
    TOOLS: "has_tools",
}


def _reader(kind: str, of: str) -> Callable[[Facts], Any]:
    """How a subject is read from a request's facts, as its predicates take it."""
    if kind == HEADER:
        return _header_reader(of.encode("ascii"))
    if kind in (TIME, WEEKDAY):
        return lambda facts: facts.at // MINUTE * MINUTE
    if kind == TOKENS:
        return lambda facts: facts.input_tokens()
    if kind == COST:
        return _cost_reader(of)
    if kind == REGEX:
        return lambda facts: encode(facts.last_user_text())
    return attrgetter(_ATTRIBUTES[kind])


def _header_reader(name: bytes) -> Callable[[Facts], str]:
    def read(facts: Facts) -> str:
        raw = facts.headers.get(name)
        return "" if raw is None else raw.decode("utf-8", "replace").strip()

    return read


def _cost_reader(of: str) -> Callable[[Facts], Decimal | None]:
    def read(facts: Facts) -> Decimal | None:
        """None where it would be the cost of a name that the request does not have."""
        named = of == ALL or getattr(facts, of) != ""
        return facts.cost_today(of) if named else None

    return read


def _keys(kind: str, conditions: Conditions) -> Callable[[Any], Hashable]:
    """What the bits of a value are remembered by; None for a value that is not remembered."""
    if kind in (TOKENS, COST):
        bounds = [one.predicate for one in conditions if isinstance(one.predicate, Bound)]
        # Integers beside integers: a Decimal compares many times slower with one.
        number = int if kind == TOKENS else Decimal
        limits = sorted({number(bound.limit) for bound in bounds})
        # Even between two limits, odd on one: whatever has the same key satisfies the same.
        return lambda value: (
            -1 if value is None else bisect_left(limits, value) + bisect_right(limits, value)
        )
    if kind in (TIME, WEEKDAY, STREAM, TOOLS):
        return lambda value: value
    return lambda value: value if len(value) <= LONGEST else None
