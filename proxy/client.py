"""The client's side of one request: its body, what it gets, and whether it is still there.

A client that goes away must be noticed at once, so that the provider stops generating: its
leaving cancels the request's own task. TokenWatch's server says so by a call-back; under
other servers a small task waits for ASGI's disconnect message, and nothing else reads from
``receive`` at that time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Pairs = list[tuple[bytes, bytes]]


OVERLAP = 1024
"""Bytes of an upload's earlier part that are looked at again with the next."""


class Connection(Protocol):
    """A server's connection that can more than ASGI (`tokenwatch.server.Served`)."""

    @property
    def has_whole_body(self) -> bool: ...

    def watch(self, on_lost: Callable[[], None]) -> None: ...

    def unwatch(self) -> None: ...

    def send_answer(self, status: int, headers: Pairs, body: bytes) -> bool: ...


class Copy(Protocol):
    """Who else gets what the client is sent (`proxy.caching.Stage`)."""

    def head(self, status: int, headers: Pairs) -> None: ...

    def part(self, data: bytes) -> None: ...

    def is_wanted(self) -> bool: ...


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class TooLarge(Exception):
    """The request body is longer than ``TOKENWATCH_MAX_BODY_BYTES``."""


class TooSlow(Exception):
    """The request body did not arrive in time."""


class Client:
    """One request's connection to the client, over the ASGI callables."""

    __slots__ = (
        "_connection",
        "_more",
        "_receive",
        "_send",
        "_start",
        "_task",
        "_watcher",
        "answered",
        "copy",
        "gone",
        "started",
        "upload_begun",
    )

    def __init__(self, receive: Receive, send: Send, connection: Connection | None = None) -> None:
        self._receive = receive
        self._send = send
        self._connection = connection
        self._task: asyncio.Task[Any] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._start = b""
        """Of an upload: what was read of it and not yet sent on."""
        self._more = True
        """Of an upload: its end has not come."""
        self.upload_begun = False
        """Of an upload: some of it was taken to be sent, and cannot be sent again."""
        self.copy: Copy | None = None
        """Gets all that the client is sent, before it."""
        self.gone = False
        """The client has left; what is sent goes nowhere."""
        self.started = False
        """The head of an answer has been sent: no other answer is possible."""
        self.answered = False
        """The whole answer has been sent."""

    async def body(self, limit: int, seconds: float) -> bytes:
        """The whole request body.

        Raises:
            TooLarge: it is longer than ``limit`` bytes.
            TooSlow: it takes longer than ``seconds``.
            ClientGone: the client left in the middle.
        """
        if self._connection is not None and self._connection.has_whole_body:
            return await self._parts(limit)  # waits for nothing, so it needs no timer
        try:
            async with asyncio.timeout(seconds):
                return await self._parts(limit)
        except TimeoutError:
            raise TooSlow from None

    async def _parts(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise TooLarge
            more = message.get("more_body", False)
        return b"".join(parts)

    async def start_of_upload(
        self, enough: Callable[[bytes], bool], limit: int, seconds: float
    ) -> None:
        """Read the start of a body that is streamed through, until ``enough`` says so of what
        came last (a part with `OVERLAP` bytes before it), or ``limit`` bytes have come.
        `upload` begins with what was read.

        Raises:
            TooSlow: it takes longer than ``seconds``.
            ClientGone: the client left in the middle.
        """
        start = bytearray()
        try:
            async with asyncio.timeout(seconds):
                while self._more and len(start) < limit:
                    before = max(0, len(start) - OVERLAP)
                    start += await self._next_part()
                    if enough(bytes(start[before:])):
                        break
        except TimeoutError:
            raise TooSlow from None
        self._start = bytes(start)

    async def upload(self) -> AsyncIterator[bytes]:
        """The request body as it arrives, never held as a whole.

        After its end the connection is watched. A disconnect in the middle cancels the task
        that `watch` named.
        """
        self.upload_begun = True
        start, self._start = self._start, b""
        if start:
            yield start
        while self._more:
            if part := await self._next_part():
                yield part
        self._start_watching()

    async def _next_part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._left()
            raise ClientGone
        self._more = message.get("more_body", False)
        return message.get("body", b"")

    def watch(self, *, body_read: bool) -> None:
        """From now on, cancel the current task if the client leaves, unless others wait for
        its answer. A second call changes nothing."""
        if self._task is not None:
            return
        self._task = asyncio.current_task()
        if body_read:
            self._start_watching()

    def _start_watching(self) -> None:
        if self.answered:
            return
        if self._connection is not None:
            self._connection.watch(self._left)
        else:
            self._watcher = asyncio.get_running_loop().create_task(self._wait_for_disconnect())

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        if self.answered or self.gone:
            return  # the server says "disconnect" after a complete answer too
        self.gone = True
        if self.copy is None or not self.copy.is_wanted():
            self.abandon()

    def abandon(self) -> None:
        """Nobody waits for the answer any longer: cancel the task if the client has left."""
        if self.gone and self._task is not None:
            self._task.cancel()

    @property
    def is_abandoned(self) -> bool:
        """Whether the client has left and nobody else waits for the answer."""
        return self.gone and (self.copy is None or not self.copy.is_wanted())

    async def start(self, status: int, headers: Pairs) -> None:
        """Send the head of the answer."""
        self.started = True
        if self.copy is not None:
            self.copy.head(status, headers)
        if self.gone:
            return
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes) -> None:
        """Send a part of the body; waits while a slow client's buffer is full."""
        if self.copy is not None:
            self.copy.part(body)
        if self.gone:
            return
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self, body: bytes = b"") -> None:
        """Send the last part of the body."""
        self.answered = True
        if self.copy is not None:
            self.copy.part(body)
        if not self.gone:
            await self._send({"type": "http.response.body", "body": body})

    async def answer(self, status: int, headers: Pairs, body: bytes) -> None:
        """Send a whole answer, with one write where the server can."""
        if self._connection is not None and self._connection.send_answer(status, headers, body):
            self.started = self.answered = True
            if self.copy is not None:
                self.copy.head(status, headers)
                self.copy.part(body)
            return
        await self.start(status, headers)
        await self.finish(body)

    def release(self) -> None:
        """Stop watching."""
        self.answered = True
        if self._connection is not None:
            self._connection.unwatch()
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
