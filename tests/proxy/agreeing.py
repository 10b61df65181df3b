"""Random policies and requests, what is explained of them, and what becomes of them for real.

A case is made from a number, so one that fails can be looked at again. The live side is
`pipeline.handle` with the worker's own desk, health and ending; what stands in for the world
are a transport that answers every request with a 500, so that all candidates are tried, and
budgets' counters in a dictionary, which lease as the database does.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from budgets.bookkeeping import Loan
from budgets.estimate import Habits
from budgets.leases import Taken, slice_of
from budgets.scopes import PER_DOLLAR, BudgetSpec, ScopeIndex
from budgets.still import StillDesk
from experiments.assign import TestSet, TestSpec
from proxy.call import Call, identify, read_body
from proxy.client import Client
from proxy.explain import Outcome, World, decided
from proxy.pipeline import handle
from proxy.services import Services
from proxy.snapshot import Snapshot
from routing.conditions import parse
from routing.rules import Rule, RuleSet
from routing.tags import TagRules, TagSpec
from tests.proxy.serving import services_for
from upstreams.candidates import Candidate
from upstreams.failures import Failure
from upstreams.health import Health
from usage.rows import UsageRow

MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "claude-sonnet-4-5", "nobody-knows-it")
APPS = ("batch", "web", "")
TAGS = ("nightly", "eu", "")
SESSIONS = ("s1", "s2", "s3", "")
UPSTREAMS = ("a", "b", "c", "d")
TEXTS = ("Please translate this", "Summarise the report", "", "Grüße aus Köln " * 40)
PATHS = {
    "openai": ("v1/chat/completions", "v1/responses", "v1/embeddings", "v1/models"),
    "anthropic": ("v1/messages", "v1/messages/count_tokens"),
}
CONDITIONS = (
    ("model", (*MODELS[:3], "gpt-*")),
    ("source_app", ("batch", "w*", "*")),
    ("tag", ("nightly", "*")),
    ("session", ("s1", "s*")),
    ("regex", ("(?i)translat", "report$")),
    ("header", ("x-team=blue", "x-team: *")),
    ("token_count", ("<40", ">40")),
    ("cost_today", (">5", "app>5", "tag<5")),
    ("time", ("00:00-12:00", "22:00-06:00 Europe/Berlin")),
    ("weekday", ("mon-wed", "sat,sun Asia/Tokyo")),
    ("tools", ("yes", "no")),
    ("stream", ("yes", "no")),
)
COSTS = {"app": Decimal(7), "tag": Decimal(3), "all": Decimal(9)}


class Spending:
    """What was spent today, whoever asks."""

    def lookup(self, kind: str, name: str = "") -> Decimal:
        return COSTS[kind] if name or kind == "all" else Decimal(0)

    def add(self, row: UsageRow) -> None:
        pass


class Answer:
    """A 500, as of an upstream that is there and fails."""

    status = 500
    headers = [(b"content-type", b"application/json")]

    def __init__(self) -> None:
        self.first = b""
        self._left = [b'{"error":{"message":"m"}}']

    async def chunk(self) -> bytes:
        return self._left.pop() if self._left else b""

    def close(self) -> None:
        pass


class Failing:
    """A transport that notes whom it was to ask for which model."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def send(
        self, method: str, url: str, headers: Any, body: bytes | None, **timeouts: Any
    ) -> Answer:
        model = orjson.loads(body).get("model", "") if body else ""
        self.asked.append((url.split("//")[1].split("/")[0], model))
        return Answer()


class Counters:
    """The budgets' counters: spent and leased units."""

    def __init__(self, figures: Mapping[int, tuple[int, int]]) -> None:
        self._figures = dict(figures)

    def read(self, specs: Sequence[BudgetSpec], at: float) -> Mapping[int, tuple[int, int]]:
        return {spec.id: self._figures[spec.id] for spec in specs}

    def lend(self, loan: Loan, limit: int, need: int) -> tuple[int, Taken | None]:
        spent, leased = self._figures[loan.spec.id]
        units = slice_of(limit - spent - leased, need)
        if not units:
            return loan.spec.id, None
        self._figures[loan.spec.id] = spent, leased + units
        return loan.spec.id, Taken(loan.spec.id, units)


@dataclass
class Case:
    """One request under one set of policies, explained and served."""

    explained: Outcome
    row: UsageRow
    asked: list[tuple[str, str]]
    status: int
    body: bytes
    most: int
    budgets: bool
    """There are budgets, whether they count this request or not."""

    @property
    def recorded(self) -> dict[str, Any]:
        return dict(orjson.loads(self.row.decision)) if self.row.decision else {}


