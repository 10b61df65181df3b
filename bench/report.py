"""Figures as a table: on the terminal by rich, in a file as Markdown; pure but for the facts
about the machine, which are read from /proc and the installed packages."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.table import Table

from bench.closed_loop import LoadResult
from bench.measure import CONNECTIONS, INTERVAL_MS, Figures, Pair, Plan, added, ratio
from bench.stream_load import StreamResult

LEAST_RATIO = 0.65
LEAST_DECIDED_RATIO = 0.9
"""Of the throughput with three budgets to that with none, and so of rules and A/B tests."""
LEAST_HIT_RATIO = 1.0
"""Of the throughput from the cache to that of the bare pass-through."""
LEAST_MISSED_RATIO = 0.9
"""Of the throughput with the cache and without a hit to that without the cache."""
LEAST_TELLING_RATIO = 0.85
"""Of the throughput with OpenTelemetry to that without."""
MOST_ADDED_P99_MS = 2.0
MOST_GROWTH = 0.10
"""Of the own memory after the first step: what counts as flat."""
PACKAGES = ("Django", "uvicorn", "uvloop", "httptools", "aiohttp")


@dataclass(frozen=True, slots=True)
class Line:
    """One measured thing; ``met`` is None where nothing is promised."""

    what: str
    bare: str
    tokenwatch: str
    difference: str
    target: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "yes" if self.met else "NO"


def _p50(result: LoadResult) -> float:
    return result.latency_ms.p50


def _p99(result: LoadResult) -> float:
    return result.latency_ms.p99


def _throughput(what: str, pairs: list[Pair[LoadResult]]) -> Line:
    share = ratio(pairs)
    return Line(
        f"requests/s, {what}",
        f"{median([pair.bare.per_second for pair in pairs]):,.0f}",
        f"{median([pair.tokenwatch.per_second for pair in pairs]):,.0f}",
        f"{share:.2f} ×",
        f"≥ {LEAST_RATIO} ×",
        share >= LEAST_RATIO,
    )


def _beside(what: str, pairs: list[Pair[LoadResult]], least: float) -> Line:
    """TokenWatch with something beside TokenWatch without it."""
    share = ratio(pairs)
    return Line(
        f"requests/s, {what}, {CONNECTIONS} connections",
        f"{median([pair.bare.per_second for pair in pairs]):,.0f} without",
        f"{median([pair.tokenwatch.per_second for pair in pairs]):,.0f}",
        f"{share:.2f} ×",
        f"≥ {least} ×",
        share >= least,
    )


def _hits(pairs: list[Pair[LoadResult]]) -> Line:
    line = _beside("", pairs, LEAST_HIT_RATIO)
    return replace(
        line,
        what=f"requests/s, answered from the cache, {CONNECTIONS} connections",
        bare=line.bare.removesuffix(" without"),
    )


def _latency(
    what: str,
    pairs: list[Pair[LoadResult]],
    pick: Callable[[LoadResult], float],
    most: float | None = None,
) -> Line:
    more = added(pairs, pick)
    return Line(
        f"latency {what}",
        f"{median([pick(pair.bare) for pair in pairs]):.2f} ms",
        f"{median([pick(pair.tokenwatch) for pair in pairs]):.2f} ms",
        f"{more:+.2f} ms",
        "" if most is None else f"< {most:g} ms more",
        None if most is None else more < most,
    )


def _delay(
    what: str, pairs: list[Pair[StreamResult]], pick: Callable[[StreamResult], float], held: bool
) -> Line:
    bare = median([pick(pair.bare) for pair in pairs])
    through = median([pick(pair.tokenwatch) for pair in pairs])
    return Line(
        f"delay per event {what}",
        f"{bare:.2f} ms",
        f"{through:.2f} ms",
        f"{through - bare:+.2f} ms",
        f"≤ {2 * bare + 1:.2f} ms" if held else "",
        through <= 2 * bare + 1 if held else None,
    )


def _stream_lines(pairs: list[Pair[StreamResult]]) -> list[Line]:
    what = f"{pairs[0].bare.streams} streams × {1000 // INTERVAL_MS}/s"
    lost = sum(pair.tokenwatch.lost for pair in pairs)
    lost_bare = sum(pair.bare.lost for pair in pairs)
    return [
        _delay(f"p50, {what}", pairs, lambda result: result.delay_ms.p50, held=False),
        _delay(f"p99, {what}", pairs, lambda result: result.delay_ms.p99, held=True),
        Line(f"events lost, {what}", f"{lost_bare}", f"{lost}", "", "0", lost == 0),
    ]


def _memory_lines(figures: Figures) -> list[Line]:
    memory = figures.memory
    (early, first), *_, (late, last) = memory.after.items()
    growth = last.own - first.own
    return [
        Line(f"own memory after {early:,} requests", "", f"{first.own:.1f} MB", ""),
        Line(
            f"own memory after {late:,} requests",
            "",
            f"{last.own:.1f} MB",
            f"{growth:+.1f} MB",
            f"≤ {MOST_GROWTH:.0%} more",
            growth <= MOST_GROWTH * first.own,
        ),
        Line("resident with mapped files then", "", f"{last.total:.1f} MB", ""),
        Line(f"requests/s sustained over {late:,}", "", f"{memory.per_second:,.0f}", ""),
    ]


def lines(figures: Figures) -> list[Line]:
    """Every measured thing, in the order of measuring."""
    lost = figures.answered - figures.rows
    return [
        _throughput(f"small bodies, {CONNECTIONS} connections", figures.small),
        _beside("three matching budgets", figures.budgets, LEAST_DECIDED_RATIO),
        _beside("200 rules and 20 A/B tests", figures.rules, LEAST_DECIDED_RATIO),
        _beside("OpenTelemetry on", figures.telemetry, LEAST_TELLING_RATIO),
        _hits(figures.hits),
        _beside("with the cache and no hit", figures.misses, LEAST_MISSED_RATIO),
        _throughput(f"100 kB in, 20 kB out, {CONNECTIONS} connections", figures.large),
        _latency("p50, 1 connection", figures.single, _p50),
        _latency("p99, 1 connection", figures.single, _p99, MOST_ADDED_P99_MS),
        _latency("p50, 16 connections", figures.sixteen, _p50),
        _latency("p99, 16 connections", figures.sixteen, _p99),
        *_stream_lines(figures.streams),
        *_memory_lines(figures),
        Line(f"rows lost of {figures.answered:,} answers", "", f"{lost}", "", "0", lost == 0),
    ]


_HEADINGS = ("Measured", "Bare", "TokenWatch", "Difference", "Target", "Met")


def cells(line: Line) -> tuple[str, ...]:
    return line.what, line.bare, line.tokenwatch, line.difference, line.target, line.verdict


def table(measured: list[Line]) -> Table:
    """For the terminal."""
    shown = Table(title="TokenWatch beside a bare pass-through, one core")
    for number, heading in enumerate(_HEADINGS):
        shown.add_column(heading, justify="left" if number == 0 else "right")
    for line in measured:
        style = "bold red" if line.met is False else None
        shown.add_row(*cells(line), style=style)
    return shown


def machine() -> str:
    """The processor's name and the number of its cores."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def markdown(measured: list[Line], plan: Plan, today: date) -> str:
    """The file that is kept."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    rows = "\n".join("| " + " | ".join(cells(line)) + " |" for line in measured)
    host = f"{machine()}; {platform.system()}, Python {platform.python_version()}, {versions}"
    rounds = f"{plan.rounds} round{'s' * (plan.rounds > 1)} (streams: {plan.stream_rounds})"
    return f"""# What TokenWatch costs

Measured {today} on {host}.

"Bare" is the least that a pass-through on the same server and transport can do (`bench/bare.py`).
TokenWatch does all its work: it identifies, forwards, reads the usage, prices it and writes the
ledger (SQLite). Each ran on one core, the upstream and the load generator on another. Figures are
medians of {rounds}, in which the two took turns; a ratio or a difference is the
median of the rounds' own. Three lines compare TokenWatch with something to TokenWatch without:
three budgets, each of which counts every request; 200 rules of all kinds, of which the last
decides, and 20 A/B tests, of which the last takes every request; traces and metrics sent to a
collector. The lines on the cache are of its exact tier: one request again and again beside the
bare pass-through, and requests of which none is like another beside TokenWatch without the cache.
Every answer was compared byte for byte with the upstream's. Absolute numbers vary from machine to
machine and hour to hour: compare the ratios.
`make bench` measures again.

| {" | ".join(_HEADINGS)} |
|---|---:|---:|---:|---:|---:|
{rows}
"""
