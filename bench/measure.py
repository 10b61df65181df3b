"""What is measured, in which order, and how the samples become figures.

Machines are noisy, so the bare pass-through and TokenWatch take turns over many short
rounds, and each ratio is the median of the rounds' own ratios: a slow moment hits both sides of a
round alike. TokenWatch's rows are written out before the next measurement starts, so that
its work does not slow the bare one down; the long memory run is where writing and serving
compete, and its throughput is reported as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Generic, TypeVar

from bench.closed_loop import LoadResult
from bench.memory import Resident, resident
from bench.processes import requests, streams
from bench.stream_load import StreamResult
from demo.instance import Instance

INTERVAL_MS = 20
CONNECTIONS = 64
DRAIN_SECONDS = 120

Result = TypeVar("Result", LoadResult, StreamResult)
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything one run measures."""

    rounds: int
    small: int
    large: int
    single: int
    sixteen: int
    stream_rounds: int
    streams: int
    events: int
    memory: int
    memory_step: int
    most_seconds: int
    """The run is given up after this; several times what it takes on a quiet machine."""


FULL = Plan(
    rounds=11,
    small=4_000,
    large=1_500,
    single=1_000,
    sixteen=2_500,
    stream_rounds=2,
    streams=200,
    events=500,
    memory=200_000,
    memory_step=20_000,
    most_seconds=900,
)
QUICK = Plan(
    rounds=3,
    small=3_000,
    large=1_000,
    single=700,
    sixteen=1_500,
    stream_rounds=1,
    streams=200,
    events=150,
    memory=20_000,
    memory_step=5_000,
    most_seconds=300,
)


@dataclass(frozen=True, slots=True)
class Pair(Generic[Result]):
    """The same run against both, one right after the other."""

    bare: Result
    tokenwatch: Result


@dataclass(frozen=True, slots=True)
class Memory:
    """What was resident after each step of the long run, and its sustained throughput."""

    after: dict[int, Resident]
    per_second: float


@dataclass(slots=True)
class Figures:
    """Everything that one run has measured."""

    small: list[Pair[LoadResult]] = field(default_factory=list)
    large: list[Pair[LoadResult]] = field(default_factory=list)
    single: list[Pair[LoadResult]] = field(default_factory=list)
    sixteen: list[Pair[LoadResult]] = field(default_factory=list)
    streams: list[Pair[StreamResult]] = field(default_factory=list)
    memory: Memory = field(default_factory=lambda: Memory({}, 0.0))
    answered: int = 0
    """Requests that TokenWatch has answered, all measurements together."""
    rows: int = 0
    """Rows in its ledger after them."""
    budgets: list[Pair[LoadResult]] = field(default_factory=list)
    """TokenWatch without budgets in the place of the bare pass-through."""
    rules: list[Pair[LoadResult]] = field(default_factory=list)
    """Likewise without rules and A/B tests."""
    telemetry: list[Pair[LoadResult]] = field(default_factory=list)
    """Likewise without OpenTelemetry."""
    hits: list[Pair[LoadResult]] = field(default_factory=list)
    """One request again and again, answered from the cache."""
    misses: list[Pair[LoadResult]] = field(default_factory=list)
    """Requests of which none is like another, without and with the cache."""


def ratio(pairs: list[Pair[LoadResult]]) -> float:
    """TokenWatch's throughput over the bare one's."""
    return median([pair.tokenwatch.per_second / pair.bare.per_second for pair in pairs])


def added(pairs: list[Pair[LoadResult]], pick: Callable[[LoadResult], float]) -> float:
    """What TokenWatch adds to one figure of a run, in that figure's unit."""
    return median([pick(pair.tokenwatch) - pick(pair.bare) for pair in pairs])


@dataclass(frozen=True, slots=True)
class Others:
    """TokenWatches that are measured beside the plain one."""

    budgeted: Instance
    ruled: Instance
    telling: Instance
    cached: Instance


