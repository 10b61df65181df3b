"""What is decided for a request and why, stage by stage, up to where it would be sent.

The stages are the pipeline's own functions; here they are called one after the other on an
imagined request, and what they say is put into words. Nothing is sent and nothing written.
How it fails: the database's errors are passed on (budgets are asked how they stand).
"""

from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from budgets.accounts import Account
from budgets.estimate import Habits
from budgets.refusals import Refusal, Refused, Unknown, iso, scope_of
from budgets.scopes import shown
from budgets.still import StillDesk
from experiments.assign import KINDS
from proxy.call import Call
from proxy.decision import CallFacts, Decision, TodaysCost, decide
from proxy.entry import GATED
from proxy.finish import Ending
from proxy.pipeline import budget_gate, expected, reserve, tag
from proxy.services import Services
from proxy.snapshot import Policies, Snapshot
from routing.tags import TagSpec
from tokenwatch.conf import Config
from upstreams.candidates import Candidate, Target
from upstreams.health import Health

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """What a request is decided with: as much of `Services` as the stages before forward use."""

    config: Config
    policies: Policies
    habits: Habits
    health: Health
    desk: StillDesk
    today: TodaysCost
    telemetry: None = None
    """What is only imagined is not told."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Upstreams of the request's api type that serve nothing, and why."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage decided."""

    name: str
    said: str
    """The decision, in a sentence."""
    reasons: tuple[str, ...] = ()
    """What led to it, in the order in which it was looked at."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs."""

    def as_dict(self) -> dict[str, Any]:
        return {"decision": self.said, "reasons": list(self.reasons), **self.facts}


@dataclass(frozen=True, slots=True)
class Explanation:
    """All stages of one request, in their order."""

    stages: tuple[Stage, ...]

    def as_dict(self) -> dict[str, Any]:
        return {stage.name: stage.as_dict() for stage in self.stages}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the pipeline's stages said of a request."""

    decision: Decision
    tag_rule: TagSpec | None = None
    accounts: tuple[Account, ...] = ()
    usd: int = 0
    """The estimate, in units of a dollar, and in tokens."""
    tokens: int = 0
    refusal: Refusal | Unknown | None = None


def explain(call: Call, world: World, now: float) -> Explanation:
    """Decide for a request that was identified and read; ``now`` is on the monotonic clock."""
    outcome = decided(call, world, now)
    snapshot = world.policies.snapshot
    stages = (
        _identified(call, outcome.tag_rule),
        _routed(call, outcome, snapshot, world),
        _tested(call, outcome, snapshot),
        _budgeted(call, outcome, world),
        _tried(call, outcome, world, now),
    )
    return Explanation(stages)


def decided(call: Call, world: World, now: float) -> Outcome:
    """The stages of `pipeline.handle` before forward, in its order."""
    services = cast(Services, world)  # these stages use no more of it
    snapshot = world.policies.snapshot
    sent = call.tag
    tag(call, snapshot)
    rule = snapshot.tags.match(call.app, call.last_user_text) if call.tag and not sent else None
    ending = Ending(call, services)
    decision = decide(call, snapshot, world.today, world.health, now)
    ending.decided(decision)
    if decision.problem:
        return Outcome(decision, rule)
    usd, tokens = expected(call, decision.targets[0], services)
    refusal: Refusal | Unknown | None = None
    world.desk.asked = []
    try:
        if accounts := budget_gate(call, ending.model, snapshot, services, ending):
            _at_once(reserve(call, decision.targets[0], accounts, services, ending))
    except Refused as exc:
        refusal = exc.refusal
    except Unknown as exc:
        refusal = exc
    return Outcome(decision, rule, tuple(world.desk.asked), usd, tokens, refusal)


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, as with a desk that leases nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a desk that leases nothing has waited")


def _identified(call: Call, tag_rule: TagSpec | None) -> Stage:
    if tag_rule is not None:
        source = f"from the tag rule {tag_rule.name}"
    else:
        source = "from the client" if call.tag else "no tag rule matches"
    names = (("app", call.app), ("session", call.session))
    reasons = [f"{name}: {value or 'none'}" for name, value in names]
    reasons.append(f"tag: {call.tag or 'none'} ({source})")
    if call.body and call.data is None:
        reasons.append("the body is no JSON object: it passes as it is")
    elif call.streams_body:
        reasons.append("the body is an upload, which is streamed through")
    facts = {
        "api_type": call.api_type,
        "kind": call.endpoint.kind,
        "method": call.method,
        "path": call.path,
        "at": iso(call.arrived),
        "app": call.app,
        "session": call.session,
        "tag": call.tag,
        "tag_rule": tag_rule.name if tag_rule is not None else None,
        "model": call.model,
        "stream": call.stream,
    }
    asks = f"asks for {call.model}" if call.model else "names no model"
    streamed = ", streamed" if call.stream else ""
    said = f"{call.method} /{call.api_type}/{call.path} at {iso(call.arrived)} {asks}{streamed}"
    return Stage("identify", said, tuple(reasons), facts)


