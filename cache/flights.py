"""Requests of one kind that are under way: the first asks, the others get what it is told.

A `Flight` takes in what the first request's client gets (head, parts, end); its followers read
the same parts as they come. How it fails: a flight that comes to nothing worth sharing says so
(`Flight.failed`), and each follower asks for itself. Belongs to one event loop.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

Pairs = list[tuple[bytes, bytes]]
Facts = TypeVar("Facts")


class FlightFailed(Exception):
    """What is under way ended, or broke off, without an answer to share."""


class Flight(Generic[Facts]):
    """One answer on its way, for the client that asked first and for those that wait."""

    __slots__ = (
        "_most",
        "_size",
        "_waiting",
        "broken",
        "ended",
        "facts",
        "followers",
        "headers",
        "on_abandoned",
        "parts",
        "shared",
        "status",
    )

    def __init__(self, most_bytes: int) -> None:
        self.status = 0
        """0 until there is a head."""
        self.headers: Pairs = []
        self.parts: list[bytes] = []
        self.facts: Facts | None = None
        """What the ledger knows of the answer, once it does; before the last part."""
        self.ended = False
        self.broken = False
        """It ended without being whole."""
        self.shared = True
        """Whether others may still join: everything so far is here."""
        self.followers = 0
        self.on_abandoned: Callable[[], None] | None = None
        """Called when the last follower leaves."""
        self._waiting: list[asyncio.Future[None]] = []
        self._size = 0
        self._most = most_bytes

    # The side that asks

    def head(self, status: int, headers: Pairs) -> None:
        self.status, self.headers = status, headers
        if status >= 300:
            self.shared = False
        self._tell()

    def part(self, data: bytes) -> None:
        if not data:
            return
        self._size += len(data)
        if self._size > self._most:
            self.shared = False
            if not self.followers:
                self.parts.clear()
                return
        self.parts.append(data)
        self._tell()

    def end(self, *, whole: bool) -> None:
        """No more will come."""
        if not self.ended:
            self.ended, self.broken, self.shared = True, not whole, False
            self._tell()

    @property
    def whole(self) -> bool:
        """Whether all of it is here."""
        return self._size <= self._most

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    # The side that waits

    async def answered(self) -> None:
        """Wait for the head, or for the end where none comes.

        Raises:
            FlightFailed: there is nothing to share.
        """
        while not self.status and not self.ended:
            await self._change()
        if not self.status or self.status >= 300 or self.broken:
            raise FlightFailed

    async def follow(self) -> AsyncGenerator[bytes, None]:
        """The parts from the first on, as they come.

        Raises:
            FlightFailed: it broke off.
        """
        at = 0
        while True:
            while at < len(self.parts):
                at += 1
                yield self.parts[at - 1]
            if self.ended:
                break
            await self._change()
        if self.broken:
            raise FlightFailed

    async def _change(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def join(self) -> None:
        self.followers += 1

    def leave(self) -> None:
        self.followers -= 1
        if not self.followers and self.on_abandoned is not None and not self.ended:
            self.on_abandoned()
