"""Rate limits as one worker enforces them, together with the others of its machine.

Everything here is synchronous and belongs to the event loop's thread (`check` apart): between
the look at all limits of a request and its being counted nothing else of this worker happens.

How it fails: where the shared boards cannot be made or grow no more, this worker counts by
itself, which is logged: its limits then hold for it alone. Workers on other machines are never
counted: a limit holds for each machine.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from access.boards import IN_FLIGHT, PER_SECOND, REQUESTS, TOKENS, WINDOW, Board, Boards
from access.limits import CONCURRENT, Exceeded, LimitSpec
from access.limits import REQUESTS as OF_REQUESTS
from access.limits import TOKENS as OF_TOKENS

REMEMBERED = 0.001
"""Seconds for which a look at all boards is good."""
SHARE = 4
"""A worker admits at most this part of its even share of what is left before it looks again."""

Place = tuple[Board, int]
"""Where a limit's counts are: a board, and where they begin on it."""

logger = logging.getLogger("tokenwatch.access")


class _Known:
    """What this worker knows of one limit's requests without looking at the boards."""

    __slots__ = ("full_until", "left", "limit", "until")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = 0
        """Requests that may be admitted without another look, until the moment `until`."""
        self.until = 0.0
        self.full_until = 0.0


class Ticket:
    """A request that was admitted; `settle` it once."""

    __slots__ = ("_bucket", "_limiter", "_places", "_specs", "_taken", "counts_tokens")

    def __init__(
        self, limiter: "Limiter", specs: Sequence[LimitSpec], places: list[Place], bucket: int
    ) -> None:
        self._limiter = limiter
        self._specs = specs
        self._places = places
        self._bucket = bucket
        self._taken = 0
        self.counts_tokens = False
        for spec in specs:
            if spec.tokens is not None:
                self.counts_tokens = True

    def take_tokens(self, need: int, now: float) -> Exceeded | None:
        """Count what the request may use, of all its limits or of none."""
        bucket = int(now * PER_SECOND)
        for spec in self._specs:
            if spec.tokens is not None and (
                refusal := self._limiter.tokens_refused(spec, need, now, bucket)
            ):
                return refusal
        self._bucket, self._taken = max(self._bucket, bucket), need
        self._add_tokens(need)
        return None

    def settle(self, tokens: int, *, sent: bool) -> None:
        """The request has ended: count what it really used; one that was not sent used nothing."""
        self._add_tokens((tokens if sent else 0) - self._taken)
        for board, entry in self._places:
            board.words[entry + IN_FLIGHT] -= 1
            if not sent:
                board.add(entry, REQUESTS, self._bucket, -1)
        if not sent:
            self._limiter.refunded(self._specs)

    def _add_tokens(self, amount: int) -> None:
        if amount:
            for spec, (board, entry) in zip(self._specs, self._places, strict=True):
                if spec.tokens is not None:
                    board.add(entry, TOKENS, self._bucket, amount)


