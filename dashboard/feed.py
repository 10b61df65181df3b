"""The live feed of one worker process: the ledger's new rows to all who listen here.

It comes from the ledger and not from the hot path: rows of any worker on any machine are in it
about half a second after their request ended, a request costs nothing for it, and a gap is
filled from the same place. One thread looks four times a second while anybody listens, and not
at all while nobody does.

How it fails: while the database is away listeners are told so, and it looks again; rows that
are stored meanwhile come with the next look. A listener that is slow to take its events keeps
the newest `KEPT` and learns how many it missed: nobody waits for it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import Error, connection

from dashboard.events import COLUMNS, event, matches
from usage.models import UsageRecord
from usage.tailing import Follower

EVERY = 0.25
"""Seconds between two looks, and the least between two messages to one listener."""
PAUSE = 2.0
"""Seconds after a failure."""
AT_ONCE = 60
"""New rows that one look reads in full; the others are counted."""
KEPT = 120
CAUGHT_UP = 100

logger = logging.getLogger("tokenwatch.feed")


class Listener:
    """One page's events, until it takes them."""

    def __init__(self) -> None:
        self.filters: Mapping[str, str] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._skipped = 0
        self._database_ok: bool | None = None
        self._told_ok = True
        self._ready = asyncio.Event()

    def offer(self, events: Sequence[dict[str, Any]], skipped: int) -> None:
        """Never waits; the oldest give way."""
        wanted = [one for one in events if matches(one, self.filters)]
        if not wanted and not skipped:
            return
        self._skipped += skipped + max(0, len(self._events) + len(wanted) - KEPT)
        self._events.extend(wanted)
        self._ready.set()

    def tell(self, *, database_ok: bool) -> None:
        if database_ok != self._told_ok:
            self._database_ok = self._told_ok = database_ok
            self._ready.set()

    async def take(self) -> list[dict[str, Any]]:
        """Wait for something to say, and take all of it as messages."""
        await self._ready.wait()
        self._ready.clear()
        messages: list[dict[str, Any]] = []
        if self._database_ok is not None:
            messages.append({"type": "database", "ok": self._database_ok})
            self._database_ok = None
        if self._events or self._skipped:
            messages.append(
                {"type": "events", "rows": list(self._events), "skipped": self._skipped}
            )
            self._events.clear()
            self._skipped = 0
        return messages


class Feed:
    """All listeners of this process. Made in its event loop."""

    def __init__(self, follower: Callable[[], Follower] = Follower) -> None:
        self._make_follower = follower
        self._follower: Follower | None = None
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        # A thread of its own keeps one connection for as long as somebody listens.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="feed")

    def join(self, listener: Listener) -> None:
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    async def since(self, last_id: int, filters: Mapping[str, str]) -> dict[str, Any]:
        """What was stored after a row: the newest `CAUGHT_UP` of it, as a message."""
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._thread, _stored_since, last_id)
        events = [one for row in rows if matches(one := event(row), filters)]
        return {"type": "events", "rows": events, "skipped": 0, "caught_up": True}

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._listeners:
                try:
                    events, skipped = await loop.run_in_executor(self._thread, self._look)
                except Error as exc:
                    logger.warning("The live feed cannot read the ledger: %s", exc)
                    self._tell(database_ok=False)
                    await asyncio.sleep(PAUSE)
                    continue
                self._tell(database_ok=True)
                if events or skipped:
                    for listener in list(self._listeners):
                        listener.offer(events, skipped)
                await asyncio.sleep(EVERY)
        finally:
            self._follower = None
            self._task = None
            with contextlib.suppress(RuntimeError):  # the interpreter is ending
                self._thread.submit(connection.close)

    def _tell(self, *, database_ok: bool) -> None:
        for listener in self._listeners:
            listener.tell(database_ok=database_ok)

    def _look(self) -> tuple[list[dict[str, Any]], int]:
        """In the feed's thread."""
        try:
            if self._follower is None:
                self._follower = self._make_follower()
            rows, count = self._follower.glance(AT_ONCE, COLUMNS)
        except Error:
            connection.close()
            raise
        return [event(row) for row in rows], count - len(rows)


def _stored_since(last_id: int) -> list[dict[str, Any]]:
    try:
        rows = UsageRecord.objects.filter(id__gt=last_id).order_by("-id").values(*COLUMNS)
        return list(reversed(rows[:CAUGHT_UP]))
    except Error:
        connection.close()
        raise