class Bench:
    """Runs the plan against a bare pass-through and TokenWatches that all run already."""

    def __init__(
        self,
        plan: Plan,
        bare: str,
        instance: Instance,
        others: Others,
        load_core: int,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._bare = bare
        self._instance = instance
        self._others = others
        self._core = load_core
        self._progress = progress
        self.figures = Figures()

    def run(self) -> Figures:
        """Measure everything.

        Raises:
            BenchError: an answer was wrong or did not come.
            InstanceError: the spool did not empty.
        """
        plan, figures = self._plan, self.figures
        self._closed_loop("small bodies", figures.small, plan.small, CONNECTIONS, "small")
        self._beside("budgets", figures.budgets, self._others.budgeted)
        self._beside("rules and tests", figures.rules, self._others.ruled)
        self._beside("telemetry", figures.telemetry, self._others.telling)
        self._cache()
        self._closed_loop("large bodies", figures.large, plan.large, CONNECTIONS, "large")
        self._closed_loop("1 connection", figures.single, plan.single, 1, "small")
        self._closed_loop("16 connections", figures.sixteen, plan.sixteen, 16, "small")
        for number in range(plan.stream_rounds):
            self._progress(f"{plan.streams} streams, round {number + 1} of {plan.stream_rounds}")
            figures.streams.append(Pair(self._streams(self._bare), self._streams_through()))
        self._memory()
        return figures

    def _closed_loop(
        self, name: str, into: list[Pair[LoadResult]], count: int, connections: int, exchange: str
    ) -> None:
        for number in range(self._plan.rounds):
            self._progress(f"{name}, round {number + 1} of {self._plan.rounds}")
            warmup = max(connections, count // 10)
            bare, through = (
                self._requests(url, count, warmup, connections, exchange)
                for url in (self._bare, self._instance.run.proxy_url)
            )
            into.append(Pair(bare, through))
            self._written(count + warmup)

    def _requests(
        self, url: str, count: int, warmup: int, connections: int, exchange: str
    ) -> LoadResult:
        return requests(
            url,
            self._core,
            connections=connections,
            requests=count,
            warmup=warmup,
            exchange=exchange,
        )

    def _beside(self, name: str, into: list[Pair[LoadResult]], other: Instance) -> None:
        """The plain TokenWatch and another one, in turns, each with its rows written out."""
        count = self._plan.small
        warmup = count // 10
        for number in range(self._plan.rounds):
            self._progress(f"{name}, round {number + 1} of {self._plan.rounds}")
            results = []
            for instance in (self._instance, other):
                url = instance.run.proxy_url
                results.append(self._requests(url, count, warmup, CONNECTIONS, "small"))
                self.figures.answered += count + warmup
                instance.drain(DRAIN_SECONDS)
            into.append(Pair(*results))

    def _cache(self) -> None:
        """Hits against the bare pass-through; misses without and with the cache, in turns."""
        count = self._plan.small
        warmup = count // 10
        urls = {
            "bare": self._bare,
            "without": self._instance.run.proxy_url,
            "cached": self._others.cached.run.proxy_url,
        }
        rounds = [
            (self.figures.hits, "small", ("bare", "cached")),
            (self.figures.misses, "varied", ("without", "cached")),
        ]
        for number in range(self._plan.rounds):
            self._progress(f"cache, round {number + 1} of {self._plan.rounds}")
            for into, exchange, sides in rounds:
                results = []
                for side in sides:
                    load = self._requests(urls[side], count, warmup, CONNECTIONS, exchange)
                    results.append(load)
                    self.figures.answered += (count + warmup) * (side != "bare")
                    self._instance.drain(DRAIN_SECONDS)
                    self._others.cached.drain(DRAIN_SECONDS)
                into.append(Pair(*results))

    def _streams(self, url: str) -> StreamResult:
        plan = self._plan
        return streams(
            url, self._core, streams=plan.streams, events=plan.events, interval_ms=INTERVAL_MS
        )

    def _streams_through(self) -> StreamResult:
        result = self._streams(self._instance.run.proxy_url)
        self._written(result.streams)
        return result

    def _memory(self) -> None:
        """Many requests in steps, without waiting for the ledger between them."""
        plan, url = self._plan, self._instance.run.proxy_url
        after: dict[int, Resident] = {}
        seconds = 0.0
        for done in range(plan.memory_step, plan.memory + 1, plan.memory_step):
            self._progress(f"memory: {done:,} of {plan.memory:,} requests")
            result = requests(
                url,
                self._core,
                connections=CONNECTIONS,
                requests=plan.memory_step,
                exchange="small",
            )
            seconds += result.seconds
            after[done] = resident(self._instance.pid)
        self.figures.memory = Memory(after, plan.memory / seconds)
        self._written(plan.memory)

    def _written(self, answered: int) -> None:
        self.figures.answered += answered
        self._instance.drain(DRAIN_SECONDS)
