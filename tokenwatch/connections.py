"""One worker's connections: how many, how long without a request, how long without reading.

A client that holds a connection costs memory and a descriptor, whatever it does with it. So a
head must be whole some time after its first byte, an idle connection ends, an answer that
nobody reads is given up, and where there are too many connections the one that has been idle
longest makes room for the newest. One look a second at those that wait, instead of timers for
each request. The body's time is the pipeline's matter.

How it fails: nothing here raises; a connection that ends while a request is served is reported
as lost, and the request is recorded as one whose client has left.
"""

import asyncio
import resource
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

HEAD_SECONDS = 30.0
"""From a head's first byte to its last."""
IDLE_SECONDS = 90.0
"""Without a byte of a request; connections that have served one end after 75 already."""
UNREAD_SECONDS = 60.0
"""For which a client may leave an answer unread, without taking a single byte."""
SWEEP_SECONDS = 1.0
RESERVED = 128
"""Descriptors that are not for connections."""


class Watched(Protocol):
    """A server's connection, as far as its time and number are concerned."""

    waiting_since: float
    """When it began to wait for a request: opened, or its last answer complete."""
    head_since: float | None
    """When the head that is still incomplete began."""
    unsent: int
    unsent_since: float

    @property
    def unread(self) -> int | None:
        """Bytes that wait for the client to read; None where nothing waits for that."""
        ...

    def drop(self) -> None:
        """End it at once."""
        ...

    def too_slow(self) -> None:
        """Refuse a head that does not come to its end."""
        ...


class Connections:
    """The connections of one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self.all: dict[Watched, None] = {}
        self.idle: dict[Watched, None] = {}
        """Those without a request, the longest idle first."""
        self._sweeper: asyncio.TimerHandle | None = None

    def opened(self, connection: Watched) -> bool:
        """Take a new connection in; False where there is no room and nobody idle."""
        self.all[connection] = None
        if len(self.all) > self._limit:
            if not self.idle:
                return False
            longest = next(iter(self.idle))
            self.closed(longest)
            longest.drop()
        self.waits(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        return True

    def closed(self, connection: Watched) -> None:
        self.all.pop(connection, None)
        self.idle.pop(connection, None)

    def serves(self, connection: Watched) -> None:
        """It has a whole head."""
        connection.head_since = None
        self.idle.pop(connection, None)

    def waits(self, connection: Watched) -> None:
        """It has no request to answer."""
        connection.waiting_since = now = self._loop.time()
        if connection.head_since is not None:  # it came while another request was answered
            connection.head_since = now
        self.idle[connection] = None

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for connection in list(self.idle):
            if (began := connection.head_since) is not None and now - began > HEAD_SECONDS:
                connection.too_slow()
            elif now - connection.waiting_since > IDLE_SECONDS:
                connection.drop()
        for connection in list(self.all):
            unread = connection.unread
            if unread is None or unread != connection.unsent:
                connection.unsent, connection.unsent_since = unread or 0, now
            elif now - connection.unsent_since > UNREAD_SECONDS:
                connection.drop()
        if self.all:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)


_of_servers: WeakKeyDictionary[object, Connections] = WeakKeyDictionary()


def of_server(server: object, make: Callable[[], Connections]) -> Connections:
    """The connections of a server, by an object that is its own."""
    found = _of_servers.get(server)
    if found is None:
        found = _of_servers[server] = make()
    return found


def raise_descriptor_limit() -> None:
    """As many open files as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 1_048_576) if hard != resource.RLIM_INFINITY else 1_048_576
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return  # then fewer connections fit


def bound(wanted: int) -> int:
    """So many connections as there are descriptors for, with one to an upstream for each."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(16, min(wanted, (soft - RESERVED) // 2))
