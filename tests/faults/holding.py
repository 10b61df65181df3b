"""A provider whose streams stay open for as long as a test wants."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from demo.fake_provider import FakeProvider
from demo.serving import serve

EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
LAST = b"data: [DONE]\n\n"


class HoldingProvider:
    """The fake provider, whose streams to clients that ask for it stay open until released."""

    def __init__(self) -> None:
        self._other = FakeProvider(remember=1).app
        self._changed = threading.Condition()
        self._events = 1
        self._released = False

    def more(self) -> None:
        """Let each open stream send one more event."""
        with self._changed:
            self._events += 1
            self._changed.notify_all()

    def release(self) -> None:
        """Let all streams end."""
        with self._changed:
            self._released = True
            self._changed.notify_all()

    def _wait(self, sent: int) -> bool:
        """Wait until a stream that has sent so many events may go on; whether it is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._released or self._events > sent)
            return self._released

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or (b"x-hold", b"1") not in scope["headers"]:
            await self._other(scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sent, ends = 0, False
        while not ends:
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
            sent += 1
            ends = await asyncio.to_thread(self._wait, sent)
        await send({"type": "http.response.body", "body": LAST})


@contextmanager
def holding_provider() -> Iterator[tuple[HoldingProvider, str]]:
    """Serve one; its streams are released at the end at the latest."""
    made = HoldingProvider()
    with serve(made.app) as url:
        try:
            yield made, url
        finally:
            made.release()
