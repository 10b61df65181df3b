"""The background process: one for each data directory, whatever the number of workers.

It stores the rows that workers have spooled, tells webhooks, and runs what is due of the jobs
that the whole fleet does once, so that none of that takes the interpreter from a worker's event
loop. The first worker starts it (`Keeper`); whoever finds it gone starts it again. It ends when
the last worker has ended and its rows are stored, or cannot be stored at present: then they
wait for the next start.

Signals for the whole service do not end it: it outlasts the workers, whose last rows it waits
for. A worker with newer code (a rolling restart) ends it, by SIGUSR1, and starts its successor.
Killed, it leaves nothing half done.

    python -m tokenwatch.background
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tokenwatch.conf import BASE_DIR, config
from usage.presence import is_running, older_than, take_lock
from usage.segments import WorkerLock

NICE = 10
"""Behind the workers where both want the same core; still a tenth of it, which is enough for as
many rows as a worker on the rest can answer."""
SPAWN_EVERY = 5.0

logger = logging.getLogger("tokenwatch.background")


def main() -> int:
    """Run until the last worker has ended; at once where another process is at work already."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    lock = take_lock(config.spool_dir)
    if lock is None:
        return 0
    with contextlib.suppress(OSError):
        os.nice(NICE)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenwatch.settings")
    import django

    django.setup()
    run(lock)
    return 0


def run(lock: WorkerLock) -> None:
    """Everything that is done in the background, until the last worker has ended."""
    from budgets.webhooks import WebhookSender
    from tokenwatch.jobs import JobRunner
    from usage.storing import RowStorer

    rows = RowStorer(config.spool_dir, lock, code=age_of_code())
    signal.signal(signal.SIGUSR1, lambda *_: rows.end())
    jobs = JobRunner()
    webhooks = WebhookSender(allow_private=config.allow_private_webhooks)
    rows.start()
    jobs.start()
    if config.budget_enabled:
        webhooks.start()
    rows.wait_for_the_last_worker()
    jobs.stop()
    webhooks.stop()


def age_of_code() -> int:
    """When the newest of our modules was written, in nanoseconds since the epoch."""
    packages = {path.parent for path in BASE_DIR.glob("*/__init__.py")}
    return max(file.stat().st_mtime_ns for one in packages for file in one.rglob("*.py"))


class Keeper:
    """A worker's part: sees that the background process is there."""

    def __init__(self, spool_dir: Path) -> None:
        self._spool_dir = spool_dir
        self._process: subprocess.Popen[bytes] | None = None
        self._next_spawn = 0.0
        self._code = age_of_code()

    def check(self) -> None:
        """Start it where it is not; call it once a second, in a thread."""
        if (outdated := older_than(self._spool_dir, self._code)) is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(outdated, signal.SIGUSR1)
        if self._process is not None and self._process.poll() is None:
            return
        now = time.monotonic()
        if now < self._next_spawn or is_running(self._spool_dir):
            return
        if self._process is not None:
            logger.warning("The background process ended (%s)", self._process.returncode)
        self._next_spawn = now + SPAWN_EVERY
        path = os.pathsep.join(filter(None, (str(BASE_DIR), os.environ.get("PYTHONPATH"))))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tokenwatch.background"],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the workers, whose rows it waits for
            )
        except OSError as exc:
            logger.error("The background process cannot be started; rows wait: %s", exc)


if __name__ == "__main__":
    sys.exit(main())
