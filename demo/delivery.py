"""Sends a `Reply` as ASGI messages, with the pauses, compression and cuts it was asked for.

A client that leaves ends the answer at once, in the middle of a pause too. ASGI has no
word for breaking a connection: returning before the body is complete makes the server
close it, which the client sees as a chunked body (or an announced length) cut short.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

from demo import compression
from demo.call import Call, Headers, Reply

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

Outcome = Literal["answered", "broken", "left"]
"""Sent whole; cut on purpose; the client went away before the end."""


class Departure:
    """Watches for the client's leaving while an answer is sent."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> "Departure":
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def within(self, milliseconds: int) -> bool:
        """Pause; True as soon as the client has left."""
        if milliseconds:
            await asyncio.wait([self._task], timeout=milliseconds / 1000)
        else:
            await asyncio.sleep(0)  # lets the watch see what has arrived
        return self._task.done()


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes over the wire."""

    head: Headers
    parts: list[bytes]
    whole: bool
    """False where the connection is to be cut after the parts."""


def plan(call: Call, reply: Reply) -> Plan:
    """Choose the bytes: compressed where asked for, and up to where the answer breaks."""
    parts = list(reply.parts)
    head = [(b"content-type", reply.content_type), *reply.headers]
    chosen = None
    if call.behaviour.compress:
        chosen = compression.choose(call.header(b"accept-encoding"))
    if chosen is not None:
        name, compressor = chosen
        parts = [compressor.compress(part) for part in parts] + [compressor.finish()]
        head += [(b"content-encoding", name.encode()), (b"vary", b"accept-encoding")]
    if len(reply.parts) == 1 and not reply.stream:
        body = b"".join(parts)
        head.append((b"content-length", b"%d" % len(body)))
        parts = [body]
    after = call.behaviour.break_after
    if after is None:
        return Plan(head, parts, whole=True)
    if not reply.stream:
        body = b"".join(parts)
        return Plan(head, [body[: len(body) // 2]], whole=False)
    return Plan(head, parts[:after], whole=False)


async def deliver(
    call: Call, reply: Reply, headers: Headers, receive: Receive, send: Send
) -> Outcome:
    """Send one answer; never raises for what the client does."""
    planned = plan(call, reply)
    interval = call.behaviour.interval_ms if reply.stream else 0
    async with Departure(receive) as departure:
        if await departure.within(call.behaviour.delay_ms):
            return "left"
        head = [*planned.head, *headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": head})
        # An empty piece sends the head now and not with the first event.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        for number, part in enumerate(planned.parts):
            if await departure.within(interval if number else 0):
                return "left"
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if not planned.whole:
            return "broken"
        await send({"type": "http.response.body", "body": b""})
        return "answered"
