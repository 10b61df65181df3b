"""The live feed's WebSocket, ``/ws/live``: batched events for one page.

A page says what it wants (`dashboard.events.Want`) and gets at most four messages a second,
whatever the traffic. Only staff who are logged in, only from pages of this very host. How it
fails: a message that is none closes the connection with 1007; a browser that does not read is
waited for by its own task alone.
"""

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlsplit

from channels.auth import AuthMiddlewareStack, get_user
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error

from dashboard.events import Want, read_want
from dashboard.feed import EVERY, Feed, Listener

PATH = "/ws/live"
CHECKED_EVERY = 60.0
"""Seconds after which a connection's user is looked up again: a logout ends the feed."""
ASKED_EVERY = 0.5
"""The least seconds between two wishes of a page that are answered from the ledger."""

feed = Feed()


class LiveConsumer(AsyncWebsocketConsumer):
    """One page."""

    listener: Listener
    sender: asyncio.Task[None] | None = None
    last_asked = 0.0

    async def connect(self) -> None:
        if not _may_look(self.scope["user"]):
            await self.close()  # before it is accepted: the handshake fails with 403
            return
        self.listener = Listener()
        await self.accept()
        feed.join(self.listener)
        self.sender = asyncio.create_task(self._send())

    async def disconnect(self, code: int) -> None:
        if self.sender is not None:
            feed.leave(self.listener)
            self.sender.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            want = read_want(json.loads(text_data or ""))
        except ValueError:
            await self.close(1007)
            return
        self.listener.filters = want.filters
        await self._catch_up(want)

    async def _catch_up(self, want: Want) -> None:
        now = time.monotonic()
        if want.after is None or now - self.last_asked < ASKED_EVERY:
            return
        self.last_asked = now
        try:
            message = await feed.since(want.after, want.filters)
        except Error:
            return  # the feed tells that the database is away
        await self.send(json.dumps(message))

    async def _send(self) -> None:
        checked = time.monotonic()
        while True:
            messages = await self.listener.take()
            if time.monotonic() - checked > CHECKED_EVERY:
                checked = time.monotonic()
                if not _may_look(await get_user(self.scope)):
                    await self.close(4401)
                    return
            for message in messages:
                await self.send(json.dumps(message))
            await asyncio.sleep(EVERY)


def _may_look(user: Any) -> bool:
    return bool(user.is_active and user.is_staff)


def same_origin(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a handshake comes from a page of the host that it goes to."""
    found = {name.lower(): value for name, value in headers}
    origin, host = found.get(b"origin", b""), found.get(b"host", b"")
    try:
        place = urlsplit(origin.decode("ascii")).netloc
    except ValueError:
        return False
    return bool(host) and place.lower() == host.decode("latin-1").lower()


_behind_login = AuthMiddlewareStack(LiveConsumer.as_asgi())


async def live_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The dashboard's WebSockets: this one path, from our own pages."""
    if scope["path"] != PATH or not same_origin(scope["headers"]):
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await _behind_login(scope, receive, send)
