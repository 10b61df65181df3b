"""What was spent today, in memory: by app, by tag and in all. The day is UTC's.

One query in a thread every `SECONDS`, only while somebody wants to know, reads what is stored
by all workers; what this worker has finished and not stored yet is added. A look-up is two
dictionary reads. Rows of other workers count once they are stored, within a second or two.

How it fails: while the database is away, the last known sums stay, and this worker's own go
on being added (as many as `WAITING` rows). Before the first answer everything is 0.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import Error, connection
from django.db.models import Sum

from usage.models import UsageRollup
from usage.rollups import HOUR
from usage.rows import UsageRow

SECONDS = 1.5
WAITING = 20_000
"""Finished rows that are remembered until they are stored; the oldest are dropped past it."""
DAY = 86_400
ZERO = Decimal(0)
STEP = Decimal("1E-10")

Key = tuple[str, str]
"""``app``, ``tag`` or ``all``, and the name; empty for all."""

logger = logging.getLogger("tokenwatch.today")


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database said."""

    day: int
    """Days since the epoch."""
    through: int
    """So many of the worker's own rows were stored by then, counted from its beginning."""
    sums: Mapping[Key, Decimal]


@dataclass(slots=True)
class Own:
    """What this worker has finished on one day and may not have stored."""

    day: int = 0
    rows: deque[tuple[int, str, str, Decimal]] = field(default_factory=deque)
    """Number, app, tag and cost of each."""
    sums: dict[Key, Decimal] = field(default_factory=dict)

    def add(self, number: int, app: str, tag: str, cost: Decimal) -> None:
        if len(self.rows) >= WAITING:
            self._drop()
        self.rows.append((number, app, tag, cost))
        self._count(app, tag, cost)

    def stored(self, through: int) -> None:
        """Forget the rows that the database has."""
        while self.rows and self.rows[0][0] <= through:
            self._drop()

    def _drop(self) -> None:
        _, app, tag, cost = self.rows.popleft()
        self._count(app, tag, -cost)

    def _count(self, app: str, tag: str, cost: Decimal) -> None:
        for key in (("all", ""), ("app", app), ("tag", tag)):
            left = self.sums.get(key, ZERO) + cost
            if left:
                self.sums[key] = left
            else:
                self.sums.pop(key, None)


class TodaysCost:
    """One worker's knowledge of what was spent today. `add` and `lookup` belong to the event
    loop's thread; neither waits for anything."""

    def __init__(
        self,
        wanted: Callable[[], bool],
        waiting: Callable[[], int],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``wanted``: whether anybody asks at present. ``waiting``: rows of this worker that
        are recorded and not stored (`Ledger.pending`)."""
        self._wanted = wanted
        self._waiting = waiting
        self._now = now
        self._finished = 0
        self._own = Own()
        self._news = self._known = Stored(0, 0, {})
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def start(self) -> None:
        """Ask once, then keep asking in a thread."""
        self.refresh()
        connection.close()  # the calling thread's own
        self._thread = threading.Thread(target=self._run, name="today", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def add(self, row: UsageRow) -> None:
        """A request was finished. Call it right after its row was recorded in the ledger."""
        self._finished += 1
        if row.cost is None or not self._wanted():
            return
        self._catch_up()
        day = int(row.created_at // DAY)
        if day > self._own.day:
            self._own = Own(day)
        if day == self._own.day:
            self._own.add(self._finished, row.source_app, row.feature_tag, Decimal(row.cost))

    def lookup(self, kind: str, name: str = "") -> Decimal:
        """US dollars of known cost since midnight UTC: of an ``app``, a ``tag`` or ``all``."""
        known = self._catch_up()
        today = int(self._now() // DAY)
        key = (kind, name)
        found = known.sums.get(key, ZERO) if known.day == today else ZERO
        return found + self._own.sums.get(key, ZERO) if self._own.day == today else found

    def _catch_up(self) -> Stored:
        """Take in what the thread has read since."""
        news = self._news
        if news is not self._known:
            self._known = news
            self._own.stored(news.through)
        return news

    def refresh(self) -> None:
        """Ask the database, if anybody wants to know. Its errors are logged, once."""
        if not self._wanted():
            return
        # In this order: a row that is stored in between counts twice until the next time,
        # never not at all.
        finished = self._finished
        through = finished - self._waiting()
        day = int(self._now() // DAY)
        try:
            self._news = Stored(day, through, sums_of_day(day))
        except Error as exc:  # InterfaceError is no DatabaseError
            connection.close()
            if not self._failing:
                reason = " ".join(str(exc).split())
                logger.error("what was spent today cannot be read, the last sums stay: %s", reason)
            self._failing = True
        else:
            self._failing = False

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            try:
                self.refresh()
            except Exception:  # a fault in here must not end the thread
                logger.exception("Reading what was spent today hit an unexpected error")
        connection.close()


def sums_of_day(day: int) -> dict[Key, Decimal]:
    """What all requests of a day (days since the epoch, UTC) cost, from the hourly rollups.

    Raises:
        Error: the database's.
    """
    start = datetime.fromtimestamp(day * DAY, UTC)
    groups = (
        UsageRollup.objects.filter(
            bucket_seconds=HOUR, bucket_start__gte=start, bucket_start__lt=start + timedelta(days=1)
        )
        .order_by()
        .values_list("source_app", "feature_tag")
        .annotate(Sum("cost"))
    )
    sums: dict[Key, Decimal] = {}
    for app, tag, cost in groups:
        amount = Decimal(cost or 0).quantize(STEP)
        for key in (("all", ""), ("app", app or ""), ("tag", tag or "")):
            sums[key] = sums.get(key, ZERO) + amount
    return sums