class Cases:
    """Makes and runs cases. Call it in the event loop, with `lend` in the place of
    `bookkeeping.lend`."""

    def __init__(self, directory: Path) -> None:
        self.services, self.rows = services_for("http://default", directory, max_attempts=5)
        self.services.today = Spending()  # type: ignore[assignment]
        self._plain = self.services.policies.snapshot
        self._real, self._counters = self.services.transport, Counters({})

    async def close(self) -> None:
        await self._real.close()

    def lend(self, loan: Loan, limit: int, need: int, worker: str) -> tuple[int, Taken | None]:
        return self._counters.lend(loan, limit, need)

    async def run(self, number: int) -> Case:
        chance = random.Random(number)
        snapshot = self._policies(chance)
        figures = {spec.id: _figures(chance, spec) for spec in snapshot.budgets.specs}
        scope, body = _request(chance)
        failures = [one for several in snapshot.upstreams.values() for one in several]
        failures = [one for one in failures if chance.random() < 0.25]
        explained = self._explain(snapshot, figures, scope, body, failures)
        return await self._live(snapshot, figures, scope, body, failures, explained)

    def _policies(self, chance: random.Random) -> Snapshot:
        upstreams = dict(self._plain.upstreams)
        for api_type in upstreams:
            if chance.random() < 0.8:
                upstreams[api_type] = _upstreams(chance, api_type)
        return replace(
            self._plain,
            version=chance.randrange(1, 100),
            upstreams=upstreams,
            budgets=ScopeIndex(_several(chance, 4, _budget)),
            tags=TagRules(_several(chance, 3, _tag_rule)),
            tests=TestSet(_several(chance, 4, _test)),
            rules=RuleSet(_several(chance, 8, _rule)),
        )

    def _explain(
        self,
        snapshot: Snapshot,
        figures: Mapping[int, tuple[int, int]],
        scope: dict[str, Any],
        body: bytes,
        failures: Sequence[Candidate],
    ) -> tuple[Call, Outcome]:
        services = self.services
        services.policies.snapshot = snapshot
        world = World(
            config=services.config,
            policies=services.policies,
            habits=Habits(),
            health=_health(services, failures),
            desk=StillDesk(Counters(figures).read),
            today=Spending(),
        )
        call = identify(scope)
        assert call is not None
        read_body(call, body)
        return call, decided(call, world, time.monotonic())

    async def _live(
        self,
        snapshot: Snapshot,
        figures: Mapping[int, tuple[int, int]],
        scope: dict[str, Any],
        body: bytes,
        failures: Sequence[Candidate],
        explained: tuple[Call, Outcome],
    ) -> Case:
        services, transport = self.services, Failing()
        self._counters = Counters(figures)
        services.health = _health(services, failures)
        services.habits = Habits()
        services.transport = transport  # type: ignore[assignment]
        desk = services.desk
        desk._current.clear()
        desk._accounts.clear()
        for account in desk.accounts(snapshot.budgets.specs, explained[0].arrived):
            account.counter = account.spec.id
            account.looked_at(*figures[account.spec.id], drained=True)
        call = identify(scope)
        assert call is not None
        # The same request: what is drawn for it and when it came are its own.
        call.request_id, call.arrived = explained[0].request_id, explained[0].arrived
        sent: list[dict[str, Any]] = []
        await handle(call, Client(_receive(body), _sender(sent)), services)
        (row,) = self.rows.rows
        self.rows.rows.clear()
        status = next(one["status"] for one in sent if one["type"] == "http.response.start")
        answer = b"".join(one.get("body", b"") for one in sent)
        most = services.config.max_attempts
        there_are = bool(snapshot.budgets.specs)
        return Case(explained[1], row, transport.asked, status, answer, most, there_are)


def _receive(body: bytes) -> Callable[[], Any]:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    return receive


