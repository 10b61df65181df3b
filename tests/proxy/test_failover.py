"""Failover against upstreams that misbehave on real sockets: what client, ledger and each
upstream get to see."""

import asyncio
import gzip
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from proxy import decision
from routing.rules import Rule, RuleSet
from tests.fakes import STREAM_HEAD, answer, chunked, raw_upstream
from tests.proxy import streams
from tests.proxy.serving import running
from tests.proxy.streams import sse
from tests.proxy.test_tap import COMPLETION
from upstreams.breaker import CLOSED, OPEN
from upstreams.candidates import DEFAULT_NAME, Candidate, Route

CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello, world"}]}
JSON = b"content-type: application/json"
COST = "0.0000174000"


def saying(status, *headers, body=b'{"error":{"type":"server_error","message":"m"}}'):
    async def script(connection):
        while True:
            await connection.request()
            await connection.send(answer(body, JSON, *headers, status=status))

    return script


async def good(connection):
    """Answers as it was asked: with a stream or whole."""
    while True:
        request = await connection.request()
        if b'"stream":true' in request.body.replace(b" ", b""):
            await connection.send(STREAM_HEAD, chunked(*streams.OPENAI))
        else:
            await connection.send(answer(json.dumps(COMPLETION).encode(), JSON))


async def dropping(connection):
    await connection.request()


async def breaking_first_chunk(connection):
    await connection.request()
    await connection.send(STREAM_HEAD, b"zz\r\n")


async def breaking_before_the_first_byte(connection):
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
    await connection.send(b"content-length: 50\r\n\r\n")


async def no_http(connection):
    await connection.request()
    await connection.send(b"SSH-2.0-OpenSSH_9.0\r\n\r\n")


async def silent(connection):
    await connection.request()
    await connection.until_gone()


class Site:
    """A proxy before several upstreams, `first` and `second`, and what came of a request."""

    def __init__(self, proxy, http):
        self.proxy = proxy
        self.http = http
        self.health = proxy.services.health

    async def ask(self, path=CHAT, **options):
        options = {"json": BODY, **options} if "content" not in options else options
        return await self.http.post(self.proxy.url + path, **options)

    async def row(self, number=1):
        return await self.proxy.ledger.one(number)

    def use(self, *candidates):
        policies = self.proxy.services.policies
        by_type = {kind: tuple(c for c in candidates if c.api_type == kind) for kind in KINDS}
        policies.snapshot = replace(policies.snapshot, upstreams=by_type)
        self.candidates = candidates

    def state(self, name):
        candidate = next(one for one in self.candidates if one.name == name)
        return self.health.of(candidate).state


KINDS = ("openai", "anthropic")


def candidate(name, url, priority=1, kind="openai", **more):
    more.setdefault("forwards_credential", name == "first")
    return Candidate(name, kind, url, priority, **more)


@asynccontextmanager
async def site(tmp_path, url, second_url, more=None, **settings):
    async with (
        running(url, tmp_path, **settings) as proxy,
        httpx.AsyncClient(timeout=15) as http,
    ):
        made = Site(proxy, http)
        more = more or {}
        made.use(
            *(
                candidate(name, u, priority, kind, **more.get(name, {}))
                for priority, (name, u) in enumerate((("first", url), ("second", second_url)))
                for kind in KINDS
            )
        )
        yield made


@asynccontextmanager
async def two(tmp_path, first, second=good, more=None, **settings):
    """A site whose first upstream follows one script and whose second another."""
    async with raw_upstream(first) as one, raw_upstream(second) as other:
        async with site(tmp_path, one.url, other.url, more, **settings) as made:
            made.first, made.second = one, other
            yield made


async def closed_port():
    async with raw_upstream(None) as upstream:
        return upstream.url