class Limiter:
    """One worker's part in all limits. Make it in the worker, after any fork."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._boards: Boards | None = None
        self._private: Board | None = None
        self._known: dict[int, _Known] = {}

    def admit(self, specs: Sequence[LimitSpec], now: float) -> Ticket | Exceeded:
        """Count a request against all its limits, or against none. ``now`` is monotonic."""
        bucket = int(now * PER_SECOND)
        places = []
        for spec in specs:
            place = self._place(spec, bucket)
            if spec.requests is not None and (full := self._full(spec, now, bucket)):
                return full
            if spec.concurrent is not None and self._in_flight(spec, place) >= spec.concurrent:
                return Exceeded(spec, CONCURRENT, spec.concurrent, 0, None)
            places.append(place)
        for board, entry in places:
            board.admit(entry, bucket)
        return Ticket(self, specs, places, bucket)

    def _full(self, spec: LimitSpec, now: float, bucket: int) -> Exceeded | None:
        limit = spec.requests
        assert limit is not None
        known = self._known.get(spec.tag)
        if known is None or known.limit != limit:
            known = self._known[spec.tag] = _Known(limit)
        if known.left > 0 and now < known.until:
            known.left -= 1
            return None
        if now < known.full_until:
            return Exceeded(spec, OF_REQUESTS, limit, 0, known.full_until - now)
        places = self._places(spec, bucket)
        room = limit - sum(board.total(at, REQUESTS, bucket) for board, at in places)
        known.left, known.until = room // (SHARE * len(places)), now + REMEMBERED
        if room > 0:
            return None
        free = self._free_at(spec, REQUESTS, bucket, 1 - room)
        # Nothing but time makes room; what others refund is found half a second late.
        known.full_until = min(free, now + 1 / PER_SECOND)
        return Exceeded(spec, OF_REQUESTS, limit, 0, max(0.0, free - now))

    def tokens_refused(
        self, spec: LimitSpec, need: int, now: float, bucket: int
    ) -> Exceeded | None:
        limit = spec.tokens
        assert limit is not None
        used = self._total(spec, TOKENS, bucket)
        if used + need <= limit:
            return None
        if need > limit:
            return Exceeded(spec, OF_TOKENS, limit, limit - used, None)
        free = self._free_at(spec, TOKENS, bucket, used + need - limit)
        return Exceeded(spec, OF_TOKENS, limit, limit - used, max(0.0, free - now))

    def refunded(self, specs: Sequence[LimitSpec]) -> None:
        """There is room again where there was none."""
        for spec in specs:
            if known := self._known.get(spec.tag):
                known.full_until = 0.0

    def check(self) -> None:
        """Notice workers that died; once a second, in any thread."""
        if self._boards is not None:
            self._boards.check()

    # The boards

    def _own(self) -> Board:
        if self._private is not None:
            return self._private
        if self._boards is None:
            try:
                self._boards = Boards(self._directory)
            except OSError as exc:
                return self._alone(exc)
        return self._boards.own

    def _alone(self, why: OSError) -> Board:
        logger.error("Rate limits hold for each worker alone, as counts cannot be shared: %s", why)
        self._private = Board(-1)
        self._private.begin(int(time.monotonic() * PER_SECOND))
        return self._private

    def _others(self) -> list[Board]:
        return self._boards.look() if self._boards is not None and self._private is None else []

    def _place(self, spec: LimitSpec, bucket: int) -> Place:
        board = self._own()
        try:
            return board, board.own_entry(spec.tag, bucket)
        except OSError as exc:
            board = self._alone(exc)
            return board, board.own_entry(spec.tag, bucket)

    def _places(self, spec: LimitSpec, bucket: int) -> list[Place]:
        places = [self._place(spec, bucket)]
        for board in self._others():
            entry = board.entry(spec.tag)
            if entry >= 0:
                places.append((board, entry))
        return places

    def _total(self, spec: LimitSpec, ring: int, bucket: int) -> int:
        return sum(board.total(at, ring, bucket) for board, at in self._places(spec, bucket))

    def _in_flight(self, spec: LimitSpec, own: Place) -> int:
        board, at = own
        count = board.words[at + IN_FLIGHT]
        for other in self._others():
            if other.alive and (at := other.entry(spec.tag)) >= 0:
                count += other.words[at + IN_FLIGHT]
        return count

    def _free_at(self, spec: LimitSpec, ring: int, bucket: int, wanted: int) -> float:
        """When so much of what counts will be too old to count, in monotonic seconds."""
        places = self._places(spec, bucket)
        for old in range(bucket - WINDOW, bucket + 1):
            wanted -= sum(board.in_bucket(at, ring, old) for board, at in places)
            if wanted <= 0:
                return (old + WINDOW + 1) / PER_SECOND
        return (bucket + WINDOW + 1) / PER_SECOND
