"""The transport against upstreams that misbehave, on real sockets."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

from tests.fakes import answer, chunked, raw_upstream
from upstreams.errors import (
    BadAnswer,
    BrokenBody,
    ConnectFailed,
    ConnectTimeout,
    Dropped,
    ResponseTimeout,
)
from upstreams.transport import CancelledBeforeSending, Transport


@asynccontextmanager
async def transport(connect_timeout=5.0, overall_timeout=5.0):
    made = Transport(connect_timeout=connect_timeout, overall_timeout=overall_timeout)
    try:
        yield made
    finally:
        await made.close()


async def read(exchange):
    body = b""
    while chunk := await exchange.chunk():
        body += chunk
    exchange.close()
    return body


async def send(made, upstream, body=b"{}", path="/v1/x", headers=(), method="POST"):
    exchange = await made.send(method, upstream.url + path, list(headers), body)
    return exchange.status, exchange.headers, await read(exchange)


async def test_what_goes_out_is_what_was_given_and_nothing_more():
    async def script(connection):
        await connection.request()
        await connection.send(answer(b"ok", b"X-A: 1", b"X-A: 2"))

    sent = [(b"x-b", b"1"), (b"x-b", b"2"), (b"x-utf", "ü".encode())]
    async with raw_upstream(script) as upstream, transport() as made:
        path = "/v1/a%2Fb/../c//d?q=%20+&q=2"
        status, headers, body = await send(made, upstream, b"body", path, sent)
    assert (status, body) == (200, b"ok")
    assert headers == [(b"x-a", b"1"), (b"x-a", b"2"), (b"content-length", b"2")]
    request = upstream.requests[0]
    assert request.line == b"POST " + path.encode() + b" HTTP/1.1"
    assert request.body == b"body"
    assert sorted(request.headers) == sorted(
        [
            *sent,
            (b"host", upstream.url.removeprefix("http://").encode()),
            (b"content-length", b"4"),
        ]
    )


async def test_redirects_and_cookies_are_passed_on_not_followed_nor_kept():
    async def script(connection):
        while True:
            await connection.request()
            await connection.send(
                answer(b"", b"Location: /b", b"Set-Cookie: s=1", status=b"307 Temporary Redirect")
            )

    async with raw_upstream(script) as upstream, transport() as made:
        url = upstream.url.replace("127.0.0.1", "localhost")
        for _ in range(2):
            exchange = await made.send("POST", url + "/a", [], b"x")
            assert exchange.status == 307
            await read(exchange)
    assert len(upstream.requests) == 2
    assert upstream.requests[1].values(b"cookie") == []


async def test_a_compressed_answer_stays_compressed():
    import gzip

    packed = gzip.compress(b"hello" * 100)

    async def script(connection):
        await connection.request()
        await connection.send(answer(packed, b"content-encoding: gzip"))

    async with raw_upstream(script) as upstream, transport() as made:
        assert (await send(made, upstream))[2] == packed


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_without_a_body(status):
    async def script(connection):
        while True:
            await connection.request()
            await connection.send(b"HTTP/1.1 " + status + b"\r\nx: y\r\n\r\n")

    async with raw_upstream(script) as upstream, transport() as made:
        for _ in range(2):
            code, _, body = await send(made, upstream)
            assert (code, body) == (int(status[:3]), b"")
    assert upstream.connections == 1


async def test_head_keeps_the_length_and_has_no_body():
    async def script(connection):
        while True:
            await connection.request()
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")

    async with raw_upstream(script) as upstream, transport() as made:
        for _ in range(2):
            code, headers, body = await send(made, upstream, None, method="HEAD")
            assert (code, body) == (200, b"")
            assert (b"content-length", b"500") in headers


async def test_interim_answers_are_skipped():
    async def script(connection):
        await connection.request()
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", answer(b"ok"))

    async with raw_upstream(script) as upstream, transport() as made:
        assert (await send(made, upstream))[0] == 200


async def test_unasked_protocol_switch_is_an_error():
    async def script(connection):
        await connection.request()
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
        )
        await connection.until_gone()

    async with raw_upstream(script) as upstream, transport() as made:
        with pytest.raises(BadAnswer):
            await send(made, upstream)


async def test_nobody_listens():
    async with raw_upstream(None) as upstream:
        url = upstream.url
    async with transport() as made:
        with pytest.raises(ConnectFailed) as caught:
            await made.send("POST", url, [], b"x")
    assert caught.value.sent is False


async def test_unknown_host():
    async with transport() as made:
        with pytest.raises(ConnectFailed):
            await made.send("POST", "http://no-such-host.invalid/", [], b"x")


async def test_no_tls_behind_an_https_url():
    async def script(connection):
        await connection.reader.read(10)
        await connection.send(b"this is no TLS server\r\n\r\n")

    async with raw_upstream(script) as upstream, transport() as made:
        with pytest.raises(ConnectFailed):
            await made.send("POST", upstream.url.replace("http:", "https:"), [], b"x")


async def test_a_host_that_does_not_answer_the_handshake():
    async def script(connection):
        await connection.until_gone()  # accepts, and never begins TLS

    async with raw_upstream(script) as upstream, transport(connect_timeout=0.2) as made:
        with pytest.raises(ConnectTimeout) as caught:
            await made.send("POST", upstream.url.replace("http:", "https:"), [], b"x")
    assert caught.value.sent is False


async def test_dropped_after_sending_on_a_fresh_connection_is_not_sent_twice():
    async def script(connection):
        await connection.request()

    async with raw_upstream(script) as upstream, transport() as made:
        with pytest.raises(Dropped):
            await send(made, upstream)
    assert upstream.connections == 1


async def test_reset_after_sending():
    async def script(connection):
        await connection.request()
        connection.reset()

    async with raw_upstream(script) as upstream, transport() as made:
        with pytest.raises(Dropped):
            await send(made, upstream)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_pooled_connection_that_died_is_replaced_once(end):
    async def script(connection):
        await connection.request()
        await connection.send(answer(b"ok"))
        if connection.number == 1:
            await connection.request()  # gets the second request and dies without an answer
            if end == "reset":
                connection.reset()
            return
        while True:
            await connection.request()
            await connection.send(answer(b"ok"))

    async with raw_upstream(script) as upstream, transport() as made:
        for _ in range(3):
            assert (await send(made, upstream))[2] == b"ok"
    assert upstream.connections == 2


async def test_a_streamed_body_is_never_sent_twice():
    async def script(connection):
        await connection.request()
        await connection.send(answer(b"ok"))
        await connection.request()

    async def parts():
        yield b"a"
        yield b"b"

    async with raw_upstream(script) as upstream, transport() as made:
        await send(made, upstream)
        with pytest.raises(Dropped):
            await send(made, upstream, parts())
    assert upstream.connections == 1
    assert upstream.requests[1].body == b"ab"


async def test_connections_are_reused():
    async def script(connection):
        while True:
            await connection.request()
            await connection.send(answer(b"ok"))

    async with raw_upstream(script) as upstream, transport() as made:
        for _ in range(5):
            await send(made, upstream)
    assert upstream.connections == 1


async def test_bytes_after_an_answer_never_reach_the_next_request():
    async def script(connection):
        while True:
            request = await connection.request()
            await connection.send(answer(request.body) + answer(b"STALE"))

    async with raw_upstream(script) as upstream, transport() as made:
        for number in range(20):
            body = b"%d" % number
            assert (await send(made, upstream, body))[2] == body


async def test_late_bytes_after_an_answer_never_reach_the_next_request():
    late = asyncio.Event()
    seen = asyncio.Event()

    async def script(connection):
        request = await connection.request()
        await connection.send(answer(request.body))
        if connection.number == 1:
            await late.wait()
            await connection.send(answer(b"STALE"))
            await connection.until_gone()
            seen.set()
        else:
            await connection.until_gone()

    async with raw_upstream(script) as upstream, transport() as made:
        assert (await send(made, upstream, b"1"))[2] == b"1"
        late.set()
        await asyncio.wait_for(seen.wait(), 5)  # the transport closed the odd connection
        assert (await send(made, upstream, b"2"))[2] == b"2"
    assert upstream.connections == 2


async def test_silence_ends_with_the_overall_timeout():
    async def script(connection):
        await connection.request()
        await connection.until_gone()

    async with raw_upstream(script) as upstream, transport(overall_timeout=0.2) as made:
        with pytest.raises(ResponseTimeout):
            await send(made, upstream)
        await asyncio.wait_for(upstream.left.wait(), 5)


async def test_a_head_that_trickles_ends_with_the_overall_timeout():
    async def script(connection):
        await connection.request()
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000:
            await connection.send(bytes([byte]))
            await asyncio.sleep(0.05)

    async with raw_upstream(script) as upstream, transport(overall_timeout=0.3) as made:
        with pytest.raises(ResponseTimeout):
            await send(made, upstream)


async def test_a_stream_that_stalls_ends_with_the_overall_timeout():
    async def script(connection):
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n")
        await connection.until_gone()

    async with raw_upstream(script) as upstream, transport(overall_timeout=0.3) as made:
        exchange = await made.send("POST", upstream.url, [], b"x")
        assert await exchange.chunk() == b"ab"
        with pytest.raises(ResponseTimeout):
            await exchange.chunk()
        exchange.close()
        await asyncio.wait_for(upstream.left.wait(), 5)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.0\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_told_apart(garbage):
    async def script(connection):
        await connection.request()
        await connection.send(garbage)

    async with raw_upstream(script) as upstream, transport() as made:
        with pytest.raises(BadAnswer):
            await send(made, upstream)


async def test_a_long_header_is_read():
    async def script(connection):
        await connection.request()
        await connection.send(answer(b"ok", b"x-long: " + b"a" * 30_000))

    async with raw_upstream(script) as upstream, transport() as made:
        assert (await send(made, upstream))[2] == b"ok"


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nffff\r\nx",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_a_body_that_breaks_off_is_broken(wire):
    async def script(connection):
        await connection.request()
        await connection.send(wire)

    async with raw_upstream(script) as upstream, transport() as made:
        # Where head and fault come in one segment, there never was a head to hand out.
        with pytest.raises((BrokenBody, BadAnswer)):
            await read(await made.send("POST", upstream.url, [], b"x"))


async def test_a_malformed_chunk_after_good_ones_is_noticed_at_once():
    go_on = asyncio.Event()

    async def script(connection):
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await go_on.wait()
        await connection.send(b"zz\r\n")
        await connection.until_gone()

    async with raw_upstream(script) as upstream, transport(overall_timeout=60) as made:
        exchange = await made.send("POST", upstream.url, [], b"x")
        assert await exchange.chunk() == b"abc"
        go_on.set()
        with pytest.raises(BrokenBody):
            await asyncio.wait_for(exchange.chunk(), 5)
        exchange.close()


async def test_an_exchange_may_have_timeouts_of_its_own():
    async def script(connection):
        await connection.request()
        await connection.until_gone()

    async with raw_upstream(script) as upstream, transport(overall_timeout=60) as made:
        with pytest.raises(ResponseTimeout):
            await made.send("POST", upstream.url, [], b"x", overall_timeout=0.1)
        url = upstream.url.replace("http:", "https:")
        with pytest.raises(ConnectTimeout):
            await made.send("POST", url, [], b"x", connect_timeout=0.1)


async def test_a_body_without_length_ends_with_the_connection():
    async def script(connection):
        await connection.request()
        await connection.send(b"HTTP/1.0 200 OK\r\n\r\nabc")

    async with raw_upstream(script) as upstream, transport() as made:
        assert (await send(made, upstream))[2] == b"abc"


async def test_closing_in_the_middle_tells_the_upstream_at_once():
    async def script(connection):
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await connection.send(chunked(b"a", end=False))
        await connection.until_gone()

    async with raw_upstream(script) as upstream, transport() as made:
        exchange = await made.send("POST", upstream.url, [], b"x")
        await exchange.chunk()
        exchange.close()
        await asyncio.wait_for(upstream.left.wait(), 5)


async def test_cancelling_while_waiting_for_the_head_tells_the_upstream_at_once():
    async def script(connection):
        await connection.request()
        await connection.until_gone()

    async with raw_upstream(script) as upstream, transport() as made:
        task = asyncio.create_task(made.send("POST", upstream.url, [], b"x"))
        await upstream.until(lambda: bool(upstream.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.left.wait(), 5)


async def test_a_slow_reader_slows_the_upstream():
    written = 0

    async def script(connection):
        nonlocal written
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        for _ in range(100):
            await connection.send(bytes(1_000_000))
            written += 1_000_000

    async with raw_upstream(script) as upstream, transport() as made:
        exchange = await made.send("POST", upstream.url, [], b"x")
        before = -1
        while before != written:  # until it stands still: sockets' buffers and ours are full
            before = written
            await asyncio.sleep(0.1)
        assert written < 30_000_000
        exchange.close()


async def test_proxies_of_the_environment_are_used(monkeypatch):
    async def script(connection):
        await connection.request()
        await connection.send(answer(b"from the proxy"))

    async with raw_upstream(script) as proxy, transport() as made:
        monkeypatch.setenv("http_proxy", proxy.url)
        exchange = await made.send("GET", "http://provider.invalid/v1/models", [], None)
        assert await read(exchange) == b"from the proxy"
    assert proxy.requests[0].line == b"GET http://provider.invalid/v1/models HTTP/1.1"


async def test_certificates_are_checked():
    made = ssl.create_default_context()
    assert made.verify_mode is ssl.CERT_REQUIRED
    async with transport() as ours:
        assert ours._ssl.verify_mode is ssl.CERT_REQUIRED
        assert ours._ssl.check_hostname


@pytest.mark.parametrize("size", [900_000, 4_000_000])
async def test_an_answer_that_comes_before_the_body_is_read_is_heard(size):
    heard = asyncio.Event()

    async def script(connection):
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(answer(b"too large", status=b"413 Content Too Large"))
        await heard.wait()
        await connection.until_gone()

    async with raw_upstream(script) as upstream, transport() as made:
        status, _, body = await send(made, upstream, bytes(size))
        heard.set()
    assert (status, body) == (413, b"too large")


@pytest.mark.parametrize("overall", [0.2, 5.0])
async def test_what_ends_before_there_is_a_connection_has_sent_nothing(overall):
    connected = asyncio.Event()

    async def hanging(connection):
        connected.set()
        await asyncio.Event().wait()

    async with raw_upstream(hanging) as upstream, transport(overall_timeout=overall) as made:
        url = upstream.url.replace("http:", "https:")
        task = asyncio.create_task(made.send("POST", url, [], b"{}"))
        if overall < 1:
            with pytest.raises(ConnectTimeout) as timed_out:
                await task
            assert not timed_out.value.sent
            return
        async with asyncio.timeout(5):
            await connected.wait()
        task.cancel()
        with pytest.raises(CancelledBeforeSending):
            await task
