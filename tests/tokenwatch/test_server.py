"""A worker that stops answers what was on its way to it, and nothing else."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvicorn

from demo.serving import listen
from tokenwatch import server
from tokenwatch.server import HttpProtocol

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def app(scope, receive, send):
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


async def reached(state):
    """Let the server go on until it is so."""
    async with asyncio.timeout(10):
        while not state():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)


class Stopping:
    """One client's connection to a server that is told to stop."""

    def __init__(self, running, reader, writer):
        self._running = running
        self._reader = reader
        self.writer = writer

    async def stop(self):
        (connection,) = self._running.server_state.connections
        self._running.should_exit = True
        await reached(lambda: connection._leaving)

    async def rest(self):
        async with asyncio.timeout(10):
            return await self._reader.read(-1)


@asynccontextmanager
async def connected():
    config = uvicorn.Config(app, http=HttpProtocol, lifespan="off", ws="none", log_config=None)
    running = uvicorn.Server(config)
    sock = listen()
    port = sock.getsockname()[1]
    task = asyncio.create_task(running.serve([sock]))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reached(lambda: running.server_state.connections)
    try:
        yield Stopping(running, reader, writer)
    finally:
        writer.close()
        running.should_exit = True
        async with asyncio.timeout(10):
            await task


@pytest.mark.parametrize("sent_before", [b"", REQUEST[:10]], ids=["nothing", "half a head"])
async def test_a_request_on_its_way_is_answered_and_the_connection_closed(sent_before):
    async with connected() as client:
        client.writer.write(sent_before)
        await client.stop()
        client.writer.write(REQUEST[len(sent_before) :])
        received = await client.rest()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in received
    assert received.endswith(b"ok")


async def test_a_connection_without_a_request_is_closed_soon(monkeypatch):
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.05)
    async with connected() as client:
        await client.stop()
        assert await client.rest() == b""
