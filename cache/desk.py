"""One worker's cache: answers at hand, what the database has, and the thread between the two.

A look-up in memory is all that most requests cost. The keys of all stored entries are known to
each worker (a set of hashes, brought up to date every second by id), so that the database is
asked only for what it has. Entries are written in batches after their clients have their
answers.

How it fails: as a miss, and nothing here raises to a request. While the database is away,
what is in memory is served, and entries wait to be written, in a queue bounded in bytes; what
does not fit is dropped, counted and logged. A look-up in the database has a time budget; one
that is late is a miss, counted and logged. What another worker stored is found, and what was
cleared is gone, within about a second.
"""

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.db import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    close_old_connections,
    connection,
)

from cache import store
from cache.entry import Entry
from cache.flights import Flight
from cache.memory import Memory
from cache.semantic import SemanticTier
from cache.store import Clearing

QUEUED_BYTES = 64 * 1024 * 1024
BATCH = 200
TICK = 0.2
REST = 30.0
"""After a batch, so many times its own time for the event loop: writing takes no more than a
thirtieth of the interpreter. What comes faster waits, and is dropped where there is no room."""
LONGEST_PAUSE = 5.0
REFRESH_EVERY = 1.0
TOUCH_EVERY = 2.0
READERS = 2
"""Threads for look-ups in the database."""
OVERLAP = 1000
"""Ids that are read again: a transaction that commits late has lower ones."""
MOST_KNOWN = 2 * store.MOST_ENTRIES
LOG_EVERY = 60.0

logger = logging.getLogger("tokenwatch.cache")

Load = Callable[[str, float], Entry | None]


