"""Jobs that must run once, however many workers and machines there are.

Domains `register` a `Task`. A `JobRunner` in each process that may run jobs looks at their
rows (``tw_job``) and claims what is due with one conditional update, so exactly one runner has
a job at a time. A claim ends by itself: a runner that dies gives its job up when
``claimed_until`` has passed. A job that takes long asks `Turn.go_on` between its steps, which
moves that moment on and says whether the job is still its own.

How it fails: an error in a job is logged, recorded as its outcome, and the job comes again
after a minute, then later and later, at most after its usual time. A runner that was held up
for longer than its claim lives may go on with one step while another runner has begun: each
step of a job must be right by itself, whoever does it. While the database is away nothing
runs; it is logged once. Clocks of machines may differ by less than a claim's life.
"""

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import Error, close_old_connections, connection
from django.db.models import Q

from tokenwatch.models import Job

LIFE = timedelta(minutes=2)
"""How long a claim lives that nobody renews."""
RETRY = timedelta(minutes=1)
"""After a job's first failure; doubled with each further one."""
SHORTEST_LOOK, LONGEST_LOOK = 0.5, 10.0
"""Seconds between two looks at what is due."""

logger = logging.getLogger("tokenwatch.jobs")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class BusyError(Exception):
    """Another process has the job now."""


@dataclass(frozen=True, slots=True)
class Task:
    """A job by name, how often it runs, and what it does.

    ``run`` gets its `Turn` and returns its outcome as one line for people.
    """

    name: str
    every: timedelta
    run: Callable[["Turn"], str]


_registered: dict[str, Task] = {}


def register(task: Task) -> None:
    """Have a task run by every `JobRunner`; call it in ``AppConfig.ready``."""
    _registered[task.name] = task


def registered() -> list[Task]:
    return list(_registered.values())


class Turn:
    """One run of a job: its claim, and whether to go on."""

    def __init__(self, name: str, *, stop: threading.Event, clock: Clock = utc_now) -> None:
        self.name = name
        self.owner = f"{socket.gethostname()[:50]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self.stopped = False
        """Whether `go_on` has said no."""
        self._stop = stop
        self._clock = clock
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    @property
    def now(self) -> datetime:
        return self._clock()

    def claim(self, *, due_only: bool) -> bool:
        """Take the job; False where another runner has it or, with ``due_only``, it is not due."""
        now = self._clock()
        free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
        found = Job.objects.filter(free, pk=self.name)
        if due_only:
            found = found.filter(due_at__lte=now)
        claimed = found.update(claimed_by=self.owner, claimed_until=now + LIFE)
        self._renew_at = now + LIFE / 3
        return bool(claimed)

    def go_on(self) -> bool:
        """Whether to do the next step: False if the runner stops or the claim was lost."""
        if self._stop.is_set():
            self.stopped = True
        elif not self.stopped and (now := self._clock()) >= self._renew_at:
            mine = Job.objects.filter(pk=self.name, claimed_by=self.owner)
            self.stopped = not mine.update(claimed_until=now + LIFE)
            self._renew_at = now + LIFE / 3
        return not self.stopped

    def pause(self, seconds: float) -> bool:
        """Leave the database to others for a while; then as `go_on`."""
        self._stop.wait(seconds)
        return self.go_on()

    def end(self, outcome: str, due_at: datetime, *, took: float, failed: bool) -> None:
        """Write down how it ended and let go, unless the claim was lost."""
        mine = Job.objects.filter(pk=self.name, claimed_by=self.owner)
        failures = _failures(self.name) + 1 if failed else 0
        mine.update(
            claimed_by="",
            claimed_until=None,
            due_at=due_at,
            last_run_at=self._clock(),
            last_ms=round(took * 1000),
            last_outcome=outcome[:500],
            failures=min(failures, 1000),
        )


