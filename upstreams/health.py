"""Which upstreams are well: one worker's circuit breakers, and what it tells the others.

Each worker keeps its own state in memory, for no request waits to learn what another has seen.
Changes go to the database a moment later, for the admin, and for workers that start. A probe
asks upstreams that could not be reached, and sends them requests again once they answer.

How it fails: without a database the newest changes wait in memory and go out when it is back;
a fault in here is logged and neither ends the upkeep nor touches a request.
"""

import asyncio
import logging
import os
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from django.db import Error, connection

from tokenwatch.conf import Config
from upstreams import store
from upstreams.breaker import CLOSED, Breaker, Limits
from upstreams.candidates import Candidate, Candidates
from upstreams.errors import UpstreamError
from upstreams.failures import CoolDowns, Failure
from upstreams.store import Change
from upstreams.transport import Transport

WAITING_CHANGES = 1000
PROBE_TIMEOUT = 5.0

logger = logging.getLogger("tokenwatch.upstreams")


class Health:
    """One worker's view of all upstreams. For the event loop's thread, but for `flush`."""

    def __init__(self, config: Config) -> None:
        self._limits = Limits(
            failures=config.breaker_failures,
            error_rate=config.breaker_error_rate,
            pause=config.breaker_pause,
            longest=max(config.breaker_pause, config.breaker_max_pause),
        )
        self.cool_downs = CoolDowns(
            default=min(config.breaker_pause, config.max_cool_down), longest=config.max_cool_down
        )
        self._probe_interval = config.probe_interval
        self._breakers: dict[str, Breaker] = {}
        self._keys: dict[tuple[str, str], str] = {}
        """The key of each upstream's breaker, by api type and name."""
        self._open: set[str] = set()
        self._known: dict[tuple[str, str], Change] = {}
        """What others found out before this worker met an upstream."""
        self._changes: deque[Change] = deque(maxlen=WAITING_CHANGES)
        self._writing = threading.Lock()
        self._failing = False
        self._probing: asyncio.Task[None] | None = None
        self.worker = f"{socket.gethostname()}:{os.getpid()}"[:100]

    # What requests ask

    def of(self, candidate: Candidate) -> Breaker:
        """The breaker of an upstream."""
        breaker = self._breakers.get(candidate.key)
        return self._met(candidate) if breaker is None else breaker

    def waiting(self, candidates: Iterable[Candidate], now: float) -> Mapping[str, float]:
        """When those that should not be tried now are due, by their keys."""
        if self._known:
            for candidate in candidates:
                self.of(candidate)
        if not self._open:
            return _NOBODY
        return {
            candidate.key: due
            for candidate in candidates
            if candidate.key in self._open and (due := self._breakers[candidate.key].due(now))
        }

    def failed(self, candidate: Candidate, failure: Failure, now: float, *, probe: bool) -> None:
        """Take in a failed attempt."""
        if self._keys.get((candidate.api_type, candidate.name), candidate.key) != candidate.key:
            return  # it has another URL or credential by now
        breaker = self.of(candidate)
        if not failure.counts:
            breaker.abandoned(probe=probe)
        elif breaker.failed(
            now,
            f"{failure.reason} {failure.note}".rstrip(),
            random.random(),
            probe=probe,
            unreachable=failure.unreachable,
            cool_down=failure.cool_down,
        ):
            self._open.add(candidate.key)
            self._note(candidate, breaker, now)

    def closed(self, candidate: Candidate, breaker: Breaker, now: float) -> None:
        """A probe was answered and has closed the breaker."""
        self._open.discard(candidate.key)
        self._note(candidate, breaker, now)

    def _met(self, candidate: Candidate) -> Breaker:
        """A breaker for an upstream that is new, or has another URL or credential."""
        name = candidate.api_type, candidate.name
        breaker = self._breakers[candidate.key] = Breaker(self._limits)
        former = self._keys.get(name)
        self._keys[name] = candidate.key
        if former is not None:
            old = self._breakers.pop(former)
            self._open.discard(former)
            if old.state != CLOSED:
                self._note(candidate, breaker, time.monotonic())
        known = self._known.pop(name, None)
        if known is not None:
            until = time.monotonic() + max(0.0, (known.until or 0.0) - time.time())
            breaker.reopen(until, known.error)
            self._open.add(candidate.key)
        return breaker

    def _note(self, candidate: Candidate, breaker: Breaker, now: float) -> None:
        at = time.time()
        change = Change(
            api_type=candidate.api_type,
            upstream=candidate.name,
            state=breaker.state,
            at=at,
            failures=breaker.failures,
            error=breaker.error,
            until=None if breaker.state == CLOSED else at + breaker.until - now,
        )
        self._changes.append(change)
        wait = breaker.until - now
        if change.until is None:
            logger.warning("Upstream %s is in use again", candidate.name)
        elif wait > 0:
            logger.warning(
                "Upstream %s is left alone for %.0f s: %s", candidate.name, wait, breaker.error
            )
        else:
            logger.warning("Upstream %s can be reached again", candidate.name)

    def states(self) -> list[tuple[str, str, str]]:
        """Api type, name and breaker's state of every upstream that was used. Any thread may ask:
        what changes meanwhile shows the next time."""
        known = list(self._keys.items())
        found = [(name, self._breakers.get(key)) for name, key in known]
        return [(*name, breaker.state) for name, breaker in found if breaker is not None]

    # Upkeep

    def load(self) -> None:
        """Take over what is known of upstreams that are not well. Call it in a thread, before
        the first request."""
        try:
            self.heard_of(store.load_health())
        except Error as exc:
            logger.error("The upstreams' health cannot be read: %s", _line(exc))
        finally:
            connection.close()  # the calling thread's own

    def heard_of(self, changes: Iterable[Change]) -> None:
        """Take over what others have found out, for upstreams that this worker has not met."""
        self._known = {(change.api_type, change.upstream): change for change in changes}

    def start(self, transport: Transport, candidates: Callable[[], Candidates]) -> None:
        """Begin to probe. Call it in the event loop."""
        if self._probe_interval:
            self._probing = asyncio.create_task(self._probe(transport, candidates))

    async def stop(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def flush(self) -> None:
        """Write the changes that wait. Call it in a thread."""
        if self._changes:
            with self._writing:
                self._write(list(self._changes))

    def _write(self, changes: list[Change]) -> None:
        try:
            store.record(changes, self.worker)
        except Error as exc:
            if not self._failing:
                logger.error("The upstreams' health is not written: %s", _line(exc))
            self._failing = True
            return
        except Exception:  # a fault in here must not end the upkeep
            logger.exception("The upstreams' health hit an unexpected error")
        self._failing = False
        for change in changes:
            if self._changes and self._changes[0] is change:
                self._changes.popleft()

    async def _probe(self, transport: Transport, candidates: Callable[[], Candidates]) -> None:
        while True:
            await asyncio.sleep(self._probe_interval)
            try:
                present = [one for several in candidates().values() for one in several]
                await self.probe(transport, present)
            except Exception:  # a fault in here must not end the upkeep
                logger.exception("The upstreams' probe hit an unexpected error")

    async def probe(self, transport: Transport, candidates: Iterable[Candidate]) -> None:
        """Ask those that could not be reached; one that answers is due at once."""
        asked = [
            candidate
            for candidate in candidates
            if candidate.key in self._open and self._breakers[candidate.key].unreachable
        ]
        answers = await asyncio.gather(*(answers_at_all(transport, one) for one in asked))
        now = time.monotonic()
        for candidate, answered in zip(asked, answers, strict=True):
            breaker = self._breakers.get(candidate.key)
            if answered and breaker is not None and breaker.reached(now):
                self._note(candidate, breaker, now)


async def answers_at_all(transport: Transport, candidate: Candidate) -> bool:
    """Whether something that speaks HTTP is there: any status proves it. Carries no credential."""
    try:
        exchange = await transport.send(
            "HEAD",
            candidate.base_url + "/",
            [],
            None,
            connect_timeout=candidate.connect_timeout,
            overall_timeout=PROBE_TIMEOUT,
        )
    except UpstreamError:
        return False
    exchange.close()
    return True


_NOBODY: Mapping[str, float] = {}


def _line(exc: BaseException) -> str:
    return " ".join(str(exc).split())
