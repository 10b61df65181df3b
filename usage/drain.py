"""From the spool to the database: one round stores a batch of each worker's lines.

How it fails: `DatabaseUnavailableError` leaves everything in the spool, and the next round checks
which rows had been stored after all. A line that is no row, or a row that the database
refuses for its content, goes to ``rejected.jsonl`` and does not hold up the others.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from usage.backlog import REJECTED, Backlog, Source
from usage.lines import BadLineError, decode, request_id_of
from usage.meters import APPENDED
from usage.rows import UsageRow
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
    """Empties a backlog through ``insert``. For one thread."""

    def __init__(self, backlog: Backlog, insert: Insert) -> None:
        self._backlog = backlog
        self._insert = insert
        self._unsure = False
        """A batch failed with unknown outcome: its rows may be in the table."""

    def round(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Store up to a batch of each worker's lines, the oldest first.

        Returns whether more was left behind; no when everything recorded before the call is
        stored. ``stop`` is asked between the batches; a stopped round left something behind.

        Raises:
            DatabaseUnavailableError: the rest waits for a later round.
            OSError: the spool cannot be read.
        """
        self._backlog.refresh()
        more = False
        for source in self._backlog.sources:
            if stop():
                return True
            try:
                more = self._from(source) or more
            except OSError as exc:
                self._backlog.unreadable(source.worker, exc)
            else:
                self._backlog.readable(source.worker)
        self._unsure = self._unsure and more
        self._backlog.forget_finished()
        return more

    def _from(self, source: Source) -> bool:
        """Store a batch of one worker's lines; whether it left some behind."""
        appended = source.counts[APPENDED]
        for segment in list(source.segments):
            batch = segment.read(BATCH)
            if batch.lines:
                self._store(batch.lines, check=self._unsure or source.unsure)
            source.advance(segment, batch)
            if not batch.exhausted:
                return True
        source.settle(appended)
        return False

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
            self._backlog.reject(line)
            where = f"kept in {self._backlog.directory / REJECTED}"
        except OSError as exc:
            where = f"and {REJECTED} cannot be written ({exc}); the line is {line!r}"
        logger.error("Request %s is not in the ledger: %s; %s", request_id_of(line), reason, where)