def _sender(sent: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    return send


def _several(chance: random.Random, most: int, make: Callable[[random.Random, int], Any]) -> Any:
    return [make(chance, number + 1) for number in range(chance.randrange(most + 1))]


def _upstreams(chance: random.Random, api_type: str) -> tuple[Candidate, ...]:
    names = chance.sample(UPSTREAMS, chance.randrange(0, 4))
    found = [
        Candidate(name, api_type, f"http://{name}", chance.choice((1, 1, 2)), chance.randrange(4))
        for name in names
    ]
    return tuple(sorted(found, key=lambda one: one.priority))


def _budget(chance: random.Random, number: int) -> BudgetSpec:
    scope = chance.choice(("global", "app", "model", "tag", "session"))
    names = {"app": APPS, "model": MODELS, "tag": TAGS, "session": SESSIONS, "global": ("",)}
    unit = chance.choice(("usd", "tokens"))
    return BudgetSpec(
        id=number,
        name=f"budget {number}",
        scope=scope,
        pattern=chance.choice((*names[scope], "*")) or ("*" if scope != "global" else ""),
        unit=unit,
        limit=PER_DOLLAR // 100 if unit == "usd" else 10_000,
        period=chance.choice(("hourly", "daily", "weekly", "monthly", "total")),
        time_zone=chance.choice(("UTC", "Europe/Berlin")),
        action=chance.choice(("block", "block", "warn")),
        threshold=80,
        killed=chance.random() < 0.1,
    )


def _figures(chance: random.Random, spec: BudgetSpec) -> tuple[int, int]:
    """Spent and leased: far from the limit, near it, or past it."""
    spent = int(spec.limit * chance.choice((0, 0.2, 0.6, 0.9, 1.0, 1.2)))
    return spent, int(max(0, spec.limit - spent) * chance.choice((0, 0, 0.5, 1.0)))


def _tag_rule(chance: random.Random, number: int) -> TagSpec:
    kind, pattern = chance.choice((("tag_app", "batch"), ("tag_regex", "(?i)report")))
    return TagSpec(number, f"tags {number}", chance.randrange(3), kind, pattern, TAGS[number % 2])


def _test(chance: random.Random, number: int) -> TestSpec:
    return TestSpec(
        id=number,
        name=f"test {number}",
        model_a=chance.choice(MODELS),
        model_b=chance.choice(MODELS),
        share=chance.random(),
        salt=f"salt {number}",
        api_type=chance.choice(("", "openai", "anthropic")),
        app=chance.choice(("", *APPS)),
        tag=chance.choice(("", *TAGS)),
        model=chance.choice(("", *MODELS)),
        status=chance.choice(("active", "active", "paused")),
    )


def _rule(chance: random.Random, number: int) -> Rule:
    kinds = chance.sample(CONDITIONS, chance.randrange(0, 3) or chance.randrange(0, 2))
    named = chance.sample(UPSTREAMS, chance.randrange(0, 3)) if chance.random() < 0.4 else []
    return Rule(
        number,
        f"rule {number}",
        chance.randrange(4),
        tuple(parse(kind, chance.choice(values)) for kind, values in kinds),
        model=chance.choice(("", *MODELS)),
        upstreams=tuple((name, chance.randrange(4)) for name in named),
        fallbacks=tuple(chance.sample(MODELS, chance.randrange(0, 3))),
    )


def _request(chance: random.Random) -> tuple[dict[str, Any], bytes]:
    api_type = chance.choice(tuple(PATHS))
    path = f"/{api_type}/{chance.choice(PATHS[api_type])}"
    pairs = (
        (b"x-tokenwatch-app", chance.choice(APPS)),
        (b"x-tokenwatch-tag", chance.choice(TAGS)),
        (b"x-tokenwatch-session", chance.choice(SESSIONS)),
        (b"x-team", chance.choice(("blue", "red", ""))),
    )
    headers = [(name, value.encode()) for name, value in pairs if value]
    body: dict[str, Any] = {
        "model": chance.choice(MODELS),
        "messages": [{"role": "user", "content": chance.choice(TEXTS)}],
        "max_tokens": chance.choice((1, 100, 3000)),
    }
    if chance.random() < 0.3:
        body["stream"] = True
    if chance.random() < 0.3:
        body["tools"] = [{"name": "t"}]
    scope = {
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "method": "GET" if path.endswith("models") else "POST",
        "headers": headers,
    }
    return scope, b"" if scope["method"] == "GET" else orjson.dumps(body)


def _health(services: Services, failures: Sequence[Candidate]) -> Health:
    """Breakers, of which those of some upstreams are open, each for longer than the one before."""
    health = Health(services.config)
    now = time.monotonic()
    for place, candidate in enumerate(failures):
        failure = Failure("503", cool_down=60.0 * (place + 1))
        health.failed(candidate, failure, now, probe=False)
    return health
