"""What the System tab shows: one small function a panel. Read-only.

How it fails: the database's errors are passed on; what nobody can tell is None.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asgiref.sync import async_to_sync
from django.conf import settings

from dashboard import worker
from tokenwatch import running
from tokenwatch.conf import config
from upstreams.models import Upstream, UpstreamEvent
from upstreams.store import Standing, standings
from usage import backlog, presence
from usage.meters import Meter, pending

TICKS = 5
EVENTS = 12
_WORKER = re.compile(r"^(\d+)-[0-9a-f]{8}\.lock$")


@dataclass(frozen=True, slots=True)
class Process:
    """One worker and what it has not stored yet."""

    pid: int
    alive: bool
    pending: int


@dataclass(frozen=True, slots=True)
class Writing:
    """How rows get into the database."""

    database: str
    running: bool
    """Whether a process stores rows."""
    database_ok: bool
    """Whether the database took the last ones."""
    seen: datetime | None
    """When that was known."""
    depth: int
    """Rows of all workers that wait in the spool."""
    rejected: int
    """Lines that the database would never take, set aside."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The workers of this data directory."""

    started_at: datetime | None
    workers: list[Process]
    lag_ms: float | None
    """What this worker's event loop makes a task wait, just now; None where none runs."""


def writing() -> Writing:
    spool = config.spool_dir
    healthy, beat = presence.health(spool)
    rejected = spool / backlog.REJECTED
    return Writing(
        database=_database(),
        running=spool.exists() and presence.is_running(spool),
        database_ok=healthy,
        seen=datetime.fromtimestamp(beat, UTC) if beat else None,
        depth=backlog.depth(spool),
        rejected=rejected.read_bytes().count(b"\n") if rejected.exists() else 0,
    )


def serving() -> Serving:
    run = running.read(config.run_file)
    return Serving(
        started_at=run.started_at if run is not None else None,
        workers=_processes(),
        lag_ms=_lag() if worker.services_here() is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Health:
    """An upstream and how its circuit breaker stands."""

    upstream: Upstream
    standing: Standing


def upstreams(now: datetime) -> list[Health]:
    """All upstreams, those of one API together, by priority."""
    rows = list(Upstream.objects.order_by("api_type", "priority", "name"))
    return [Health(*pair) for pair in zip(rows, standings(rows, now), strict=True)]


def events() -> list[UpstreamEvent]:
    """The newest changes of breakers."""
    return list(UpstreamEvent.objects.order_by("-id")[:EVENTS])


def _processes() -> list[Process]:
    found = []
    for path in sorted(config.spool_dir.glob("*.lock")):
        match = _WORKER.match(path.name)
        counts = Meter.read(path)
        if match is not None and counts is not None:
            pid = int(match[1])
            found.append(Process(pid, running.is_alive(pid), pending(counts)))
    return found


def _lag() -> float:
    """The longest of a few turns through the event loop, in milliseconds."""
    return async_to_sync(_turns)()


async def _turns() -> float:
    longest = 0.0
    for _ in range(TICKS):
        began = time.perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - began)
    return longest * 1000


def _database() -> str:
    """Engine and place, without user and password; of a file its name."""
    database = settings.DATABASES["default"]
    engine = database["ENGINE"].rpartition(".")[2]
    if engine == "sqlite3":
        return f"SQLite, {Path(str(database['NAME'])).name}"
    host, port = database.get("HOST"), database.get("PORT")
    place = f"{host}:{port}/" if host and port else f"{host}/" if host else ""
    return f"{engine} {place}{database['NAME']}"
