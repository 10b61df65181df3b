"""A real TokenWatch in a process of its own, that can be killed; and its spool's files."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from demo.instance import Instance
from tests.faults.waiting import until
from tokenwatch import running
from usage.meters import CODE, PROCESS, Meter
from usage.presence import NAME
from usage.segments import lock_path

PATIENCE = 40.0

_SEGMENT = re.compile(r"(\d+)-[0-9a-f]{8}-\d{8,}\.jsonl")
_LOCK = re.compile(r"(\d+)-[0-9a-f]{8}\.lock")


class Child(Instance):
    """`manage.py start` while the block lasts; `kill` ends it at once.

    Another one with the same directory is the next start of the same installation.
    """

    def __init__(
        self,
        data_dir: Path,
        upstream: str,
        *,
        workers: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data_dir, upstream, settings=settings, stdout=subprocess.DEVNULL)
        self._start += ["--workers", str(workers)]

    def __enter__(self) -> "Child":
        super().__enter__()
        return self

    def migrate(self) -> None:
        self.manage("migrate", "--no-input", "--verbosity", "0")

    def kill(self) -> None:
        """SIGKILL, to the process that serves where there is but one worker."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """SIGTERM, as a service manager stops it."""
        self._process.terminate()

    def ended(self) -> int:
        """Wait for its end; the exit status."""
        return self._process.wait(PATIENCE)

    def health(self) -> dict[str, object]:
        """What ``/health`` says, once it answers."""
        found: list[dict[str, object]] = []

        def answers() -> bool:
            report = running.health(self.run)
            found.extend([] if report is None else [report])
            return bool(found)

        until(answers, lambda: "no answer from /health", PATIENCE)
        return found[0]

    # The spool's files

    @property
    def spool_files(self) -> list[str]:
        return sorted(path.name for path in (self.data_dir / "spool").iterdir())

    def workers(self) -> list[int]:
        """The processes that hold a spool and are alive."""
        named = [_LOCK.fullmatch(name) for name in self.spool_files]
        return [int(match[1]) for match in named if match and running.is_alive(int(match[1]))]

    def background(self) -> int:
        """The process that stores the rows, once it is there."""
        found: list[int] = []

        def there() -> bool:
            counts = Meter.read(lock_path(self.data_dir / "spool", NAME))
            found.extend([counts[PROCESS]] if counts and counts[PROCESS] else [])
            return bool(found)

        until(there, lambda: "no background process", PATIENCE)
        return found[0]

    def age_background(self) -> None:
        """Have the background process seem to run older code than the workers."""
        with open(lock_path(self.data_dir / "spool", NAME), "r+b") as file:
            file.seek(8 * CODE)
            file.write(b"\1" + bytes(7))

    def waiting_bytes(self, pid: int) -> int:
        """The size of a worker's segments."""
        sizes = [
            (self.data_dir / "spool" / name).stat().st_size
            for name in self.spool_files
            if name.startswith(f"{pid}-") and _SEGMENT.fullmatch(name)
        ]
        return sum(sizes)

    def orphans(self) -> list[str]:
        """Segments whose worker is gone: rows that nobody has stored yet."""
        found = []
        for name in self.spool_files:
            match = _SEGMENT.fullmatch(name)
            if match and not running.is_alive(int(match[1])):
                found.append(name)
        return found

    def settle(self) -> None:
        """Wait until everything that was recorded, by whichever worker, is in the database."""

        def state() -> str:
            return f"depth {self.spool_depth()}, orphans {self.orphans()}"

        # In this order: orphans that are adopted count in the depth of who adopted them.
        until(lambda: not self.orphans() and self.spool_depth() == 0, state, PATIENCE)


def kill_worker(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not running.is_alive(pid) or is_zombie(pid), lambda: f"{pid} lives", PATIENCE)


def is_zombie(pid: int) -> bool:
    """Dead, and not yet collected by its parent (Linux)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"
