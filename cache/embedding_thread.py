"""The thread that embeds and searches, so that the event loop does neither.

Look-ups go before everything else, in batches of what has come in meanwhile; adding and
forgetting wait until no look-up does. Both queues are bounded. How it fails: `submit` says
False where a queue is full; a handler that raises is logged and the thread goes on.

The thread is made at the first use, after the worker has forked. A process that was forked
from one that used it starts with a thread and with queues of its own.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

MAX_BATCH = 16
MOST_URGENT = 64
MOST_LATER = 1024

logger = logging.getLogger("tokenwatch.cache")

Urgent = TypeVar("Urgent")
Later = TypeVar("Later")
Job = TypeVar("Job")


class EmbeddingThread(Generic[Urgent, Later]):
    """Two bounded queues and the daemon thread that empties them.

    ``serve`` and ``work`` get batches of jobs, in the thread, and must not raise.
    """

    def __init__(
        self,
        serve: Callable[[list[Urgent]], None],
        work: Callable[[list[Later]], None],
        *,
        most_urgent: int = MOST_URGENT,
        most_later: int = MOST_LATER,
    ) -> None:
        self._serve = serve
        self._work = work
        self._most_urgent = most_urgent
        self._most_later = most_later
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._urgent: deque[Urgent] = deque()
        self._later: deque[Later] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._stopping = False

    def submit(self, job: Urgent) -> bool:
        """Queue a look-up; False where too many wait already. Never blocks for long."""
        self._begin_after_fork()
        return self._put(self._urgent, job, self._most_urgent)

    def submit_later(self, job: Later) -> bool:
        """Queue what nobody waits for; False where too much of it waits already."""
        self._begin_after_fork()
        return self._put(self._later, job, self._most_later)

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is queued and nothing runs; False on a time-out."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._urgent or self._later or self._busy), timeout
            )

    def stop(self, timeout: float) -> None:
        """End the thread after what it is at; what is queued is dropped."""
        with self._changed:
            self._stopping = True
            self._urgent.clear()
            self._later.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _begin_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._begin()

    def _put(self, queue: "deque[Job]", job: Job, most: int) -> bool:
        with self._changed:
            if self._stopping or len(queue) >= most:
                return False
            queue.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="embedding", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._urgent or self._later or self._stopping)
                if self._stopping:
                    return
                self._busy = True
                urgent = [self._urgent.popleft() for _ in range(_size(self._urgent))]
                size = 0 if urgent else _size(self._later)
                later = [self._later.popleft() for _ in range(size)]
            try:
                if urgent:
                    self._serve(urgent)
                else:
                    self._work(later)
            except Exception:
                # Whatever a model or a driver raises: without this thread there is no cache.
                logger.exception("The semantic cache's thread met an error")


def _size(queue: "deque[Job]") -> int:
    return min(len(queue), MAX_BATCH)
