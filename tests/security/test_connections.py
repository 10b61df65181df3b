"""Clients that hold connections: slow heads, idle ones, answers that nobody reads."""

import asyncio
import time

import httpx
import pytest

from tests.fakes import STREAM_HEAD, answer, raw_upstream
from tests.proxy.serving import running
from tests.security.raw import post, raw
from tokenwatch import connections
from tokenwatch.server import HttpProtocol

HELLO = answer(b'{"id": 1}', b"content-type: application/json")


async def answers(connection):
    while True:
        await connection.request()
        await connection.send(HELLO)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.02)


async def test_a_head_that_trickles_is_cut_off_though_bytes_keep_coming(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(b"POST /openai/v1/x HTTP/1.1\r\nhost: x\r\nx-a: ")

            async def trickle():
                while True:
                    await client.send(b"a")
                    await asyncio.sleep(0.02)

            task = asyncio.create_task(trickle())
            said = await client.all()
            task.cancel()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert upstream.connections == 0


async def test_a_head_that_trickles_after_an_answer_is_cut_off_too(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(post(b"content-length: 2", body=b"{}"))
            assert (await client.answer())[0] == 200
            await client.send(b"POST /openai/v1/x HT")
            assert (await client.all()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("bytes_sent", [b"", b"\r\n"])
async def test_a_connection_without_a_request_ends(tmp_path, monkeypatch, bytes_sent):
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.1)
    async with raw_upstream(None) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(bytes_sent)
            assert await client.all() == b""


async def test_a_request_that_takes_long_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.05)
    swept = asyncio.Event()

    async def late(connection):
        await connection.request()
        asyncio.get_running_loop().call_later(0.4, swept.set)
        await swept.wait()
        await connection.send(HELLO)

    async with raw_upstream(late) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            # Half of the next head has come already: reading it is our own matter until then.
            await client.send(post(b"content-length: 2", body=b"{}") + b"GET /openai/v1/models HT")
            assert (await client.answer())[0] == 200


async def test_a_client_that_does_not_read_is_given_up_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.3)
    event = b"data: " + b"x" * 65536 + b"\n\n"

    async def streams(connection):
        await connection.request()
        await connection.send(STREAM_HEAD)
        while True:
            await connection.send(b"%x\r\n%b\r\n" % (len(event), event))

    async with raw_upstream(streams) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(post(b"content-length: 15", body=b'{"stream":true}'))
            row = await proxy.ledger.one()
            assert row.error_type == "client_disconnected"


async def test_a_client_that_reads_slowly_but_reads_gets_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    body = b"x" * 8_000_000

    async def large(connection):
        await connection.request()
        await connection.send(answer(body, b"content-type: text/plain"))

    async with raw_upstream(large) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(post(b"content-length: 2", body=b"{}"))
            await client.reader.readuntil(b"\r\n\r\n")
            read, began = 0, time.monotonic()
            while read < len(body):
                part = await client.reader.read(400_000)
                assert part
                read += len(part)
                if time.monotonic() < began + 1.2:
                    await asyncio.sleep(0.05)  # a slow reader is what this is about
            assert read == len(body)


async def test_idle_connections_make_room_for_those_that_come(tmp_path, monkeypatch):
    monkeypatch.setattr(HttpProtocol, "max_connections", 5)
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        idle = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(5)]
        async with raw(proxy.port) as client:
            await client.send(post(b"content-length: 2", body=b"{}"))
            assert (await client.answer())[0] == 200
            async with asyncio.timeout(5):
                try:
                    gone = await idle[0][0].read()
                except ConnectionError:
                    gone = b""
            assert gone == b""  # the one that was idle longest
            assert not idle[1][0].at_eof()
        for _, writer in idle:
            writer.close()


async def test_where_all_are_busy_one_more_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(HttpProtocol, "max_connections", 2)
    gate = asyncio.Event()

    async def waits(connection):
        await connection.request()
        await gate.wait()
        await connection.send(HELLO)

    async with (
        raw_upstream(waits) as upstream,
        running(upstream.url, tmp_path) as proxy,
        httpx.AsyncClient(timeout=20) as http,
    ):
        url = f"{proxy.url}/openai/v1/chat/completions"
        busy = [asyncio.create_task(http.post(url, json={})) for _ in range(2)]
        await upstream.until(lambda: len(upstream.requests) == 2)
        async with raw(proxy.port) as client:
            assert (await client.all()).startswith(b"HTTP/1.1 503 ")
        gate.set()
        assert [(await one).status_code for one in busy] == [200, 200]


async def test_thousands_of_idle_connections_do_not_hurt(tmp_path):
    """As many as the descriptors allow, up to 2,000: client and server share them here."""
    count = min(2000, connections.bound(100_000) // 2)
    async with (
        raw_upstream(answers) as upstream,
        running(upstream.url, tmp_path) as proxy,
        httpx.AsyncClient(timeout=30) as http,
    ):
        idle = []
        for _ in range(count // 100):
            opened = [asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(100)]
            idle += await asyncio.gather(*opened)
        found = [
            (await http.post(f"{proxy.url}/openai/v1/chat/completions", json={})).status_code
            for _ in range(20)
        ]
        assert found == [200] * 20
        for _, writer in idle:
            writer.close()
