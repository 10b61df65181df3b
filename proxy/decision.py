"""The stage decide: which rule, which test, which model, and who is asked for it, best first.

Pure but for what it is given: the call, the snapshot, what was spent today and how the
upstreams are. `explain-request` calls the same functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Protocol

from experiments.assign import KINDS, Assignment
from proxy.call import Call
from proxy.snapshot import Snapshot
from routing import rules
from routing.targets import Split
from upstreams.candidates import DIRECT, Candidate, Route, Target, plan
from upstreams.dialects.estimate import prompt_tokens
from upstreams.dialects.requests import offers_tools


class TodaysCost(Protocol):
    """`usage.today.TodaysCost`, or figures that somebody imagines."""

    def lookup(self, kind: str, name: str = "") -> Decimal: ...


class Health(Protocol):
    """`upstreams.health.Health`, or a picture of it."""

    def waiting(self, candidates: Sequence[Candidate], now: float) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request, before its budgets are asked."""

    targets: Sequence[Target]
    """Empty only where there is a problem."""
    rule: rules.Route | None = None
    assignment: Assignment | None = None
    problem: str = ""
    """Why nobody can be asked."""

    @property
    def model(self) -> str:
        """The model that is asked for first; empty where none is."""
        return self.targets[0].model if self.targets else ""


class CallFacts:
    """A call as the routing rules see it."""

    __slots__ = ("_call", "_today")

    def __init__(self, call: Call, today: TodaysCost) -> None:
        self._call = call
        self._today = today

    @property
    def model(self) -> str:
        return self._call.model

    @property
    def app(self) -> str:
        return self._call.app

    @property
    def tag(self) -> str:
        return self._call.tag

    @property
    def session(self) -> str:
        return self._call.session

    @property
    def at(self) -> float:
        return self._call.arrived

    @property
    def stream(self) -> bool:
        return self._call.stream

    @property
    def has_tools(self) -> bool:
        return self._call.data is not None and offers_tools(self._call.data)

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        return self._call.fields

    def last_user_text(self) -> str:
        return self._call.last_user_text()

    def input_tokens(self) -> int:
        call = self._call
        return prompt_tokens(call.dialect, call.data) if call.data is not None else 0

    def cost_today(self, of: str) -> Decimal:
        name = {"app": self._call.app, "tag": self._call.tag}.get(of, "")
        return self._today.lookup(of, name)


def decide(
    call: Call, snapshot: Snapshot, today: TodaysCost, health: Health, now: float
) -> Decision:
    """Decide for one request; ``now`` is on the monotonic clock."""
    candidates = snapshot.upstreams[call.api_type]
    rule = snapshot.rules.decide(CallFacts(call, today)) if snapshot.rules.rules else None
    assignment = None
    if (rule is None or not rule.model) and call.endpoint.kind in KINDS:
        assignment = snapshot.tests.assign(
            api_type=call.api_type,
            model=call.model,
            app=call.app,
            tag=call.tag,
            session=call.session,
            request_id=call.request_id,
        )
    if rule is None and assignment is None and len(candidates) == 1:
        return Decision((Target(candidates[0], call.model),))
    route = _route(call, snapshot, rule, assignment)
    waiting = health.waiting(candidates, now)
    targets = plan(candidates, route, call.model, waiting=waiting, number=point_of(call))
    problem = ""
    if not targets:
        problem = (
            f"the routing rule {rule.rule_name!r} names upstreams of which none can serve"
            if rule is not None and route.upstreams and candidates
            else f"every upstream for /{call.api_type} has a problem, see the admin"
        )
    return Decision(targets, rule, assignment, problem)


def _route(
    call: Call, snapshot: Snapshot, rule: rules.Route | None, assignment: Assignment | None
) -> Route:
    """What rule and test say together, as the choice of upstreams wants it."""
    model = assignment.model if assignment is not None else rule.model if rule is not None else ""
    fallbacks = rule.fallbacks if rule is not None else ()
    if call.data is None:  # a body that is not read cannot be given another model
        model, fallbacks = "", ()
    upstreams = _of_this_api(call, snapshot, rule) if rule is not None and rule.upstreams else ()
    if not (model or fallbacks or upstreams):
        return DIRECT
    return Route(model, fallbacks, upstreams)


def _of_this_api(call: Call, snapshot: Snapshot, rule: rules.Route) -> Split:
    """The upstreams that a rule names. One that names only upstreams of the other API says
    nothing of this one; one whose upstreams cannot serve is not read as "any"."""
    here = {one.name for one in snapshot.upstreams[call.api_type]}
    if any(name in here for name, _ in rule.upstreams):
        return rule.upstreams
    elsewhere = {one.name for found in snapshot.upstreams.values() for one in found} - here
    return () if all(name in elsewhere for name, _ in rule.upstreams) else rule.upstreams


def point_of(call: Call) -> float:
    """A number in [0, 1) that shares requests out by weight: a session's is always the same, so
    that it stays with its upstream and with what that has cached of it."""
    if not call.session:
        return int(call.request_id[-13:], 16) / 16**13
    digest = blake2b(b"upstream\0" + call.session.encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