@asynccontextmanager
async def black_hole():
    """An address that never completes a connection: its queue of new ones is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    fillers = []
    try:
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        for one in (*fillers, listener):
            one.close()


STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def assert_answered_by_second(response, row, log, stream=False, attempts=2):
    assert response.status_code == 200
    if stream:
        assert response.content == b"".join(streams.OPENAI_UNASKED)
    else:
        assert response.json() == COMPLETION
        assert row.cost == response.headers["x-tokenwatch-cost"]
    assert response.headers["x-tokenwatch-upstream"] == "second"
    assert response.headers["x-tokenwatch-attempts"] == str(attempts)
    assert (row.upstream, row.attempts, row.attempt_log) == ("second", attempts, log)
    assert (row.status_code, row.error_type, row.cost) == (200, "", COST)
    assert (row.usage_estimated, row.model_routed) == (False, "")
    assert row.overhead_ms is not None


@STREAMED
@pytest.mark.parametrize(
    ("script", "log"),
    [
        (saying(b"500 Internal Server Error"), "first:500"),
        (saying(b"503 Service Unavailable"), "first:503"),
        (saying(b"529 Overloaded"), "first:529"),
        (saying(b"429 Too Many Requests", b"retry-after: 7"), "first:429"),
        (saying(b"524 A Timeout Occurred", body=b"<html>"), "first:524"),
        (dropping, "first:dropped!"),
        (breaking_first_chunk, "first:broken!"),
        (breaking_before_the_first_byte, "first:broken!"),
        (no_http, "first:protocol!"),
    ],
    ids=[
        "500", "503", "529", "429", "524", "dropped", "broken-chunk", "broken-body", "no-http",
    ],
)  # fmt: skip
async def test_the_next_upstream_answers(script, log, stream, tmp_path):
    body = {**BODY, "stream": True} if stream else BODY
    async with two(tmp_path, script) as made:
        response = await made.ask(json=body)
        row = await made.row()
    if log == "first:broken!":
        log = row.attempt_log  # where head and fault come together there never was a head
        assert log in ("first:broken!", "first:protocol!")
    assert_answered_by_second(response, row, log, stream)
    # the body went out whole to both
    assert len(made.second.requests) == len(made.first.requests) == 1
    assert made.second.requests[0].body == made.first.requests[0].body
    assert json.loads(made.second.requests[0].body)["messages"] == BODY["messages"]


@STREAMED
async def test_refused_connections(stream, tmp_path):
    url = await closed_port()
    async with raw_upstream(good) as second, site(tmp_path, url, second.url) as made:
        response = await made.ask(json={**BODY, "stream": stream})
        assert_answered_by_second(response, await made.row(), "first:connect", stream)


@STREAMED
async def test_a_host_that_never_completes_a_connection(stream, tmp_path):
    async with (
        black_hole() as url,
        raw_upstream(good) as second,
        site(tmp_path, url, second.url, connect_timeout=0.3) as made,
    ):
        response = await made.ask(json={**BODY, "stream": stream})
        assert_answered_by_second(response, await made.row(), "first:connect_timeout", stream)


@STREAMED
async def test_a_tls_failure(stream, tmp_path):
    async def garbage(connection):
        await connection.reader.read(10)
        await connection.send(b"this is no TLS server\r\n\r\n")

    async with raw_upstream(garbage) as first, raw_upstream(good) as second:
        url = first.url.replace("http:", "https:")
        async with site(tmp_path, url, second.url) as made:
            response = await made.ask(json={**BODY, "stream": stream})
            assert_answered_by_second(response, await made.row(), "first:connect", stream)


async def test_a_long_body_goes_whole_to_the_second(tmp_path):
    body = {**BODY, "messages": [{"role": "user", "content": "x" * 3_000_000}]}
    content = json.dumps(body).encode()
    async with two(tmp_path, saying(b"503 No")) as made:
        response = await made.ask(content=content, headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert made.second.requests[0].body == content


async def test_a_break_after_the_first_chunk_is_the_clients_to_see(tmp_path):
    seen = asyncio.Event()

    async def script(connection):
        await connection.request()
        await connection.send(STREAM_HEAD, chunked(streams.OPENAI[0], end=False))
        await seen.wait()
        await connection.send(b"zz\r\n")

    async def read(made, parts):
        body = {**BODY, "stream": True}
        async with made.http.stream("POST", made.proxy.url + CHAT, json=body) as response:
            assert response.headers["x-tokenwatch-upstream"] == "first"
            async for part in response.aiter_raw():
                parts.append(part)
                seen.set()

    async with two(tmp_path, script) as made:
        parts: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            await read(made, parts)
        row = await made.row()
        assert made.health.of(made.candidates[0]).failures == 1
    assert b"".join(parts) == streams.OPENAI_UNASKED[0]
    assert made.second.requests == []
    assert (row.upstream, row.attempts, row.attempt_log) == ("first", 1, "")
    assert row.error_type == "upstream_broken"


@STREAMED
async def test_a_slow_first_byte_is_waited_for(stream, tmp_path):
    asked = asyncio.Event()
    go = asyncio.Event()

    async def slow(connection):
        await connection.request()
        asked.set()
        await go.wait()
        if stream:
            await connection.send(STREAM_HEAD, chunked(*streams.OPENAI))
        else:
            await connection.send(answer(json.dumps(COMPLETION).encode(), JSON))

    async with two(tmp_path, slow) as made:
        task = asyncio.create_task(made.ask(json={**BODY, "stream": stream}))
        await asked.wait()
        go.set()
        response = await task
        row = await made.row()
    assert (response.headers["x-tokenwatch-upstream"], row.attempt_log) == ("first", "")
    assert made.second.requests == []


async def test_silence_is_a_504_and_not_tried_elsewhere(tmp_path):
    async with two(tmp_path, silent, overall_timeout=0.3) as made:
        response = await made.ask()
        row = await made.row()
    assert response.status_code == 504
    assert made.second.requests == []
    assert (row.upstream, row.attempt_log) == ("first", "first:timeout!")
    assert row.usage_estimated  # it may be billed, as with a single upstream


async def test_silence_is_tried_elsewhere_where_that_is_wanted(tmp_path):
    more = {"first": {"overall_timeout": 0.3}}
    async with two(tmp_path, silent, more=more, failover_on_read_timeout=True) as made:
        response = await made.ask()
        row = await made.row()
        await asyncio.wait_for(made.first.left.wait(), 5)
    assert_answered_by_second(response, row, "first:timeout!")


async def test_the_overall_timeout_is_for_all_attempts_together(tmp_path):
    more = {"first": {"overall_timeout": 0.3}}
    settings = {"failover_on_read_timeout": True, "overall_timeout": 0.6}
    async with two(tmp_path, silent, silent, more=more, **settings) as made:
        response = await made.ask()
        row = await made.row()
        states = made.state("first"), made.state("second")
    assert response.status_code == 504
    assert row.attempt_log == "first:timeout! second:timeout!"
    assert 600 <= row.latency_ms < 3000
    assert states == (CLOSED, CLOSED)


async def test_the_last_ones_own_error_is_what_the_client_sees(tmp_path):
    own = json.dumps({"error": {"type": "server_error", "message": "second's own"}}).encode()
    script = saying(b"503 Nope", b"x-request-id: req_2", b"retry-after: 9", body=own)
    async with two(tmp_path, saying(b"500 Other"), script) as made:
        response = await made.ask()
        row = await made.row()
    assert response.status_code == 503
    assert response.content == own
    assert response.headers["x-request-id"] == "req_2"
    assert response.headers["retry-after"] == "9"
    assert response.headers["x-tokenwatch-upstream"] == "second"
    assert (row.status_code, row.error_type, row.cost) == (503, "server_error", "0.0000000000")
    assert row.attempt_log == "first:500 second:503"


async def test_where_the_last_gives_no_answer_the_error_is_ours(tmp_path):
    url = await closed_port()
    async with raw_upstream(dropping) as first, site(tmp_path, first.url, url) as made:
        response = await made.ask()
        row = await made.row()
    assert response.status_code == 502
    assert "second" in response.json()["error"]["message"]
    assert row.attempt_log == "first:dropped! second:connect"
    # What failed before is recorded as sent, and never priced.
    assert (row.cost, row.input_tokens, row.overhead_ms) == ("0.0000000000", 0, None)


@pytest.mark.parametrize("status", [b"400 Bad", b"401 No", b"403 No", b"404 No", b"422 No"])
async def test_the_clients_own_errors_are_not_tried_elsewhere(status, tmp_path):
    async with two(tmp_path, saying(status), breaker_failures=1) as made:
        response = await made.ask()
        row = await made.row()
        assert made.state("first") == CLOSED
    assert response.status_code == int(status[:3])
    assert made.second.requests == []
    assert (row.upstream, row.attempts, row.attempt_log) == ("first", 1, "")


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_no_more_attempts_than_allowed(limit, tmp_path):
    async with two(tmp_path, saying(b"503 A"), saying(b"503 B"), max_attempts=limit) as made:
        made.use(
            candidate("first", made.first.url, 1),
            candidate("second", made.second.url, 2),
            candidate("third", made.first.url, 3),
            candidate("fourth", made.second.url, 4),
        )
        response = await made.ask()
        row = await made.row()
    assert row.attempts == limit
    names = ["first", "second", "third"]
    assert row.attempt_log == " ".join(f"{name}:503" for name in names[:limit])
    assert response.headers["x-tokenwatch-upstream"] == names[limit - 1]


# Streams that fail at once


ERROR = sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
PING = sse({"type": "ping"}, named=True)


def streaming(*parts, encoding=b""):
    head = STREAM_HEAD[:-2] + (b"content-encoding: " + encoding + b"\r\n" if encoding else b"")

    async def script(connection):
        await connection.request()
        await connection.send(head + b"\r\n" if encoding else STREAM_HEAD)
        for part in parts:
            await connection.send(chunked(part, end=False))
            await asyncio.sleep(0.001)
        await connection.send(b"0\r\n\r\n")

    return script


ANTHROPIC_OK = streaming(*streams.ANTHROPIC)


@pytest.mark.parametrize(
    "before",
    [[], [b": hello\n\n"], PING, [b"eve", b"nt: error\n"], [b"retry: 3\n\n", b": x\n\n", *PING]],
    ids=["at-once", "comment", "ping", "cut", "several"],
)
async def test_a_stream_that_begins_with_an_overload_fails_over(before, tmp_path):
    async with two(tmp_path, streaming(*before, *ERROR), ANTHROPIC_OK) as made:
        response = await made.ask(MESSAGES, json={**BODY, "stream": True, "model": "claude-x"})
        row = await made.row()
    assert response.content == b"".join(streams.ANTHROPIC)
    assert (row.upstream, row.attempt_log) == ("second", "first:529~")


async def test_a_compressed_stream_that_begins_with_an_overload_fails_over(tmp_path):
    packed = gzip.compress(b"".join([*PING, *ERROR]))
    script = streaming(packed[:10], packed[10:], encoding=b"gzip")
    async with two(tmp_path, script, ANTHROPIC_OK) as made:
        response = await made.ask(MESSAGES, json={**BODY, "stream": True, "model": "claude-x"})
    assert response.headers["x-tokenwatch-upstream"] == "second"


@pytest.mark.parametrize(
    ("parts", "settings"),
    [
        (ERROR, {"failover_on_stream_error": False}),
        (sse({"type": "error", "error": {"type": "invalid_request_error"}}), {}),
        ([streams.ANTHROPIC[0], *ERROR], {}),
        ([*PING, streams.ANTHROPIC[0], *ERROR], {}),
    ],
    ids=["switched-off", "clients-error", "after-an-event", "ping-and-event"],
)
async def test_other_errors_in_a_stream_pass_as_they_are(parts, settings, tmp_path):
    async with two(tmp_path, streaming(*parts), ANTHROPIC_OK, **settings) as made:
        response = await made.ask(MESSAGES, json={**BODY, "stream": True, "model": "claude-x"})
    assert response.content == b"".join(parts)
    assert made.second.requests == []


async def test_the_last_ones_stream_error_passes_as_it_is(tmp_path):
    async with two(tmp_path, saying(b"500 No"), streaming(*ERROR)) as made:
        response = await made.ask(MESSAGES, json={**BODY, "stream": True, "model": "claude-x"})
        row = await made.row()
    assert response.status_code == 200
    assert response.content == b"".join(ERROR)
    assert (row.upstream, row.error_type) == ("second", "overloaded_error")


async def test_a_stream_of_pings_alone_is_let_go_when_it_gets_long(tmp_path):
    ping = b": " + b"x" * 10_000 + b"\n\n"
    parts = [ping] * 12
    async with two(tmp_path, streaming(*parts), ANTHROPIC_OK) as made:
        response = await made.ask(MESSAGES, json={**BODY, "stream": True, "model": "claude-x"})
    assert response.content == b"".join(parts)
    assert response.headers["x-tokenwatch-upstream"] == "first"


# Uploads


@pytest.mark.parametrize("kind", ["refused", "taken"])
async def test_an_upload_goes_elsewhere_only_while_nothing_of_it_was_taken(kind, tmp_path):
    async with raw_upstream(saying(b"503 No")) as first, raw_upstream(good) as second:
        url = await closed_port() if kind == "refused" else first.url
        async with site(tmp_path, url, second.url) as made:
            response = await made.ask(
                "/openai/v1/files",
                json=None,
                files={"file": ("a.txt", b"line\n" * 50_000)},
            )
            row = await made.row()
    if kind == "refused":
        assert response.headers["x-tokenwatch-upstream"] == "second"
        assert second.requests[0].body.count(b"line\n") == 50_000
        assert row.attempt_log == "first:connect"
    else:
        assert response.status_code == 503
        assert second.requests == []
        assert row.attempt_log == "first:503"


# Credentials


CLIENT_KEYS = {
    "Authorization": "Bearer sk-client",
    "x-api-key": "sk-client",
    "api-key": "sk-client",
    "cookie": "s=sk-client",
    "OpenAI-Organization": "org-client",
}


@pytest.mark.parametrize("own", ["", "sk-own"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_the_clients_key_is_not_seen_by_the_second_host(own, path, tmp_path):
    async with two(tmp_path, saying(b"503 No"), more={"second": {"credential": own}}) as made:
        response = await made.ask(path + "?key=sk-client&beta=true", headers=CLIENT_KEYS)
    assert response.status_code == 200
    first, second = made.first.requests[0], made.second.requests[0]
    assert first.values(b"authorization") == [b"Bearer sk-client"]
    assert first.line.count(b"key=sk-client")
    assert b"client" not in second.head
    assert second.line.split()[1].endswith(b"?beta=true")
    name, value = (
        (b"authorization", b"Bearer sk-own") if path == CHAT else (b"x-api-key", b"sk-own")
    )
    assert second.values(name) == ([value] if own else [])


async def test_a_credential_of_its_own_goes_before_the_clients(tmp_path):
    own = {"credential": "sk-own", "forwards_credential": True}
    async with two(tmp_path, good, more={"first": own}) as made:
        await made.ask(headers=CLIENT_KEYS)
    assert made.first.requests[0].values(b"authorization") == [b"Bearer sk-own"]
    assert b"client" not in made.first.requests[0].head


async def test_the_configured_url_gets_the_clients_key_as_ever(tmp_path):
    async with raw_upstream(good) as upstream, running(upstream.url, tmp_path) as proxy:
        async with httpx.AsyncClient() as http:
            response = await http.post(proxy.url + CHAT, json=BODY, headers=CLIENT_KEYS)
    assert upstream.requests[0].values(b"authorization") == [b"Bearer sk-client"]
    assert response.headers["x-tokenwatch-upstream"] == DEFAULT_NAME


@pytest.mark.parametrize("status", [b"401 No", b"402 Pay", b"403 No"])
async def test_a_refused_credential_of_ours_is_tried_elsewhere_and_rests(status, tmp_path):
    more = {"first": {"credential": "sk-bad"}}
    async with two(tmp_path, saying(status), more=more) as made:
        for number in (1, 2):
            response = await made.ask()
            assert response.headers["x-tokenwatch-upstream"] == "second"
            await made.row(number)
        assert made.state("first") == OPEN
        first = next(one for one in made.candidates if one.api_type == "openai")
        told = f"{status[:3].decode()} its own credential is refused"
        assert made.health.of(first).error == told
    assert len(made.first.requests) == 1


# Breakers


async def test_retry_after_is_a_cool_down(tmp_path):
    script = saying(b"429 Slow", b"retry-after: 60")
    async with two(tmp_path, script) as made:
        for number in (1, 2, 3):
            await made.ask()
            row = await made.row(number)
    assert len(made.first.requests) == 1
    assert (row.attempts, row.attempt_log) == (1, "")


async def test_a_single_upstream_is_always_tried(tmp_path):
    async with two(tmp_path, saying(b"429 Slow", b"retry-after: 60")) as made:
        made.use(candidate("first", made.first.url))
        for number in (1, 2, 3):
            assert (await made.ask()).status_code == 429
            await made.row(number)
    assert len(made.first.requests) == 3


async def test_with_all_open_the_one_due_first_is_tried(tmp_path):
    first, second = saying(b"429 A", b"retry-after: 60"), saying(b"429 B", b"retry-after: 30")
    async with two(tmp_path, first, second) as made:
        await made.ask()
        await made.ask()
        row = await made.row(2)
    assert row.attempt_log == "second:429 first:429"


async def test_after_the_breaker_opened_no_request_waits_for_a_dead_upstream(tmp_path):
    url = await closed_port()
    settings = {"breaker_failures": 5, "breaker_pause": 300}
    async with raw_upstream(good) as second, site(tmp_path, url, second.url, **settings) as made:

        async def some(count):
            for _ in range(count):
                assert (await made.ask()).status_code == 200

        await asyncio.gather(*(some(100) for _ in range(10)))
        rows = made.proxy.ledger.rows
        assert made.state("first") == OPEN
    assert len(rows) == 1000
    tried = [row for row in rows if row.attempt_log]
    assert {row.attempt_log for row in tried} == {"first:connect"}
    # Five failures open it; of ten clients at once, nine more may have been on their way.
    assert 5 <= len(tried) <= 14
    last = max(i for i, row in enumerate(rows) if row.attempt_log)
    assert last < 20
    assert all(row.upstream == "second" for row in rows)


async def test_a_recovered_upstream_is_found_by_one_probe(tmp_path):
    failing = True

    async def script(connection):
        while True:
            await connection.request()
            status = b"503 No" if failing else b"200 OK"
            await connection.send(answer(json.dumps(COMPLETION).encode(), JSON, status=status))

    settings = {"breaker_failures": 1, "breaker_pause": 0.05}
    async with two(tmp_path, script, **settings) as made:
        await made.ask()
        assert made.state("first") == OPEN
        failing = False
        async with asyncio.timeout(10):
            while (await made.ask()).headers["x-tokenwatch-upstream"] != "first":
                pass
        assert made.state("first") == CLOSED


async def test_a_client_that_leaves_opens_no_breaker_and_keeps_no_probe(tmp_path):
    async with two(tmp_path, silent, breaker_failures=1, breaker_pause=0.01) as made:
        first = made.candidates[0]
        for number in (1, 2):
            task = asyncio.create_task(made.ask())
            await made.first.until(lambda n=number: len(made.first.requests) == n)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            row = await made.row(number)
            assert (row.status_code, row.error_type) == (499, "client_disconnected")
            breaker = made.health.of(first)
            if number == 1:
                assert breaker.state == CLOSED
                breaker.reopen(0.0, "before")  # the second is the probe
            else:
                assert breaker.state == OPEN
                assert breaker.begin(1.0)


# Models


def routed(monkeypatch, **route):
    """As if a rule for every request said so."""
    monkeypatch.setattr("proxy.snapshot.load_rules", lambda: RuleSet([Rule(1, "r", 1)]))
    monkeypatch.setattr(decision, "_route", lambda *_: Route(**route))


async def test_a_route_changes_the_model_and_nothing_else(tmp_path, monkeypatch):
    routed(monkeypatch, model="gpt-4.1-nano")
    body = b'{"messages" :[{"role":"user","content":"\\"model\\": \\u00fc"}], "model" : "gpt-4o" }'
    async with two(tmp_path, good) as made:
        response = await made.ask(content=body)
        row = await made.row()
    assert made.first.requests[0].body == body.replace(b'"gpt-4o"', b'"gpt-4.1-nano"')
    assert response.headers["x-tokenwatch-requested-model"] == "gpt-4o"
    assert response.headers["x-tokenwatch-routed-model"] == "gpt-4.1-nano"
    assert (row.model_requested, row.model_routed) == ("gpt-4o", "gpt-4.1-nano")
    assert row.model_used == COMPLETION["model"]


async def test_an_unchanged_model_is_not_mentioned(tmp_path):
    async with two(tmp_path, good) as made:
        response = await made.ask()
        row = await made.row()
    assert "x-tokenwatch-requested-model" not in response.headers
    assert "x-tokenwatch-routed-model" not in response.headers
    assert row.model_routed == ""


async def test_fallback_models_are_asked_where_the_first_is_overloaded(tmp_path, monkeypatch):
    routed(monkeypatch, fallbacks=("gpt-4.1-nano",), upstreams=("first",))

    async def script(connection):
        while True:
            request = await connection.request()
            if b"gpt-4o-mini" in request.body:
                await connection.send(answer(b"{}", JSON, status=b"529 Overloaded"))
            else:
                await connection.send(answer(json.dumps(COMPLETION).encode(), JSON))

    async with two(tmp_path, script) as made:
        response = await made.ask()
        row = await made.row()
    assert response.status_code == 200
    assert (row.upstream, row.model_routed, row.attempts) == ("first", "gpt-4.1-nano", 2)
    assert row.attempt_log == "first:529"


async def test_another_model_is_not_asked_of_a_host_that_is_not_there(tmp_path, monkeypatch):
    routed(monkeypatch, fallbacks=("gpt-4.1-nano",))
    url = await closed_port()
    async with raw_upstream(saying(b"503 No")) as second, site(tmp_path, url, second.url) as made:
        await made.ask()
        row = await made.row()
    assert row.attempt_log == "first:connect second:503 second:503"


async def test_an_upstreams_own_name_for_a_model_is_no_other_model(tmp_path):
    names = {"first": {"models": {"gpt-4o-mini": "there-1"}}}
    async with two(tmp_path, saying(b"503 No"), more=names) as made:
        response = await made.ask()
        row = await made.row()
    assert json.loads(made.first.requests[0].body)["model"] == "there-1"
    assert json.loads(made.second.requests[0].body)["model"] == "gpt-4o-mini"
    assert "x-tokenwatch-routed-model" not in response.headers
    assert row.model_routed == ""


async def test_where_nobody_can_serve_the_client_is_told(tmp_path, monkeypatch):
    async with two(tmp_path, good) as made:
        made.use()
        response = await made.ask()
        row = await made.row()
        made.use(candidate("first", made.first.url), candidate("second", made.second.url))
        routed(monkeypatch, upstreams=("gone",))
        other = await made.ask()
    assert response.status_code == other.status_code == 503
    assert response.json()["error"]["code"] == "no_upstream"
    assert "problem" in response.json()["error"]["message"]
    assert (row.attempts, row.cost, row.error_type) == (0, "0.0000000000", "no_upstream")


async def test_what_failed_attempts_took_is_no_overhead_of_ours(tmp_path):
    more = {"first": {"overall_timeout": 0.5}}
    async with two(tmp_path, silent, more=more, failover_on_read_timeout=True) as made:
        await made.ask()
        row = await made.row()
    assert row.latency_ms >= 500
    assert 0 < row.overhead_ms < 250
