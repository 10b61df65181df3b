"""From the spool to the database: one round reads a batch from each file and stores it.

How it fails: `DatabaseUnavailableError` leaves everything in the spool, and the next round checks
which rows had been stored after all. A line that is no row, or a row that the database
refuses for its content, goes to ``rejected.jsonl`` and does not hold up the others.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from usage.lines import BadLineError, decode, request_id_of
from usage.rows import UsageRow
from usage.spool import REJECTED, Spool
from usage.writer import BATCH, DatabaseUnavailableError, RowsRefusedError

logger = logging.getLogger("tokenwatch.ledger")


class Insert(Protocol):
    def __call__(self, rows: Sequence[UsageRow], *, check: bool) -> int: ...


Refusal = tuple[UsageRow, RowsRefusedError]


def store(rows: Sequence[UsageRow], insert: Insert, *, check: bool) -> list[Refusal]:
    """Insert rows; halve a refused batch until the refused rows stand alone, and return those.

    Raises:
        DatabaseUnavailableError: some of the rows may be stored; insert them with ``check``.
    """
    try:
        insert(rows, check=check)
    except RowsRefusedError as refused:
        if not check:  # most likely rows that are stored already
            return store(rows, insert, check=True)
        if len(rows) == 1:
            return [(rows[0], refused)]
        middle = len(rows) // 2
        return store(rows[:middle], insert, check=True) + store(rows[middle:], insert, check=True)
    return []


class Drain:
    """Empties a spool through ``insert``. For one thread."""

    def __init__(self, spool: Spool, insert: Insert) -> None:
        self._spool = spool
        self._insert = insert
        self._unsure = False
        """A batch failed with unknown outcome: its rows may be in the table."""

    def round(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Store up to a batch from the memory and from each segment.

        Returns whether more was left behind; no when everything recorded before the call is
        stored. ``stop`` is asked between the batches; a stopped round left something behind.

        Raises:
            DatabaseUnavailableError: the rest waits for a later round.
            OSError: a segment cannot be read.
        """
        appended = self._spool.appended
        kept = self._spool.memory(BATCH)
        if kept:
            self._store(kept, check=self._unsure)
            self._spool.memory_stored()
        more = len(kept) >= BATCH
        for segment in self._spool.segments():
            if stop():
                return True
            batch = segment.read(BATCH)
            if batch.lines:
                # a dead worker's lines may be stored: it may have died before it removed them
                self._store(batch.lines, check=self._unsure or segment.orphan)
            self._spool.advance(segment, batch)
            more = more or not batch.exhausted
        self._unsure = self._unsure and more
        if not more:
            self._spool.settle(appended)
        return more

    def _store(self, lines: Sequence[bytes], *, check: bool) -> None:
        rows: dict[str, UsageRow] = {}
        origin: dict[str, bytes] = {}
        for line in lines:
            try:
                row = decode(line)
            except BadLineError as exc:
                self._reject(line, str(exc))
                continue
            rows[row.request_id] = row
            origin[row.request_id] = line
        if not rows:
            return
        try:
            refusals = store(list(rows.values()), self._insert, check=check)
        except DatabaseUnavailableError:
            self._unsure = True
            raise
        for row, refusal in refusals:
            self._reject(origin[row.request_id], str(refusal))

    def _reject(self, line: bytes, reason: str) -> None:
        try:
            self._spool.reject(line)
            where = f"kept in {self._spool.directory / REJECTED}"
        except OSError as exc:
            where = f"and {REJECTED} cannot be written ({exc}); the line is {line!r}"
        logger.error("Request %s is not in the ledger: %s; %s", request_id_of(line), reason, where)
