"""A routing rule tried on an imagined request: the form and its answer, for admin.

Read-only. How it fails: the database's errors are passed on.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from routing.facts import PlainFacts
from routing.models import RoutingRule
from routing.rules import Rule, RuleSet
from routing.store import all_rules, routing_rule
from upstreams.dialects.estimate import text_tokens
from usage.models import NAME_LENGTH
from usage.today import DAY, sums_of_day

COSTS = {
    "all": "Cost today, everything",
    "app": "Cost today of the app",
    "tag": "Cost today of the tag",
}


def _name(label: str) -> forms.CharField:
    return forms.CharField(
        required=False, max_length=NAME_LENGTH, label=label, widget=UnfoldAdminTextInputWidget
    )


def _cost(of: str) -> forms.DecimalField:
    return forms.DecimalField(
        required=False,
        min_value=0,
        label=COSTS[of],
        help_text="US dollars. Empty: what the ledger says.",
        widget=UnfoldAdminDecimalFieldWidget,
    )


class TryRulesForm(forms.Form):
    """A request to try the routing rules on."""

    model = _name("Model")
    app = _name("App")
    tag = _name("Tag")
    session = _name("Session")
    text = forms.CharField(
        required=False, label="Last user message", widget=UnfoldAdminTextareaWidget({"rows": 4})
    )
    headers = forms.CharField(
        required=False,
        help_text="One on a line: x-team: blue",
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
    )
    tokens = forms.IntegerField(
        required=False,
        min_value=0,
        label="Estimated input tokens",
        help_text="Empty: estimated from the message.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    cost_all = _cost("all")
    cost_app = _cost("app")
    cost_tag = _cost("tag")
    at = forms.DateTimeField(
        required=False,
        label="Arrives at",
        help_text="UTC, as 2026-11-28 22:30. Empty: now.",
        widget=UnfoldAdminTextInputWidget,
    )
    tools = forms.BooleanField(required=False, label="Has tools", widget=UnfoldBooleanSwitchWidget)
    stream = forms.BooleanField(
        required=False, label="Is streamed", widget=UnfoldBooleanSwitchWidget
    )

    def clean_headers(self) -> dict[bytes, bytes]:
        found = {}
        for line in self.cleaned_data["headers"].splitlines():
            name, colon, value = line.partition(":")
            if line.strip() and not (colon and name.strip().isascii() and name.strip()):
                raise forms.ValidationError(f"{line!r} is no header: write x-team: blue.")
            if line.strip():
                found[name.strip().lower().encode()] = value.strip().encode()
        return found

    def facts(self) -> PlainFacts:
        """The request that a valid form speaks of."""
        asked = self.cleaned_data
        tokens = asked["tokens"]
        return PlainFacts(
            model=asked["model"],
            app=asked["app"],
            tag=asked["tag"],
            session=asked["session"],
            at=(asked["at"] or datetime.now(UTC)).timestamp(),
            stream=asked["stream"],
            has_tools=asked["tools"],
            headers=asked["headers"],
            text=asked["text"],
            tokens=text_tokens(asked["text"]) if tokens is None else tokens,
            costs=_costs(asked),
        )


def _costs(asked: Mapping[str, Any]) -> dict[str, Decimal]:
    given = {of: asked[f"cost_{of}"] for of in COSTS}
    if all(cost is not None for cost in given.values()):
        return given
    known = sums_of_day(int(time.time() // DAY))
    names = {"all": "", "app": asked["app"], "tag": asked["tag"]}
    return {
        of: known.get((of, names[of]), Decimal(0)) if cost is None else cost
        for of, cost in given.items()
    }


@dataclass(frozen=True, slots=True)
class Tried:
    """What one rule says of a request."""

    rule: RoutingRule
    decides: bool
    verdict: str


def tried(facts: PlainFacts) -> list[Tried]:
    """What every rule says of a request, in their order; at most one decides."""
    stored = all_rules()
    readable: dict[int, Rule] = {}
    said: dict[int, str] = {}
    for rule in stored:
        try:
            readable[rule.pk] = routing_rule(rule, rule.conditions.all())
        except ValueError as exc:
            said[rule.pk] = f"not in force: {exc}"
    enabled = [readable[rule.pk] for rule in stored if rule.enabled and rule.pk in readable]
    route = RuleSet(enabled).decide(facts)
    for one in RuleSet(readable.values()).explain(facts):
        said[one.rule.id] = one.reason or "matches"
    winner = route.rule_id if route is not None else None
    return [_of(rule, said[rule.pk], decides=rule.pk == winner) for rule in stored]


def _of(rule: RoutingRule, said: str, *, decides: bool) -> Tried:
    if not rule.enabled:
        return Tried(rule, False, f"disabled; {said}")
    if decides:
        return Tried(rule, True, "decides")
    return Tried(rule, False, "matches, but comes later" if said == "matches" else said)
