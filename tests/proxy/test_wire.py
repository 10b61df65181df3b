"""Answers byte by byte, as clients of every kind see them on the wire."""

import asyncio

import pytest

from tests.fakes import answer, chunked, raw_upstream
from tests.proxy.serving import running

JSON = b"content-type: application/json"


async def echo(connection):
    """Answers each request with its own body."""
    while True:
        request = await connection.request()
        await connection.send(answer(request.body, JSON))


def post(body, *headers, version=b"1.1"):
    lines = [
        b"POST /openai/v1/chat/completions HTTP/" + version,
        b"host: x",
        b"content-length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def exchange(proxy, sent):
    """All that comes back until the proxy closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(sent)
    async with asyncio.timeout(5):
        received = await reader.read(-1)
    writer.close()
    return received


def bodies(received):
    """The bodies of answers with a length."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append(received[:length])
        received = received[length:]
    return found


async def test_requests_sent_before_the_answers_get_each_their_own(tmp_path):
    sent = [b'{"n": %d}' % number for number in range(5)]
    async with raw_upstream(echo) as upstream, running(upstream.url, tmp_path) as proxy:
        last = post(sent[-1], b"connection: close")
        received = await exchange(proxy, b"".join(map(post, sent[:-1])) + last)
        await proxy.ledger.one(5)
    assert bodies(received) == sent


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_client_that_wants_the_connection_closed_gets_it_closed(tmp_path, version):
    async with raw_upstream(echo) as upstream, running(upstream.url, tmp_path) as proxy:
        received = await exchange(proxy, post(b'{"a": 1}', b"connection: close", version=version))
    assert b"\r\nconnection: close\r\n" in received
    assert bodies(received) == [b'{"a": 1}']


@pytest.mark.parametrize("parts", [(b'{"a":', b" 1}"), ()])
async def test_a_chunked_json_answer_stays_chunked(tmp_path, parts):
    async def script(connection):
        await connection.request()
        head = b"HTTP/1.1 200 OK\r\n" + JSON + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        await connection.send(head + chunked(*parts))

    async with raw_upstream(script) as upstream, running(upstream.url, tmp_path) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(post(b"{}"))
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(b"0\r\n\r\n")
        writer.close()
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert body == (chunked(b"".join(parts)) if parts else b"0\r\n\r\n")


async def test_a_second_request_on_the_connection_is_served(tmp_path):
    async with raw_upstream(echo) as upstream, running(upstream.url, tmp_path) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for body in (b'{"n": 1}', b'{"n": 22}'):
            writer.write(post(body))
            async with asyncio.timeout(5):
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(len(body)) == body
        writer.close()
        rows = (await proxy.ledger.one(2), proxy.ledger.rows[0])
    assert [row.status_code for row in rows] == [200, 200]
