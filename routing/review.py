"""What is odd about a set of routing rules: for admin and the command. Pure.

Nothing here stops a rule from being saved: the notes tell of rules that will never decide
anything, and of targets that are not there. They may miss a case, and never claim a false one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from routing.conditions import Condition
from routing.rules import Rule


@dataclass(frozen=True, slots=True)
class Known:
    """What rules can send requests to."""

    upstreams: Mapping[str, bool]
    """By name; whether it is enabled."""
    has_model: Callable[[str], bool]
    """Whether anything is known of a model."""


def review(rules: Sequence[Rule], known: Known, enabled: Collection[int]) -> dict[int, list[str]]:
    """Notes by rule id, in whole sentences; rules without any are left out.

    ``rules`` in their order; ``enabled`` has the ids of those that take part. A disabled rule
    shadows nothing.
    """
    notes: dict[int, list[str]] = {}
    for place, rule in enumerate(rules):
        earlier = [one for one in rules[:place] if one.id in enabled]
        found = [*_never(rule.conditions), *_shadowed(rule, earlier), *_targets(rule, known)]
        if found:
            notes[rule.id] = found
    return notes


def _never(conditions: Sequence[Condition]) -> list[str]:
    """Two conditions that no request can fulfil together."""
    for one, other in combinations(conditions, 2):
        if one.subject == other.subject and one.predicate.excludes(other.predicate):
            return [f"It can never match: no request is both {one} and {other}."]
    return []


def _shadowed(rule: Rule, earlier: Sequence[Rule]) -> list[str]:
    for other in earlier:
        if all(_implied(condition, rule.conditions) for condition in other.conditions):
            return [f"It never decides: {other.name!r} comes first and matches all it matches."]
    return []


def _implied(condition: Condition, by: Sequence[Condition]) -> bool:
    return any(
        one.subject == condition.subject and one.predicate.implies(condition.predicate)
        for one in by
    )


def _targets(rule: Rule, known: Known) -> list[str]:
    notes = []
    for name, _ in rule.upstreams:
        if name not in known.upstreams:
            notes.append(f"There is no upstream {name!r}.")
        elif not known.upstreams[name]:
            notes.append(f"The upstream {name!r} is disabled.")
    models = dict.fromkeys((rule.model, *rule.fallbacks))
    notes += [
        f"Nothing is known of the model {model!r}: it has no price and was never used."
        for model in models
        if model and not known.has_model(model)
    ]
    return notes
