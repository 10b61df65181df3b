"""The decision of a request in the ledger, in words. Pure: the row's columns in, stages out.

Rows of before a column existed, and a decision that cannot be read, say less and never fail.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from budgets.scopes import shown
from proxy.explain import Explanation, Stage


class Row(Protocol):
    """The ledger's columns that tell of decisions (`usage.models.UsageRecord`)."""

    request_id: str
    api_type: str
    method: str
    endpoint: str
    source_app: str
    session_id: str
    feature_tag: str
    model_requested: str
    model_routed: str
    upstream: str
    status_code: int
    error_type: str
    routing_rule: str
    ab_test: str
    ab_variant: str
    attempts: int
    attempt_log: str
    cache_tier: str
    cache_note: str
    overhead_ms: float | None
    decision: str


def recorded(row: Row) -> Explanation:
    """What was decided for a request, as far as its row tells."""
    found = _read(row.decision or "")
    stages = (
        _identified(row, found),
        _routed(row, found),
        _tested(row),
        _budgeted(found),
        _cached(row),
        _tried(row, found),
    )
    return Explanation(stages)


def _read(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _identified(row: Row, found: Mapping[str, Any]) -> Stage:
    named = (("app", row.source_app), ("session", row.session_id), ("tag", row.feature_tag))
    reasons = [f"{name}: {value or 'none'}" for name, value in named]
    if version := found.get("policy"):
        reasons.append(f"policies: version {version}")
    asks = f"asked for {row.model_requested}" if row.model_requested else "named no model"
    facts = {
        "request_id": row.request_id,
        "app": row.source_app or "",
        "session": row.session_id or "",
        "tag": row.feature_tag or "",
        "model": row.model_requested or "",
        "policy": version,
    }
    said = f"{row.method} /{row.api_type}/{row.endpoint} {asks}"
    return Stage("identify", said, tuple(reasons), facts)


def _routed(row: Row, found: Mapping[str, Any]) -> Stage:
    facts = {"rule": row.routing_rule or None, "rule_id": found.get("rule")}
    if not row.routing_rule:
        return Stage("route", "no routing rule decided", (), facts)
    number = f" (id {found['rule']})" if "rule" in found else ""
    return Stage("route", f"the rule {row.routing_rule}{number} decided", (), facts)


def _tested(row: Row) -> Stage:
    if not row.ab_test:
        return Stage("test", "no A/B test took it", (), {"test": None})
    said = f"variant {row.ab_variant} of the A/B test {row.ab_test}"
    return Stage("test", said, (), {"test": row.ab_test, "variant": row.ab_variant})


def _budgeted(found: Mapping[str, Any]) -> Stage:
    budgets, refused = found.get("budgets", []), found.get("refused")
    budgets = [dict(zip(_BUDGET, one, strict=False)) for one in budgets]
    facts = {"refused": refused, "budgets": budgets}
    reasons = [_budget(one) for one in budgets]
    if more := found.get("more_budgets"):
        reasons.append(f"and {more} more")
    if refused:
        spent = f"spent {_of(refused, 'spent')} of {_of(refused, 'limit')}"
        why = f", needed {_of(refused, 'needed')}" if refused.get("needed") else ""
        said = f"refused by {refused.get('by')} ({refused.get('code')}): {spent}{why}"
    else:
        said = "all allowed it" if budgets else "no budget was asked"
    return Stage("budgets", said, tuple(reasons), facts)


_BUDGET = ("name", "unit", "reserved", "spent", "limit")
"""As `Ending` writes them down."""


def _budget(one: Mapping[str, Any]) -> str:
    reserved = one.get("reserved")
    what = f"reserved {_of(one, 'reserved')}" if reserved else "counts, and does not block"
    return f"{one.get('name')}: {what}; spent before: {_of(one, 'spent')} of {_of(one, 'limit')}"


def _of(found: Mapping[str, Any], name: str) -> str:
    return shown(str(found.get("unit")), int(found.get(name) or 0))


def _cached(row: Row) -> Stage:
    facts = {"tier": row.cache_tier or None, "note": row.cache_note or None}
    if row.cache_tier:
        return Stage("cache", f"answered from the {row.cache_tier} cache", (), facts)
    return Stage("cache", row.cache_note or "not answered from the cache", (), facts)


def _tried(row: Row, found: Mapping[str, Any]) -> Stage:
    order = list(found.get("order", []))
    failed = (row.attempt_log or "").split()
    reasons = [f"{place}. {name}" for place, name in enumerate(order, 1)]
    if more := found.get("more_order"):
        reasons.append(f"and {more} more")
    reasons += [f"failed: {one}" for one in failed]
    if row.overhead_ms is not None:
        reasons.append(f"TokenWatch's own time before it was sent: {row.overhead_ms:.3f} ms")
    model = row.model_routed or row.model_requested or ""
    facts = {
        "upstream": row.upstream or None,
        "model": model,
        "order": order,
        "attempts": row.attempts,
        "attempt_log": failed,
        "overhead_ms": row.overhead_ms,
        "status": row.status_code,
        "error_type": row.error_type or None,
    }
    tries = f"{row.attempts} attempt{'s' * (row.attempts != 1)}"
    ended = f"status {row.status_code} {row.error_type or ''}".rstrip()
    if not row.attempts:
        said = f"nothing was sent to an upstream; {ended}"
    else:
        said = f"{model or 'the request'} at {row.upstream}, {tries}, {ended}"
    return Stage("upstreams", said, tuple(reasons), facts)
