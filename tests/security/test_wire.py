"""Requests that mean to be read in two ways, paths that lead astray, bodies without end."""

import asyncio
import zlib

import httpx
import pytest

from tests.fakes import STREAM_HEAD, answer, chunked, raw_upstream
from tests.proxy.serving import running
from tests.security.raw import post, raw

HELLO = answer(b'{"id": 1}', b"content-type: application/json")
HIDDEN = b"GET /openai/v1/hidden HTTP/1.1\r\nhost: x\r\n\r\n"


async def answers(connection):
    while True:
        await connection.request()
        await connection.send(HELLO)


SMUGGLED = {
    "CL.TE": post(
        b"content-length: %d" % (5 + len(HIDDEN)),
        b"transfer-encoding: chunked",
        body=b"0\r\n\r\n" + HIDDEN,
    ),
    "TE.CL": post(
        b"transfer-encoding: chunked",
        b"content-length: 4",
        body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    ),
    "two lengths": post(b"content-length: 0", b"content-length: %d" % len(HIDDEN), body=HIDDEN),
    "a list of lengths": post(b"content-length: 0, %d" % len(HIDDEN), body=HIDDEN),
    "a signed length": post(b"content-length: +0", body=HIDDEN),
    "a hexadecimal length": post(b"content-length: 0x0", body=HIDDEN),
    "an unknown coding": post(b"transfer-encoding: xchunked", body=b"0\r\n\r\n" + HIDDEN),
    "chunked is not the last": post(
        b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n" + HIDDEN
    ),
    "two codings": post(
        b"transfer-encoding: chunked", b"transfer-encoding: identity", body=b"0\r\n\r\n" + HIDDEN
    ),
    "a space before the colon": post(b"transfer-encoding : chunked", body=b"0\r\n\r\n" + HIDDEN),
    "a folded line": post(b"content-length: 2", b"x-a: b", b" transfer-encoding: chunked"),
    "a folded value": post(b"transfer-encoding:", b" chunked", body=b"0\r\n\r\n" + HIDDEN),
    "a bare CR": post(b"x-a: b\rtransfer-encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
    "a NUL": post(b"x-a: b\x00c", b"content-length: 0"),
    "a name with a line break": post(b"x-a\rx: b", b"content-length: 0"),
    "a chunk with a wrong size": post(
        b"transfer-encoding: chunked", body=b"2\r\n{}x\r\n0\r\n\r\n" + HIDDEN
    ),
    "a negative chunk": post(b"transfer-encoding: chunked", body=b"-1\r\n{}\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("kind", SMUGGLED)
async def test_a_request_with_two_readings_is_refused(tmp_path, kind):
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(SMUGGLED[kind])
            said = await client.all()
        assert said.startswith(b"HTTP/1.1 400 "), said
        assert said.count(b"HTTP/1.1 ") == 1
        assert not any(b"hidden" in request.line for request in upstream.requests)
        assert upstream.requests == []


async def test_a_line_feed_alone_divides_lines_and_no_requests(tmp_path):
    """Either reading is allowed (RFC 9112, 2.2); what goes on has one reading only."""
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(post(b"x-a: b\nx-b: c", b"content-length: 2", body=b"{}"))
            status, _, _ = await client.answer()
        if status == 200:
            (request,) = upstream.requests
            assert b"\n" not in request.head.replace(b"\r\n", b"")
            assert request.values(b"content-length") == [b"2"]
        else:
            assert (status, upstream.requests) == (400, [])


async def test_what_goes_on_is_framed_anew(tmp_path):
    body = b"2\r\n{}\r\n0\r\n\r\n"
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(post(b"transfer-encoding: chunked", body=body))
            assert (await client.answer())[0] == 200
        (request,) = upstream.requests
        assert request.values(b"transfer-encoding") == []
        assert request.values(b"content-length") == [b"2"]
        assert request.body == b"{}"


async def test_line_breaks_in_an_upstreams_headers_do_not_split_the_answer(tmp_path):
    async def splits(connection):
        await connection.request()
        await connection.send(
            b"HTTP/1.1 200 OK\r\nx-a: b\rset-cookie: c\r\ncontent-length: 2\r\n\r\n{}"
        )

    async with raw_upstream(splits) as upstream, running(upstream.url, tmp_path) as proxy:
        async with httpx.AsyncClient() as http:
            got = await http.post(f"{proxy.url}/openai/v1/x", json={})
        assert "set-cookie" not in got.headers
        assert got.status_code == 502


PATHS = [
    "/openai/../../admin/",
    "/openai/..",
    "/openai/v1/../../x",
    "/openai/%2e%2e/x",
    "/openai/v1/.%2E/x",
    "/openai/v1%2f..%2fx",
    "/openai/v1/..\\x",
    "/openai/./x",
]


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_out_of_the_upstreams_base_url(tmp_path, path):
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(post(b"content-length: 2", body=b"{}", path=path.encode()))
            status, _, body = await client.answer()
        assert status == 400
        assert b"bad_path" in body or b"Invalid HTTP" in body
        assert upstream.requests == []


@pytest.mark.parametrize(
    "path", ["//admin/", "/admin/", "/%61dmin/", "/openai", "/%6fpenai/v1/x", "/health/../admin/"]
)
async def test_the_proxys_port_has_nothing_else(tmp_path, path):
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode())
            status, _, body = await client.answer()
        assert (status, upstream.requests) == (404, [])
        assert b"unknown_path" in body


@pytest.mark.parametrize(
    "path",
    [
        "/openai/v1/models/gpt-4.1",
        "/openai/v1/models/a..b",
        "/openai//v1/x",
        "/openai/v1/files/a%2Fb",
        "/openai/v1/...",
    ],
)
async def test_honest_paths_pass_as_they_are(tmp_path, path):
    async with raw_upstream(answers) as upstream, running(upstream.url, tmp_path) as proxy:
        async with raw(proxy.port) as client:
            await client.send(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode())
            assert (await client.answer())[0] == 200
        assert upstream.requests[0].line == b"GET %b HTTP/1.1" % path[7:].encode()


async def test_the_target_of_a_request_is_never_a_host_of_the_clients(tmp_path):
    async with (
        raw_upstream(answers) as upstream,
        raw_upstream(answers) as other,
        running(upstream.url, tmp_path) as proxy,
    ):
        host = other.url.removeprefix("http://").encode()
        for target in (b"http://%b/openai/v1/x" % host, b"http://%b/" % host, b"//%b/x" % host):
            async with raw(proxy.port) as client:
                await client.send(b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (target, host))
                await client.answer()
        async with raw(proxy.port) as client:
            await client.send(b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (host, host))
            assert (await client.answer())[0] in (400, 404)
        assert other.connections == 0


async def test_redirects_are_passed_on_and_not_followed(tmp_path):
    async with raw_upstream(answers) as other:
        location = b"location: " + other.url.encode()

        async def redirects(connection):
            await connection.request()
            await connection.send(answer(b"", location, status=b"307 Temporary Redirect"))

        async with raw_upstream(redirects) as upstream, running(upstream.url, tmp_path) as proxy:
            async with httpx.AsyncClient() as http:
                got = await http.post(f"{proxy.url}/openai/v1/x", json={})
            assert got.status_code == 307
            assert other.connections == 0


async def test_a_body_without_end_is_refused_at_its_bound(tmp_path):
    async with (
        raw_upstream(answers) as upstream,
        running(upstream.url, tmp_path, max_body_bytes=100_000) as proxy,
        raw(proxy.port) as client,
    ):
        await client.send(post(b"transfer-encoding: chunked"))

        async def endless():
            while True:
                await client.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")

        task = asyncio.create_task(endless())
        status, _, body = await client.answer()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (status, upstream.connections) == (413, 0)
        assert b"TOKENWATCH_MAX_BODY_BYTES" in body


async def test_a_body_that_trickles_is_given_up(tmp_path):
    async with (
        raw_upstream(answers) as upstream,
        running(upstream.url, tmp_path, overall_timeout="0.3") as proxy,
        raw(proxy.port) as client,
    ):
        await client.send(post(b"content-length: 1000", body=b"{"))
        assert (await client.answer())[0] == 408
        assert upstream.connections == 0


async def test_a_decompression_bomb_passes_by_as_it_came(tmp_path):
    """300 MB of zeros in 300 kB: accounting gives up early (tests/proxy/test_decoding.py)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(10**6)) for _ in range(300)) + packer.flush()

    async def bombs(connection):
        while True:
            request = await connection.request()
            headers = (b"content-type: application/json", b"content-encoding: gzip")
            if b"stream" not in request.line:
                await connection.send(answer(bomb, *headers))
            else:
                head = STREAM_HEAD[:-2] + b"content-encoding: gzip\r\n\r\n"
                await connection.send(head + chunked(bomb))

    async with (
        raw_upstream(bombs) as upstream,
        running(upstream.url, tmp_path) as proxy,
        httpx.AsyncClient(timeout=60) as http,
    ):
        for path in ("chat/completions", "stream"):
            async with http.stream("POST", f"{proxy.url}/openai/v1/{path}", json={}) as got:
                assert got.status_code == 200
                assert b"".join([part async for part in got.aiter_raw()]) == bomb
        await proxy.ledger.one(2)
