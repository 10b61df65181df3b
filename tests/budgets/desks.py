"""Desks of several workers on one clock and one database, all in the test's own thread.

The test needs ``django_db(transaction=True)``: desks see what is committed.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any, TypeVar

import pytest
from django.db import connection

from budgets import bookkeeping, desk, settlement
from budgets.desk import Desk
from budgets.scopes import ScopeIndex
from budgets.settlement import load_specs, settle_rows
from usage import writer

T = TypeVar("T")


class Clock:
    """What `time` is to a desk, and what it tells the modules that write moments down."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class OwnThread(Desk):
    """A worker's desk, with the policies that the worker has seen so far."""

    def __init__(self) -> None:
        self.known = ScopeIndex([])
        super().__init__(lambda: self.known, lambda: True, fail_open=True)

    async def _in_thread(self, ask: Callable[..., T], *args: object) -> T:
        return ask(*args)

    def hears(self) -> None:
        """It loads the policies, as each worker does once a second."""
        self.known = ScopeIndex(load_specs())


@contextmanager
def ticking(clock: Clock) -> Iterator[Callable[[Coroutine[Any, Any, T]], T]]:
    """Everything of budgets runs by this clock; yields what runs a coroutine to its end.

    A counter that the proof against the ledger has to repair fails the test.
    """

    class Moment(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(clock.now, tz)

    def prove(*args: Any, **kwargs: Any) -> int:
        off = settlement.reconcile(*args, **kwargs)
        assert off == 0, "a counter was off the ledger"
        return off

    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        # The database is asked in the loop's thread here.
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        patch.setattr(desk, "time", clock)
        patch.setattr(bookkeeping, "datetime", Moment)
        patch.setattr(settlement, "datetime", Moment)
        patch.setattr(bookkeeping, "reconcile", prove)
        patch.setattr(writer, "alongside", [settle_rows])
        yield runner.run
        runner.run(_close())


async def _close() -> None:
    """Django keeps a connection of its own for what runs in an event loop."""
    connection.close()
