"""Which rule decides where a request goes. Pure; compiled once a snapshot.

Rules are tried by priority, then by age; the first whose conditions all hold decides. What
names, headers and the clock rule out costs one look-up each, however many rules there are
(`routing.dimensions`). Token count, cost and message are looked at only while the first of
the rules that are left depends on them. `decide` and `explain` read the same values and ask
the same predicates.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from routing.conditions import COST, REGEX, Condition
from routing.dimensions import COSTLY, dimensions, in_order
from routing.facts import Facts
from routing.patterns import Pattern, any_of, encode
from routing.predicates import Regex
from routing.targets import Split


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    id: int
    name: str
    priority: int
    """The lowest number is tried first."""
    conditions: tuple[Condition, ...] = ()
    """All must hold; without any, the rule is for every request."""
    model: str = ""
    """Asked for instead; empty leaves the model as it is."""
    upstreams: Split = ()
    fallbacks: tuple[str, ...] = ()
    """Models that are tried in turn where this one fails everywhere."""


@dataclass(frozen=True, slots=True)
class Route:
    """What the rule that won says."""

    rule_id: int
    rule_name: str
    model: str = ""
    """Empty: unchanged."""
    upstreams: Split = ()
    """Names with weights, see `targets.pick`; empty: the usual candidates."""
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says of a request."""

    rule: Rule
    matches: bool
    reason: str
    """Why it does not match; empty where it does."""


class RuleSet:
    """All enabled rules in their order; immutable but for what it remembers. Not for two
    threads at once."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: (rule.priority, rule.id)))
        self._routes = [
            Route(rule.id, rule.name, rule.model, rule.upstreams, rule.fallbacks)
            for rule in self.rules
        ]
        self._all = (1 << len(self.rules)) - 1
        self._dimensions = dimensions([rule.conditions for rule in self.rules])
        self._cheap = [one for one in self._dimensions if one.kind not in COSTLY]
        self._costly = [one for one in self._dimensions if one.kind in COSTLY and one.kind != REGEX]
        self._texts = [_expressions(rule) for rule in self.rules]
        self._asks_text = sum(1 << place for place, found in enumerate(self._texts) if found)
        self._any = _any_of_all(self._texts)

    @cached_property
    def needs_cost(self) -> bool:
        """Whether some rule asks what was spent today."""
        return any(one.kind == COST for one in self._dimensions)

    def decide(self, facts: Facts) -> Route | None:
        """What the first rule that matches says; None where none does."""
        left = self._all
        for dimension in self._cheap:
            left &= dimension.bits(facts)
            if not left:
                return None
        pending = self._costly
        text: bytes | None = None
        while left:
            first = left & -left
            for dimension in pending:
                if dimension.asking & first:
                    left &= dimension.bits(facts)
                    pending = [one for one in pending if one is not dimension]
                    break
            else:
                place = first.bit_length() - 1
                if not self._texts[place]:
                    return self._routes[place]
                if text is None:
                    text = self._text(facts)
                if not text:
                    left &= ~self._asks_text
                elif all(regex.holds(text) for regex in self._texts[place]):
                    return self._routes[place]
                else:
                    left ^= first
        return None

    def _text(self, facts: Facts) -> bytes:
        """The last user message; empty, too, where no rule's expression is found in it: most
        messages match none, and are then read once."""
        text = encode(facts.last_user_text())
        if text and self._any is not None and not self._any.searches(text):
            return b""
        return text

    def explain(self, facts: Facts) -> list[Verdict]:
        """What every rule says of a request, in their order; the first that matches decides."""
        values = {(one.kind, one.of): one.read(facts) for one in self._dimensions}
        return [_verdict(rule, values) for rule in self.rules]


def _expressions(rule: Rule) -> tuple[Regex, ...]:
    found = (one.predicate for one in rule.conditions)
    return tuple(one for one in found if isinstance(one, Regex))


def _any_of_all(texts: Sequence[tuple[Regex, ...]]) -> Pattern | None:
    """One pattern for all expressions, where there are several."""
    sources = {one.source: one.pattern for found in texts for one in found}
    return any_of(list(sources.values())) if len(sources) > 1 else None


def _verdict(rule: Rule, values: Mapping[tuple[str, str], Any]) -> Verdict:
    for condition in in_order(rule.conditions):
        value = values[condition.subject]
        if not condition.predicate.holds(value):
            reason = f"{condition.label} {condition.predicate.denial(value)}"
            return Verdict(rule, False, reason)
    return Verdict(rule, True, "")