class JobRunner:
    """One process's runner: a thread that looks, and one for each job that runs.

    ``start`` and ``stop`` once each; ``tasks`` default to all that are registered.
    """

    def __init__(self, tasks: Iterable[Task] | None = None, *, clock: Clock = utc_now) -> None:
        self._tasks = {task.name: task for task in (registered() if tasks is None else tasks)}
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="jobs", daemon=True)
        self._running: dict[str, threading.Thread] = {}
        self._failing = False

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> bool:
        """Ask all jobs to end after their present step; False if one has not ended in time."""
        self._stop.set()
        deadline = time.monotonic() + timeout
        threads = [thread for thread in (self._thread, *self._running.values()) if thread.ident]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _look(self) -> None:
        while not self._stop.is_set():
            pause = LONGEST_LOOK
            try:
                close_old_connections()
                pause = self.start_due()
                self._failing = False
            except Error as exc:
                if not self._failing:
                    logger.error("Jobs wait for the database: %s", " ".join(str(exc).split()))
                self._failing = True
            except Exception:  # a fault in here must not end the thread
                logger.exception("The jobs' runner hit an unexpected error")
            finally:
                connection.close()
            self._stop.wait(pause)

    def start_due(self) -> float:
        """Start what is due and free; the seconds until something may be."""
        now = self._clock()
        busy = {name for name, thread in self._running.items() if thread.is_alive()}
        known = {job.name: job for job in Job.objects.filter(pk__in=list(self._tasks))}
        next_look = now + timedelta(seconds=LONGEST_LOOK)
        for name, task in self._tasks.items():
            job = known.get(name) or _created(name, now)
            due = max(job.due_at, job.claimed_until or job.due_at)
            if name in busy:
                continue
            if due > now:
                next_look = min(next_look, due)
                continue
            turn = Turn(name, stop=self._stop, clock=self._clock)
            if turn.claim(due_only=True):
                thread = threading.Thread(
                    target=_run_and_close, args=(task, turn), name=f"job {name}", daemon=True
                )
                self._running[name] = thread
                thread.start()
        return max(SHORTEST_LOOK, (next_look - now).total_seconds())


def run(task: Task, turn: Turn) -> str:
    """Run a job that ``turn`` has claimed, and record how it ended; its outcome."""
    began = time.monotonic()
    failed = False
    try:
        outcome = task.run(turn)
    except Exception as exc:  # whatever a job does must not end the runner
        if isinstance(exc, Error):
            connection.close()  # it may be what broke
        failed = True
        outcome = f"failed: {' '.join(str(exc).split()) or type(exc).__name__}"
        logger.exception("The job %s failed", task.name)
    took = time.monotonic() - began
    with _noted(task.name):
        due_at = _next(task, turn, failed=failed)
        turn.end(outcome, due_at, took=took, failed=failed)
    return outcome


@contextlib.contextmanager
def claimed(name: str) -> Iterator[Turn]:
    """Hold a job while the block lasts, as a command does that works by hand.

    Raises:
        BusyError: another process has it.
    """
    turn = Turn(name, stop=threading.Event())
    _created(name, turn.now)
    if not turn.claim(due_only=False):
        raise BusyError(name)
    try:
        yield turn
    finally:
        Job.objects.filter(pk=name, claimed_by=turn.owner).update(claimed_by="", claimed_until=None)


def _run_and_close(task: Task, turn: Turn) -> None:
    try:
        run(task, turn)
    finally:
        connection.close()


def _next(task: Task, turn: Turn, *, failed: bool) -> datetime:
    now = turn.now
    if failed:
        return now + min(task.every, RETRY * 2 ** min(_failures(task.name), 16))
    return now if turn.stopped else now + task.every


def _failures(name: str) -> int:
    return Job.objects.filter(pk=name).values_list("failures", flat=True).first() or 0


def _created(name: str, now: datetime) -> Job:
    """The job's row; a new one is due at once."""
    return Job.objects.get_or_create(pk=name, defaults={"due_at": now})[0]


@contextlib.contextmanager
def _noted(name: str) -> Iterator[None]:
    """An outcome that cannot be written down is the database's failure, not the job's."""
    try:
        yield
    except Error as exc:
        logger.error("How the job %s ended was not recorded: %s", name, exc)
