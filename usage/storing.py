"""Stores what the workers have spooled: one thread, in one process for each data directory.

Not in the workers: there it would take the interpreter from the event loop for milliseconds
at a time. How it fails: while the database is away, rows wait in the spool and are tried
again with a growing pause. Where this process dies, another takes its place and goes on from
what the meters say (`usage.backlog`); rows whose fate is uncertain are looked up first.
"""

import logging
import os
import threading
import time
from pathlib import Path

from django.db import close_old_connections, connection

from usage import writer
from usage.backlog import Backlog
from usage.drain import Drain
from usage.meters import BEAT, CODE, HEALTHY, PROCESS
from usage.segments import WorkerLock
from usage.writer import DatabaseUnavailableError

TICK = 0.2
"""Seconds between two looks at the spool, and the first pause after a failure."""
LONGEST_PAUSE = 5.0
CHORES_EVERY = 5.0
LAST_LOOK = 3.0

logger = logging.getLogger("tokenwatch.ledger")


class RowStorer:
    """The thread that stores rows. It owns the lock and gives it up at its end."""

    def __init__(self, directory: Path, lock: WorkerLock, *, code: int = 0) -> None:
        self._backlog = Backlog(directory)
        self._drain = Drain(self._backlog, writer.insert)
        self._lock = lock
        self._counts = lock.meter().counts
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pause = TICK
        self._failing_since: float | None = None
        self._next_chores = 0.0
        self._counts[PROCESS], self._counts[CODE] = os.getpid(), code
        self._beat(ok=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Have the thread end after the batch that it is at."""
        self._stopping.set()
        self._wake.set()

    def stop(self, timeout: float = LAST_LOOK) -> None:
        """End the thread and wait for it."""
        self.end()
        self._thread.join(timeout)

    def wait_for_the_last_worker(self) -> None:
        """Return when no worker is left whose rows could be stored now or later."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._step():
                    continue
                if self._is_over():
                    return
                self._wake.wait(self._pause)
        finally:
            self._backlog.close()
            self._lock.release(remove=True)
            connection.close()

    def _is_over(self) -> bool:
        """No worker is left, and no row that could be stored at present."""
        backlog = self._backlog
        return not backlog.has_living and (self._failing_since is not None or not backlog.depth)

    def _step(self) -> bool:
        """One round. Returns whether to go on at once: there is more, and nothing failed."""
        try:
            self._chores()
            more = self._drain.round(self._stopping.is_set)
        except (DatabaseUnavailableError, OSError) as exc:
            self._failed(exc)
            return False
        except Exception as exc:
            # A fault in here must not end the thread: rows stay in the spool, and it goes on
            # as after an outage.
            logger.exception("The ledger's thread hit an unexpected error")
            self._failed(exc)
            return False
        self._succeeded()
        return more

    def _chores(self) -> None:
        """A round with nothing to store proves nothing: ask the database now and then."""
        now = time.monotonic()
        if self._failing_since is None and now < self._next_chores:
            return
        self._next_chores = now + CHORES_EVERY
        close_old_connections()
        if self._backlog.depth == 0:
            writer.probe()

    def _beat(self, *, ok: bool) -> None:
        self._counts[HEALTHY], self._counts[BEAT] = ok, int(time.time())

    def _failed(self, exc: Exception) -> None:
        self._beat(ok=False)
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            self._pause = TICK
            logger.error("Rows wait in the spool, as they cannot be stored: %s", exc)
        else:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _succeeded(self) -> None:
        self._beat(ok=True)
        if self._failing_since is not None:
            away = time.monotonic() - self._failing_since
            self._failing_since = None
            logger.warning(
                "Rows are stored again after %.0f s; %d are waiting", away, self._backlog.depth
            )
        self._pause = TICK