class CacheDesk:
    """Make it in the worker, after any fork. All but the thread is the event loop's."""

    def __init__(
        self,
        *,
        answer_bytes: int,
        timeout: float,
        tier: SemanticTier | None = None,
        serves: bool = True,
    ) -> None:
        """``answer_bytes`` bounds what is kept in memory; ``timeout`` is in seconds; a cache that
        does not serve only says what it would have served."""
        self.serves = serves
        self.memory = Memory(answer_bytes)
        self.tier = tier
        self.timeout = timeout
        self.flights: dict[tuple[str, bytes], Flight[Any]] = {}
        self.counts: Counter[str] = Counter()
        self._known: set[int] = set()
        self._last_id = 0
        self._last_clearing = 0
        self._clearings: list[tuple[float, Clearing]] = []
        self._queue: deque[Entry] = deque()
        self._bytes_in = self._bytes_out = 0
        self._used: dict[str, tuple[int, float]] = {}
        self._loading: dict[str, asyncio.Future[Entry | None]] = {}
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cache-read")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._idle = threading.Condition()
        self._busy = False
        self._failing = False
        self._pause = TICK
        self._rest = 0.0
        self._hurry = False
        self._next: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="cache", daemon=True)

    # --- The event loop ------------------------------------------------------------------

    def get(self, key: str, now: float) -> Entry | None:
        """What is at hand of a key."""
        return self.memory.get(key, now)

    def knows(self, key: str) -> bool:
        """Whether the database may have an entry of this key."""
        return _short(key) in self._known

    async def load(self, key: str, now: float) -> Entry | None:
        """The database's entry of a key, within the time budget."""
        entry = await self._ask(key, store.by_key, now)
        if entry is None and key not in self._loading:
            self._known.discard(_short(key))
        return entry

    async def load_id(self, request_id: str, now: float, deadline: float) -> Entry | None:
        """An entry by its request, by a deadline (`time.monotonic`)."""
        if (entry := self.memory.find(request_id, now)) is not None:
            return entry
        return await self._ask(request_id, store.by_id, now, deadline - time.monotonic())

    async def _ask(
        self, key: str, load: Load, now: float, seconds: float | None = None
    ) -> Entry | None:
        """Ask the database in a thread; requests for the same wait for one question."""
        future = self._loading.get(key)
        if future is None:
            loop = self._loop = asyncio.get_running_loop()
            try:
                future = loop.run_in_executor(self._readers, _read, load, key, now)
            except RuntimeError:  # the worker stops
                return None
            self._loading[key] = future
            future.add_done_callback(lambda done: self._loaded(key, done))
        try:
            async with asyncio.timeout(self.timeout if seconds is None else max(seconds, 0)):
                entry = await asyncio.shield(future)
        except TimeoutError:
            self.counts["timeout"] += 1
            self._log("timeout", "A look-up in the database was not done in time: a miss")
            return None
        except Error as exc:
            self.counts["error"] += 1
            self._log("error", f"A look-up in the database failed: a miss: {exc}")
            return None
        return entry if entry is not None and not self._is_cleared(entry) else None

    def _loaded(self, key: str, done: "asyncio.Future[Entry | None]") -> None:
        self._loading.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        entry = done.result()
        if entry is not None and not self._is_cleared(entry):
            self.memory.put(entry)  # for the next, even where it was late for this one

    def put(self, entry: Entry) -> None:
        """Keep an answer: at hand now, in the database soon."""
        if self._is_cleared(entry):
            return
        self.memory.put(entry)
        if self._bytes_in - self._bytes_out + entry.size > QUEUED_BYTES:
            self.counts["dropped"] += 1
            self._log("dropped", "Answers are not stored: more come than can be written")
            return
        # Without a lock: a deque's ends may be used from two threads, and each of the two
        # counters has one writer.
        self._bytes_in += entry.size
        self._queue.append(entry)

    def used(self, entry: Entry, now: float) -> None:
        """Note that an entry was served."""
        with self._idle:
            count, _ = self._used.get(entry.request_id, (0, 0.0))
            self._used[entry.request_id] = (count + 1, now)

    def forget(self, entry_id: str) -> None:
        """Its answer is gone: similar prompts need not find it any more."""
        if self.tier is not None:
            self.tier.forget([entry_id])

    def _is_cleared(self, entry: Entry) -> bool:
        cleared = self._clearings
        return bool(cleared) and any(clearing.covers(entry) for _, clearing in cleared)

    # --- Its life ------------------------------------------------------------------------

    async def start(self) -> None:
        """Learn what is stored, then keep looking."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._first)
        self._thread.start()
        if self.tier is not None:
            self.tier.start()

    def stop(self, timeout: float) -> None:
        """Write what is queued and end the threads. Call it off the event loop."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._readers.shutdown(wait=False, cancel_futures=True)
        if self._queue:
            logger.error("%d answers are not stored: the process ends", len(self._queue))
        if self.tier is not None:
            self.tier.stop()

    def flush(self, timeout: float) -> bool:
        """Wait until everything is written that was put; False on a time-out (seconds)."""
        self._hurry = True
        self._wake.set()
        try:
            with self._idle:
                return self._idle.wait_for(
                    lambda: not (self._queue or self._used or self._busy), timeout
                )
        finally:
            self._hurry = False

    # --- The thread ----------------------------------------------------------------------

    def _first(self) -> None:
        try:
            self._last_clearing = store.last_clearing()
            self._refresh()
        except Error as exc:
            self._failed(exc)
        finally:
            connection.close()

    def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                more = self._step(hurry=self._hurry or self._stopping.is_set())
                if self._stopping.is_set() and (not more or self._failing):
                    break
                if not (more and (self._hurry or self._stopping.is_set())):
                    self._wake.wait(max(self._pause, self._rest))
        finally:
            connection.close()

    def _step(self, *, hurry: bool) -> bool:
        """One round. Returns whether to go on at once."""
        batch = self._take()
        began = time.thread_time()
        try:
            close_old_connections()
            if batch or self._due("refresh", REFRESH_EVERY):
                self._read_clearings()
            self._write(batch)
            if self._due("keys", REFRESH_EVERY):
                self._refresh()
            if hurry or self._due("touch", TOUCH_EVERY):
                self._touch()
            close_old_connections()
        except Error as exc:
            if not _is_refusal(exc):
                self._give_back(batch)
                self._failed(exc)
                return False
            self.counts["dropped"] += len(batch)  # what is refused once is refused again
            self._log("refused", f"{len(batch)} answers are not stored: {exc}")
        except Exception:  # without this thread nothing is stored any more
            self.counts["dropped"] += len(batch)
            logger.exception("%d answers are not stored", len(batch))
        if self._failing:
            self._failing = False
            logger.warning("The cache's database answers again")
        self._pause = TICK
        self._rest = REST * (time.thread_time() - began)
        with self._idle:
            self._bytes_out += sum(entry.size for entry in batch)
            self._busy = False
            self._idle.notify_all()
        return bool(self._queue)

    def _take(self) -> list[Entry]:
        with self._idle:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            self._busy = bool(batch)
        return batch

    def _give_back(self, batch: list[Entry]) -> None:
        with self._idle:
            self._queue.extendleft(reversed(batch))
            self._busy = False

    def _write(self, batch: list[Entry]) -> None:
        entries = [entry for entry in batch if not self._is_cleared(entry)]
        if not entries:
            return
        store.write(entries, [one.key for one in entries if self.knows(one.key)])
        for entry in entries:
            self._known.add(_short(entry.key))
            if entry.partition and self.tier is not None:
                expires = datetime.fromtimestamp(entry.expires_at, UTC)
                self.tier.add(entry.partition, entry.request_id, entry.prompt, expires)

    def _refresh(self) -> None:
        """Learn the keys that were stored since the last look."""
        if len(self._known) > MOST_KNOWN:  # most of them are gone by now
            self._known, self._last_id = set(), 0
        while rows := store.keys_after(max(0, self._last_id - OVERLAP)):
            self._known.update(_short(key) for _, key in rows)
            newest = rows[-1][0]
            if len(rows) < store.KEYS_READ or newest <= self._last_id:
                self._last_id = max(self._last_id, newest)
                return
            self._last_id = newest

    def _read_clearings(self) -> None:
        now = time.time()
        for number, clearing in store.clearings_after(self._last_clearing):
            self._last_clearing = number
            self._clearings.append((now, clearing))
            if self._loop is not None:
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._drop, clearing)
        if self._clearings:
            least = now - store.CLEARINGS_KEPT.total_seconds()
            self._clearings = [one for one in self._clearings if one[0] > least]

    def _drop(self, clearing: Clearing) -> None:
        self.memory.remove_where(clearing.covers)

    def _touch(self) -> None:
        with self._idle:
            # Of those that are not written yet, nothing could be counted.
            waiting = {entry.request_id for entry in self._queue}
            used = {one: use for one, use in self._used.items() if one not in waiting}
            self._used = {one: use for one, use in self._used.items() if one in waiting}
        try:
            store.touch(used)
        except Error:
            logger.warning("The hits of %d entries are not counted", len(used))
            raise

    def _due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every
        return True

    def _failed(self, exc: Error) -> None:
        if not self._failing:
            logger.error("The cache cannot reach its database: %s", " ".join(str(exc).split()))
            self._failing = True
        else:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        connection.close()

    def _log(self, what: str, message: str) -> None:
        if self._due(f"log {what}", LOG_EVERY):
            logger.warning("%s", message)


def _read(load: Load, key: str, now: float) -> Entry | None:
    """In a reader's thread."""
    close_old_connections()
    try:
        return load(key, now)
    except Error:
        connection.close()
        raise
    finally:
        close_old_connections()


def _is_refusal(exc: Error) -> bool:
    """Whether the database answered and will not have a row. Oracle's driver reports errors of
    content as plain `DatabaseError`."""
    return isinstance(exc, (DataError, IntegrityError)) or type(exc) is DatabaseError


def _short(key: str) -> int:
    """Eight bytes of a key: two that share them cost a question too many, no more."""
    return int(key[:16], 16)
