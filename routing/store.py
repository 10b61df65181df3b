"""Loading the rules for a snapshot, and what is to be said of them.

How it fails: the database's errors are passed on. A rule that cannot be used any more (made
past the admin's checks) is left out and logged; the others stay in force. A routing rule is
never loosened: where one of its conditions cannot be read, it is left out as a whole.
"""

import logging
import time
from collections.abc import Iterable

from routing.conditions import parse
from routing.models import RoutingCondition, RoutingRule, TagRule
from routing.patterns import PatternError, check
from routing.review import Known, review
from routing.rules import Rule, RuleSet
from routing.tags import REGEX, TagRules, TagSpec
from routing.targets import parse_models, parse_split
from upstreams.candidates import DEFAULT_NAME
from upstreams.models import Upstream
from usage.models import UsageRollup
from usage.pricebook import load_price_book

logger = logging.getLogger("tokenwatch.routing")


def load_tag_rules() -> TagRules:
    """The enabled rules."""
    rules = TagRule.objects.filter(enabled=True).order_by("priority", "id")
    return TagRules(spec for spec in map(tag_spec, rules) if _is_usable(spec))


def tag_spec(rule: TagRule) -> TagSpec:
    return TagSpec(rule.pk or 0, rule.name, rule.priority, rule.kind, rule.pattern, rule.tag)


def _is_usable(spec: TagSpec) -> bool:
    if spec.kind != REGEX:
        return True
    try:
        check(spec.pattern)
    except PatternError as exc:
        logger.error("Tag rule %r is left out: %s", spec.name, exc)
        return False
    return True


def load_rules() -> RuleSet:
    """The enabled routing rules, by two queries."""
    rules = RoutingRule.objects.filter(enabled=True).order_by("priority", "id")
    conditions = RoutingCondition.objects.filter(rule__enabled=True).order_by("id")
    written: dict[int, list[RoutingCondition]] = {}
    for condition in conditions:
        written.setdefault(condition.rule_id, []).append(condition)
    found = []
    for rule in rules:
        try:
            found.append(routing_rule(rule, written.get(rule.pk, ())))
        except ValueError as exc:
            logger.error("Routing rule %r is left out: %s", rule.name, exc)
    return RuleSet(found)


def routing_rule(rule: RoutingRule, conditions: Iterable[RoutingCondition]) -> Rule:
    """A stored rule as plain values.

    Raises:
        ValueError: a part of it cannot be read; the text says why.
    """
    return Rule(
        id=rule.pk,
        name=rule.name,
        priority=rule.priority,
        conditions=tuple(parse(one.kind, one.value) for one in conditions),
        model=rule.model or "",  # Oracle keeps an empty text as NULL
        upstreams=parse_split(rule.upstreams or ""),
        fallbacks=parse_models(rule.fallbacks or ""),
    )


def all_rules() -> list[RoutingRule]:
    """Every routing rule in its order, with its conditions."""
    return list(RoutingRule.objects.order_by("priority", "id").prefetch_related("conditions"))


def reviewed(rules: Iterable[RoutingRule]) -> dict[int, list[str]]:
    """Notes on `all_rules` by id, each in a whole sentence."""
    notes: dict[int, list[str]] = {}
    readable, enabled = [], set()
    for rule in rules:
        try:
            readable.append(routing_rule(rule, rule.conditions.all()))
        except ValueError as exc:
            notes[rule.pk] = [f"It is not in force: {exc}"]
        else:
            enabled.update([rule.pk] if rule.enabled else [])
    return {**notes, **review(readable, _known(readable), enabled)}


def _known(rules: Iterable[Rule]) -> Known:
    upstreams = dict(Upstream.objects.order_by().values_list("name", "enabled"))
    upstreams.setdefault(DEFAULT_NAME, True)
    targets = {model for rule in rules for model in (rule.model, *rule.fallbacks) if model}
    prices, now = load_price_book(), time.time()
    known = {model for model in targets if prices.rates(model, at=now).rates is not None}
    if unpriced := targets - known:
        rollups = UsageRollup.objects.filter(bucket_seconds=UsageRollup.HOUR, model__in=unpriced)
        known.update(rollups.order_by().values_list("model", flat=True).distinct())
    return Known(upstreams, known.__contains__)
