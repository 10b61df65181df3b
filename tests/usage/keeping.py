"""A worker's ledger and the storing process's thread, both in this process."""

from pathlib import Path

from usage.ledger import Ledger
from usage.presence import take_lock
from usage.spool import Spool
from usage.storing import RowStorer


class KeptLedger(Ledger):
    """A ledger that brings its own storer where no other is at work, and ends it at its end."""

    def __init__(self, directory: Path, *, spool: Spool | None = None) -> None:
        super().__init__(directory, spool=spool)
        self.directory = directory
        self.storer: RowStorer | None = None

    def start(self) -> None:
        if lock := take_lock(self.directory):
            self.storer = RowStorer(self.directory, lock)
            self.storer.start()

    def stop(self, timeout: float) -> bool:
        if self.storer is None:
            timeout = min(timeout, 0.0)  # nobody stores anything
        stored = super().stop(timeout)
        if self.storer is not None:
            self.storer.stop()
        return stored
