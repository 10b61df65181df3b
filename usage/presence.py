"""Whether a process stores the rows of this data directory, and how it does. No Django.

The storing process holds a lock in the spool's directory and keeps a meter in its file.
"""

import time
from pathlib import Path

from usage.meters import BEAT, CODE, HEALTHY, PROCESS, Meter
from usage.segments import WorkerLock, lock_path

NAME = "writer"
TAKES, TAKE_PAUSE = 3, 0.02


def take_lock(directory: Path) -> WorkerLock | None:
    """The right to store what is in this directory; None where another process has it.

    Raises:
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for _ in range(TAKES):
        if lock := WorkerLock.take(directory, NAME):
            return lock
        time.sleep(TAKE_PAUSE)  # somebody may only have looked whether it is held
    return None


def is_running(directory: Path) -> bool:
    """Whether some process stores what is in this directory."""
    if not lock_path(directory, NAME).exists():
        return False
    lock = WorkerLock.take(directory, NAME)
    if lock is None:
        return True
    lock.release(remove=True)
    return False


def is_done_with(directory: Path, worker: str) -> bool:
    """Whether a worker's files are removed; and, where it was the last, the storing process has
    ended: the next start then brings its own."""
    locks = {path.name for path in directory.glob("*.lock")}
    return f"{worker}.lock" not in locks and locks != {f"{NAME}.lock"}


def older_than(directory: Path, code: int) -> int | None:
    """The storing process's id where its code is older than this; else None."""
    counts = Meter.read(lock_path(directory, NAME))
    if counts is None or not counts[PROCESS] or counts[CODE] >= code:
        return None
    return counts[PROCESS]


def health(directory: Path) -> tuple[bool, int]:
    """Whether the database took the last rows, and when that was known, in seconds since the
    epoch; healthy at 0 where nobody has stored anything yet."""
    counts = Meter.read(lock_path(directory, NAME))
    if counts is None or not counts[BEAT]:
        return True, 0
    return bool(counts[HEALTHY]), counts[BEAT]
