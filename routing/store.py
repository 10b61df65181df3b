"""Loading the rules for a snapshot.

How it fails: the database's errors are passed on. A rule that cannot be used any more (made
past the admin's checks) is left out and logged; the others stay in force.
"""

import logging

from routing.models import TagRule
from routing.patterns import PatternError, check
from routing.tags import REGEX, TagRules, TagSpec

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
