"""Worker processes that are replaced without a request noticing.

uvicorn's supervisor replaces workers one by one and brings each successor into service first,
but it waits for an old worker's last answer before it goes on, deaf to signals meanwhile; with
answers that take minutes, a restart of eight workers could take an hour. Here old workers
finish side by side while the supervisor goes on with its work.

How it fails: a new worker that is not ready within `START_SECONDS` ends the restart; the old
workers that are left stay in service. An old worker that has not ended long after its drain
timeout is killed; its rows are in its spool and are adopted.
"""

import logging
import signal
import socket
import time

from uvicorn.config import Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

START_SECONDS = 60.0
"""A new worker imports everything anew; on a busy machine that takes a while."""
AFTER_DRAIN = 45.0
"""Seconds past the drain timeout for writing rows, then an old worker counts as hung."""

logger = logging.getLogger("tokenwatch.workers")


class Supervisor(Multiprocess):
    """uvicorn's supervisor with another SIGHUP."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._leaving: list[tuple[Process, float]] = []
        """Old workers and the moments (monotonic) at which they count as hung."""

    def restart_all(self) -> None:
        """Replace each worker: the successor serves before the old one is told to stop."""
        for index, old in enumerate(self.processes):
            new = Process(self.config, self.sockets)
            new.start()
            if not self._ready(new):
                new.kill()
                new.join()
                if not self._told_to_stop():
                    logger.error("A new worker did not start: the restart ends here")
                return
            self.processes[index] = new
            old.terminate()
            patience = (self.config.timeout_graceful_shutdown or 0) + AFTER_DRAIN
            self._leaving.append((old, time.monotonic() + patience))
        logger.info("All %d workers were replaced", len(self.processes))

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        for one in list(self._leaving):
            process, patience = one
            if process.process.is_alive() and time.monotonic() > patience:
                logger.error("The old worker %d hangs and is killed", process.pid)
                process.process.kill()
            elif not process.process.is_alive():
                process.join()
                self._leaving.remove(one)

    def join_all(self) -> None:
        super().join_all()
        for process, _ in self._leaving:
            process.join()

    def _ready(self, process: Process) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and not self._told_to_stop():
            if not process.process.is_alive():
                return False
            if process.is_ready(timeout=1):
                return True
            time.sleep(0.1)
        return False

    def _told_to_stop(self) -> bool:
        """Whether a signal to stop waits to be handled."""
        return self.should_exit.is_set() or bool(
            {signal.SIGTERM, signal.SIGINT} & set(self.signal_queue)
        )
