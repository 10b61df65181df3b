"""The fleet's job that keeps the cache within its limits: what has expired goes, then what was
not used for longest. How it fails: as any job does (`tokenwatch.jobs`); it goes on next time."""

from datetime import timedelta

from cache import store
from tokenwatch.conf import config
from tokenwatch.jobs import Turn

JOB = "cache"
EVERY = timedelta(minutes=1)
PAUSE = 0.05
"""Seconds between two transactions, for others."""


def job(turn: Turn) -> str:
    """Prune once; the outcome in words."""
    most = config.cache_max_mb * 1024 * 1024
    count = store.prune(turn.now, most, lambda: turn.pause(PAUSE))
    return f"{count} entries removed"
