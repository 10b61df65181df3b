"""A TokenWatch of its own in a child process, for the demo and the benchmark.

Nothing of the developer's configuration reaches it: neither ``.env`` nor ``TOKENWATCH_*``
variables, so that fake traffic never lands in a real database. A start that fails raises
`InstanceError`; leaving the block stops the child whatever happened, at first kindly.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tokenwatch import running

BASE_DIR = Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 40
POLL_SECONDS = 0.1


class InstanceError(Exception):
    """TokenWatch did not start, or did not reach a state in time."""


@contextmanager
def pinned_to(cores: set[int] | None) -> Iterator[None]:
    """Processes that this thread starts in the block run on these cores only (Linux)."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Instance:
    """`manage.py` with one environment, and `manage.py start` while the block lasts.

    Port 0 takes a free one; `run` tells which after the start. ``settings`` are
    ``TOKENWATCH_*`` variables without the prefix. ``affinity`` pins the child, its threads
    and its workers to these cores.
    """

    def __init__(
        self,
        data_dir: Path,
        upstream: str,
        *,
        host: str = "127.0.0.1",
        proxy_port: int = 0,
        dashboard_port: int = 0,
        settings: Mapping[str, str] | None = None,
        affinity: set[int] | None = None,
        stdout: IO[Any] | int | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.run: running.Run
        self._start = ["start", "--host", host, "--proxy-port", str(proxy_port)]
        self._start += ["--dashboard-port", str(dashboard_port)]
        self._affinity = affinity
        self._stdout = stdout
        self._process: subprocess.Popen[bytes]
        own = {
            "DATA_DIR": str(data_dir),
            "ENV_FILE": "",
            "HOST": host,
            "PROXY_PORT": str(proxy_port),
            "DASHBOARD_PORT": str(dashboard_port),
            "OPENAI_URL": upstream,
            "ANTHROPIC_URL": upstream,
            **(settings or {}),
        }
        inherited = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith("TOKENWATCH_") and k != "DJANGO_SETTINGS_MODULE"
        }
        self.environment = inherited | {f"TOKENWATCH_{k}": v for k, v in own.items()}

    def manage(self, *arguments: str) -> None:
        """Run one command to its end; what it prints goes where ours goes.

        Raises:
            InstanceError: it failed; its own message stands above.
        """
        done = subprocess.run(self._command(*arguments), cwd=BASE_DIR, env=self.environment)
        if done.returncode:
            raise InstanceError(f"manage.py {arguments[0]} ended with {done.returncode}")

    def run_module(self, *arguments: str) -> None:
        """Run ``python -m`` in the instance's environment.

        Raises:
            InstanceError: it failed; its own message stands above.
        """
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=BASE_DIR, env=self.environment
        )
        if done.returncode:
            raise InstanceError(f"{arguments[0]} ended with {done.returncode}")

    def __enter__(self) -> "Instance":
        with pinned_to(self._affinity):
            self._process = subprocess.Popen(
                self._command(*self._start),
                cwd=BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                # Ctrl-C is ours to take: the child is stopped in order, after the traffic.
                start_new_session=True,
            )
        try:
            self.run = self._await_start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def spool_depth(self) -> int | None:
        """Rows that wait for the database; None where the proxy does not answer."""
        report = running.health(self.run)
        return None if report is None else int(report["spool_depth"])

    def drain(self, seconds: float) -> None:
        """Wait until every row is in the database.

        Raises:
            InstanceError: rows are still waiting after ``seconds``.
        """
        self._await(lambda: self.spool_depth() == 0, seconds, "rows still wait in the spool")

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "manage.py", *arguments]

    def _await_start(self) -> running.Run:
        self._await(self._answers, START_SECONDS, "TokenWatch does not answer")
        run = self._own_run()
        assert run is not None
        return run

    def _own_run(self) -> running.Run | None:
        """What this child wrote down; a run file left by an earlier one does not count."""
        run = running.read(self.data_dir / "run.json")
        return run if run is not None and run.pid == self._process.pid else None

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise InstanceError(f"manage.py start ended with {self._process.returncode}")
        run = self._own_run()
        return run is not None and running.health(run) is not None

    def _await(self, reached: Callable[[], bool], seconds: float, failure: str) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                raise InstanceError(f"{failure} after {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