def _routed(call: Call, outcome: Outcome, snapshot: Snapshot, world: World) -> Stage:
    rule = outcome.decision.rule
    verdicts = snapshot.rules.explain(CallFacts(call, world.today))
    reasons = []
    for verdict in verdicts:
        name = verdict.rule.name
        if rule is not None and verdict.rule.id == rule.rule_id:
            reasons.append(f"{name}: decides")
            break  # the later ones are not asked
        reasons.append(f"{name}: {verdict.reason}")
    if rule is None:
        said = "no routing rule matches" if verdicts else "there are no routing rules"
        return Stage("route", said, tuple(reasons), {"rule": None})
    goes = [f"asks for {rule.model}"] if rule.model else []
    goes += ["at " + ", ".join(name for name, _ in rule.upstreams)] if rule.upstreams else []
    goes += ["falls back to " + ", ".join(rule.fallbacks)] if rule.fallbacks else []
    said = f"the rule {rule.rule_name} decides: {'; '.join(goes) or 'nothing is changed'}"
    facts = {
        "rule": rule.rule_name,
        "rule_id": rule.rule_id,
        "model": rule.model or None,
        "upstreams": [{"name": name, "weight": float(weight)} for name, weight in rule.upstreams],
        "fallbacks": list(rule.fallbacks),
    }
    return Stage("route", said, tuple(reasons), facts)


def _tested(call: Call, outcome: Outcome, snapshot: Snapshot) -> Stage:
    decision, found = outcome.decision, outcome.decision.assignment
    facts = {"test": None} if found is None else {"test": found.test, "variant": found.variant}
    if not snapshot.tests.specs:
        return Stage("test", "there are no A/B tests", (), facts)
    if decision.rule is not None and decision.rule.model:
        return Stage("test", "no A/B test: a rule has chosen the model", (), facts)
    if call.endpoint.kind not in KINDS:
        said = f"no A/B test: requests of the kind {call.endpoint.kind} take no part"
        return Stage("test", said, (), facts)
    considered = snapshot.tests.explain(
        api_type=call.api_type,
        model=call.model,
        app=call.app,
        tag=call.tag,
        session=call.session,
        request_id=call.request_id,
    )
    reasons = [f"{one.test}: {one.reason}" for one in considered]
    if found is None:
        return Stage("test", "no A/B test fits", tuple(reasons), facts)
    if not call.session:
        reasons.append("without a session each request is drawn anew; the next may fall elsewhere")
    said = f"variant {found.variant} of the A/B test {found.test}: {found.model}"
    return Stage("test", said, tuple(reasons), {**facts, "model": found.model})


def _budgeted(call: Call, outcome: Outcome, world: World) -> Stage:
    facts: dict[str, Any] = {"refused": None, "budgets": []}
    if outcome.decision.problem:
        return Stage("budgets", "not asked", (), facts)
    facts["estimate"] = {"cost": shown("usd", outcome.usd)[1:], "tokens": outcome.tokens}
    if not world.config.budget_enabled:
        return Stage("budgets", "switched off by TOKENWATCH_BUDGET_ENABLED", (), facts)
    if call.method not in GATED:
        return Stage("budgets", f"none is asked for {call.method}", (), facts)
    if isinstance(outcome.refusal, Unknown):
        return Stage("budgets", f"refused with 503: {outcome.refusal}", (), facts)
    estimate = f"estimated: {shown('usd', outcome.usd)}, {outcome.tokens:,} tokens"
    unpriced = _unpriced(call, outcome.decision.targets[0], world)
    if call.endpoint.billing == "tokens":
        unpriced += "; workers go by what the model has produced of late"
    reasons = (estimate + unpriced, *(_standing(one, outcome) for one in outcome.accounts))
    facts["budgets"] = [_as_fact(account, outcome) for account in outcome.accounts]
    if (refusal := outcome.refusal) is not None:
        facts["refused"] = {"budget": refusal.spec.name, "code": refusal.code}
        said = f"refused with {refusal.status}: {refusal.message}"
    else:
        said = "all allow it" if outcome.accounts else "no budget counts it"
    return Stage("budgets", said, reasons, facts)


