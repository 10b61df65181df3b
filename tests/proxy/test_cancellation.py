"""A cancellation at any await of a request leaves one row and no open connection."""

import asyncio
import json
from contextlib import suppress

import pytest

from proxy.call import identify
from proxy.client import Client
from proxy.pipeline import handle
from tests.fakes import STREAM_HEAD, answer, chunked, raw_upstream
from tests.proxy import streams
from tests.proxy.serving import services_for
from tests.proxy.test_tap import COMPLETION

BODY = json.dumps({"model": "gpt-4o-mini", "messages": [], "stream": True}).encode()


class CancelledAt:
    """Awaits a coroutine and cancels the current task at its n-th suspension."""

    def __init__(self, coroutine, number):
        self.coroutine = coroutine
        self.number = number
        self.reached = False

    def __await__(self):
        inner = self.coroutine.__await__()
        count = 0
        step, argument = inner.send, None
        while True:
            try:
                awaited = step(argument)
            except StopIteration:
                return
            count += 1
            if count == self.number:
                self.reached = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()  # delivered at this very await
            step, argument = inner.send, None
            try:
                yield awaited
            except BaseException as exc:
                step, argument = inner.throw, exc


class Wire:
    """ASGI's receive and send with a suspension in each call."""

    def __init__(self, content_type, parts):
        self.parts = list(parts)
        self.content_type = content_type
        self.sent = []
        self.closed = asyncio.Event()

    def scope(self, path):
        return {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"content-type", self.content_type)],
        }

    async def receive(self):
        await asyncio.sleep(0)
        if self.parts:
            part = self.parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self.parts)}
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await asyncio.sleep(0)
        self.sent.append(message)


async def stream(connection):
    while True:
        await connection.request()
        await connection.send(STREAM_HEAD)
        for event in streams.OPENAI:
            await connection.send(chunked(event, end=False))
            await asyncio.sleep(0.001)  # one chunk a time, so that each is an await of its own
        await connection.send(b"0\r\n\r\n")


async def whole(connection):
    while True:
        await connection.request()
        body = json.dumps(COMPLETION).encode()
        await connection.send(answer(body, b"content-type: application/json"))


async def _awaiting(awaitable):
    await awaitable


@pytest.mark.parametrize(
    ("script", "path", "content_type", "parts"),
    [
        (stream, "/openai/v1/chat/completions", b"application/json", [BODY[:9], BODY[9:]]),
        (whole, "/openai/v1/chat/completions", b"application/json", [BODY]),
        (whole, "/openai/v1/audio/transcriptions", b"multipart/form-data", [b"a", b"b", b"c"]),
    ],
    ids=["stream", "json", "upload"],
)
async def test_wherever_it_is_cancelled_there_is_exactly_one_row(
    script, path, content_type, parts, tmp_path
):
    async with raw_upstream(script) as upstream:
        services, ledger = services_for(upstream.url, tmp_path)
        number = 0
        reached = True
        while reached:
            number += 1
            ledger.rows.clear()
            wire = Wire(content_type, parts)
            call = identify(wire.scope(path))
            assert call is not None
            cancelled = CancelledAt(handle(call, Client(wire.receive, wire.send), services), number)
            with suppress(asyncio.CancelledError):
                await asyncio.create_task(_awaiting(cancelled))
            reached = cancelled.reached
            assert len(ledger.rows) == 1, f"cancelled at await {number}"
            row = ledger.rows[0]
            if reached:
                finished = row.finish_reason or row.error_type
                assert finished, f"cancelled at await {number}: {row}"
            wire.closed.set()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            watchers = [t for t in others if "disconnect" in str(t.get_coro())]
            await asyncio.gather(*watchers, return_exceptions=True)
            assert not services.transport._connector._acquired, f"cancelled at await {number}"
        assert number >= 5
        assert ledger.rows[0].error_type == ""
        await services.transport.close()
