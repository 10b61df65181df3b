"""What this worker process knows of itself: spool, database, uptime. Nothing where none runs."""

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class WorkerState:
    spool_depth: int
    database_ok: bool


def state() -> WorkerState | None:
    """This process's ledger; None in a process that serves no proxy (tests, commands)."""
    services = services_here()
    if services is None:
        return None
    return WorkerState(services.ledger.depth(), services.ledger.database_ok)


def services_here() -> Any:
    """The proxy's `Services` of this process, or None. Found where the ASGI entry put them:
    importing that module here would start to build them."""
    entry = sys.modules.get("tokenwatch.asgi")
    return None if entry is None else entry.services.running