def _unpriced(call: Call, target: Target, world: World) -> str:
    """What to say besides the estimate where nobody knows what the model costs."""
    prices = world.policies.snapshot.prices
    known = prices.rates(
        target.model,
        api_type=call.api_type,
        base_url=target.candidate.base_url,
        at=call.arrived,
    )
    return "" if known.rates is not None else f" (nobody knows a price of {target.model})"


def _need(account: Account, outcome: Outcome) -> int:
    if not account.spec.blocks:
        return 0
    return max(1, outcome.tokens if account.spec.unit == "tokens" else outcome.usd)


def _standing(account: Account, outcome: Outcome) -> str:
    spec = account.spec
    left = max(0, spec.limit - account.spent)
    text = (
        f"{spec.name} ({scope_of(spec)}): {spec.shown(left)} left of {spec.shown(spec.limit)} "
        f"{spec.period}"
    )
    if account.period.end is not None:
        text += f" until {iso(account.period.end)}"
    if account.leased > 0:
        text += f"; {spec.shown(account.leased)} of it leased to workers, which grant from that"
    if spec.killed:
        return f"{text}; blocked by its kill switch"
    if not spec.blocks:
        return f"{text}; counts, and does not block"
    return f"{text}; would reserve {spec.shown(_need(account, outcome))}"


def _as_fact(account: Account, outcome: Outcome) -> dict[str, Any]:
    spec = account.spec
    return {
        "name": spec.name,
        "scope": scope_of(spec),
        "action": spec.action,
        "killed": spec.killed,
        "unit": spec.unit,
        "limit": _plain(spec.unit, spec.limit),
        "spent": _plain(spec.unit, account.spent),
        "leased": _plain(spec.unit, max(0, account.leased)),
        "reserves": _plain(spec.unit, _need(account, outcome)),
        "resets_at": iso(account.period.end) if account.period.end is not None else None,
    }


def _plain(unit: str, units: int) -> str:
    """An amount for programs: dollars or tokens as a number in a string."""
    return shown(unit, units).replace("$", "").replace(",", "").removesuffix(" tokens")


def _tried(call: Call, outcome: Outcome, world: World, now: float) -> Stage:
    targets, most = outcome.decision.targets, world.config.max_attempts
    out = [f"{name}: left out, {why}" for name, why in world.left_out.items()]
    if outcome.decision.problem:
        said = f"nobody can be asked: {outcome.decision.problem} (503)"
        return Stage("upstreams", said, tuple(out), {"order": [], "max_attempts": most})
    serves = {target.candidate.name for target in targets}
    others = [one.name for one in world.policies.snapshot.upstreams[call.api_type]]
    if not call.session and len(serves) > 1:
        out.append("without a session, upstreams of one priority are drawn anew for each request")
    out += [f"{name}: not named by the rule" for name in others if name not in serves]
    order = [_as_place(target, world.health, now) for target in targets]
    reasons = tuple(
        f"{place}. {one['upstream']}: {one['model']}"
        + (f", there called {one['sent_model']}" if one["sent_model"] != one["model"] else "")
        + f"; {one['health']}; {one['credential']}"
        + ("" if place <= most else "; beyond TOKENWATCH_MAX_ATTEMPTS")
        for place, one in enumerate(order, 1)
    )
    first = targets[0]
    said = f"{first.model or 'the request'} goes to {first.candidate.name} first"
    if outcome.refusal is not None:
        said = f"nothing is sent; {said.replace(' goes', ' would go')}"
    facts = {"model": first.model, "order": order, "max_attempts": most}
    return Stage("upstreams", said, (*reasons, *out), facts)


def _as_place(target: Target, health: Health, now: float) -> dict[str, Any]:
    candidate = target.candidate
    breaker = health.of(candidate)
    return {
        "upstream": candidate.name,
        "base_url": candidate.base_url,
        "model": target.model,
        "sent_model": candidate.spelling(target.model),
        "breaker": breaker.state,
        "health": " ".join(_health(candidate, health, now)),
        "credential": _credential(candidate),
    }


def _health(candidate: Candidate, health: Health, now: float) -> Iterator[str]:
    breaker, due = health.of(candidate), health.waiting([candidate], now).get(candidate.key)
    if due is not None:
        yield f"rests for another {max(0.0, due - now):.0f} s"
    elif breaker.state != "closed":
        yield "due for a probe"
    else:
        yield "well"
    if breaker.error:
        yield f"({breaker.error})"


def _credential(candidate: Candidate) -> str:
    if candidate.credential:
        return "its own credential"
    return "the client's credential" if candidate.forwards_credential else "no credential"
