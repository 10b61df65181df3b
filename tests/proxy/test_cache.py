"""The cache on live requests: what client, provider and ledger see of hits and misses."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from msgspec.structs import replace

from proxy.caching import SINGLE_FLIGHT
from tests.cache.waiting import until
from tests.fakes import STREAM_HEAD, answer, chunked, raw_upstream
from tests.proxy import streams
from tests.proxy.serving import running
from tests.proxy.test_tap import COMPLETION

CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
RESPONSES = "/openai/v1/responses"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello, world"}]}
JSON = b"content-type: application/json"
ANSWER = json.dumps(COMPLETION).encode()
COST = "0.0000174000"


def saying(*parts):
    """An upstream that answers every request with the same bytes."""

    async def script(connection):
        while True:
            await connection.request()
            await connection.send(*parts)

    return script


good = saying(answer(ANSWER, JSON, b"x-request-id: req_1", b"set-cookie: a=b"))
streaming = saying(STREAM_HEAD, chunked(*streams.OPENAI_UNASKED))


class Site:
    def __init__(self, proxy, upstream, http):
        self.proxy, self.upstream, self.http = proxy, upstream, http
        self.rows = proxy.ledger.rows
        self.cache = proxy.services.cache

    async def ask(self, path=CHAT, body=None, **options):
        if "content" not in options:
            options["json"] = BODY if body is None else body
        options["headers"] = {"authorization": "Bearer me", **options.get("headers", {})}
        return await self.http.post(self.proxy.url + path, **options)

    @property
    def asked(self):
        """Requests that reached the provider."""
        return len(self.upstream.requests)


@asynccontextmanager
async def site(script, tmp_path, **settings):
    settings = {"cache_enabled": True, "cache_semantic": False, **settings}
    async with (
        raw_upstream(script) as upstream,
        running(upstream.url, tmp_path, **settings) as proxy,
        httpx.AsyncClient(timeout=15) as http,
    ):
        yield Site(proxy, upstream, http)


def said(response):
    """What the cache says of an answer."""
    prefix = "x-tokenwatch-cache"
    return {k[len(prefix) :]: v for k, v in response.headers.items() if k.startswith(prefix)}


async def test_the_same_request_is_answered_from_the_cache(tmp_path):
    async with site(good, tmp_path) as made:
        first = await made.ask()
        second = await made.ask()
    assert made.asked == 1
    assert second.content == first.content == ANSWER
    assert said(first) == {"": "MISS"}
    assert said(second) == {"": "HIT", "-tier": "exact"}
    assert second.headers["x-tokenwatch-cost"] == "0.0000000000"
    assert second.headers["x-tokenwatch-attempts"] == "0"
    assert second.headers["content-type"] == "application/json"
    assert second.headers["x-request-id"] == "req_1"
    assert "set-cookie" not in second.headers
    one, other = made.rows
    assert one.cost == other.saved_cost == COST
    assert (other.cost, other.cache_tier, other.attempts) == ("0.0000000000", "exact", 0)
    assert other.cache_entry == one.request_id
    assert other.status_code == 200
    assert other.upstream == ""
    assert (other.input_tokens, other.output_tokens) == (one.input_tokens, one.output_tokens)
    assert other.cache_read_tokens == one.cache_read_tokens
    assert other.model_used == one.model_used == "gpt-4o-mini-2024-07-18"
    assert other.finish_reason == "stop"
    assert not other.usage_estimated


@pytest.mark.parametrize(
    ("path", "body", "events"),
    [
        (CHAT, BODY, streams.OPENAI_UNASKED),
        (CHAT, {**BODY, "stream_options": {"include_usage": True}}, streams.OPENAI),
        (MESSAGES, {**BODY, "max_tokens": 9}, streams.ANTHROPIC),
        (RESPONSES, {"model": "gpt-5.1", "input": "Hello"}, streams.RESPONSES),
    ],
    ids=["chat", "chat with usage", "messages", "responses"],
)
async def test_a_stream_is_replayed_in_the_same_events(path, body, events, tmp_path):
    async with site(saying(STREAM_HEAD, chunked(*events)), tmp_path) as made:
        body = {**body, "stream": True}
        first, second = await made.ask(path, body), await made.ask(path, body)
    assert made.asked == 1
    assert second.content == first.content == b"".join(events)
    assert second.headers["content-type"] == "text/event-stream"
    assert said(second)[""] == "HIT"
    one, other = made.rows
    assert other.saved_cost == one.cost is not None
    assert other.output_tokens == one.output_tokens > 0
    assert other.stream
    assert other.ttft_ms is not None


async def test_the_usage_that_tokenwatch_asked_for_is_not_replayed(tmp_path):
    async with site(saying(STREAM_HEAD, chunked(*streams.OPENAI)), tmp_path) as made:
        first = await made.ask(body={**BODY, "stream": True})
        second = await made.ask(body={**BODY, "stream": True})
    assert made.asked == 1
    assert first.content == second.content
    assert b'"usage":{' not in second.content
    assert made.rows[1].input_tokens == made.rows[0].input_tokens == 60


async def test_a_compressed_answer_is_served_to_who_reads_no_compression(tmp_path):
    packed = answer(gzip.compress(ANSWER), JSON, b"content-encoding: gzip")
    async with site(saying(packed), tmp_path) as made:
        await made.ask()
        second = await made.ask(headers={"accept-encoding": "identity"})
    assert made.asked == 1
    assert second.content == ANSWER
    assert "content-encoding" not in second.headers


def error(status, body=b'{"error":{"type":"server_error","message":"m"}}'):
    return saying(answer(body, JSON, status=status))


def ending(reason, **more):
    choice = {"message": {"content": "Hi"}, "finish_reason": reason}
    return saying(answer(json.dumps({**COMPLETION, "choices": [choice], **more}).encode(), JSON))


async def broken_stream(connection):
    await connection.request()
    await connection.send(STREAM_HEAD, chunked(*streams.OPENAI[:2], end=False))


async def stream_without_end(connection):
    while True:
        await connection.request()
        await connection.send(STREAM_HEAD, chunked(*streams.OPENAI[:2]))


async def stream_with_error(connection):
    while True:
        await connection.request()
        failed = streams.sse({"error": {"type": "server_error", "message": "m"}})
        await connection.send(STREAM_HEAD, chunked(*streams.OPENAI[:2], *failed))


async def stream_of_length(connection):
    while True:
        await connection.request()
        events = streams.sse(streams.chunk({"content": "H"}), streams.chunk({}, "length"), "[DONE]")
        await connection.send(STREAM_HEAD, chunked(*events))


@pytest.mark.parametrize(
    "script",
    [
        error(b"400 Bad Request"),
        error(b"429 Too Many Requests"),
        error(b"500 Internal Server Error"),
        error(b"200 OK"),
        error(b"200 OK", b"{}"),
        error(b"200 OK", b"not json"),
        error(b"201 Created", ANSWER),
        ending("length"),
        ending("content_filter"),
        ending(None),
        ending("something new"),
        broken_stream,
        stream_without_end,
        stream_with_error,
        stream_of_length,
    ],
)
async def test_what_is_not_a_whole_good_answer_is_never_served_again(script, tmp_path):
    async with site(script, tmp_path, max_attempts=1) as made:
        for number in (1, 2):
            with suppress(httpx.RemoteProtocolError):
                await made.ask(body={**BODY, "stream": "stream" in script.__name__})
            assert made.asked == number
        assert len(made.cache.memory) == 0
    assert [row.cache_tier for row in made.rows] == ["", ""]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"n": 2}, "several choices"),
        ({"tool_choice": "required"}, "a tool is required"),
    ],
)
async def test_what_is_not_eligible_is_never_looked_up(change, note, tmp_path):
    async with site(good, tmp_path) as made:
        for _ in range(2):
            response = await made.ask(body={**BODY, **change})
    assert made.asked == 2
    assert said(response) == {"": "BYPASS"}
    assert made.rows[1].cache_note == note


async def test_no_store_reads_nothing_and_keeps_nothing(tmp_path):
    never = {"X-TokenWatch-Cache": "no-store"}
    async with site(good, tmp_path) as made:
        assert said(await made.ask(headers=never)) == {"": "BYPASS"}
        assert said(await made.ask()) == {"": "MISS"}
        assert said(await made.ask(headers=never)) == {"": "BYPASS"}
    assert made.asked == 3
    assert b"x-tokenwatch-cache" not in dict(made.upstream.requests[0].headers)


async def test_no_cache_refreshes(tmp_path):
    answers = [ANSWER, ANSWER.replace(b"Hi there", b"Hi again")]

    async def changing(connection):
        while True:
            await connection.request()
            await connection.send(answer(answers[len(connection.upstream.requests) - 1], JSON))

    async with site(changing, tmp_path) as made:
        assert (await made.ask()).content == answers[0]
        assert (await made.ask(headers={"X-TokenWatch-Cache": "no-cache"})).content == answers[1]
        last = await made.ask()
    assert last.content == answers[1]
    assert said(last)[""] == "HIT"


async def test_ttl_bounds_the_age_of_what_is_kept_and_of_what_is_served(tmp_path):
    async with site(good, tmp_path) as made:
        await made.ask(headers={"X-TokenWatch-Cache": "ttl=5"})
        (entry,) = made.cache.memory._entries.values()
        assert entry.expires_at == entry.created_at + 5
        made.cache.memory.put(replace(entry, created_at=entry.created_at - 4))
        assert said(await made.ask(headers={"X-TokenWatch-Cache": "ttl=3"}))[""] == "MISS"
        await made.ask(headers={"X-TokenWatch-Cache": "no-cache, ttl=999999999"})
        (entry,) = made.cache.memory._entries.values()
        assert entry.expires_at == entry.created_at + 86400
        made.cache.memory.put(replace(entry, expires_at=entry.created_at))
        assert said(await made.ask())[""] == "MISS"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer other"},
        {"x-api-key": "other"},
        {"openai-organization": "other"},
        {"openai-beta": "other"},
    ],
)
async def test_another_caller_or_version_is_a_miss(headers, tmp_path):
    async with site(good, tmp_path) as made:
        await made.ask(headers={"authorization": "Bearer one"})
        assert said(await made.ask(headers={"authorization": "Bearer one", **headers}))[""] == (
            "MISS"
        )
        assert said(await made.ask(headers={"authorization": "Bearer one"}))[""] == "HIT"
    assert made.asked == 2


async def test_without_the_cache_nothing_changes(tmp_path):
    async with site(good, tmp_path, cache_enabled=False) as made:
        for _ in range(2):
            assert said(await made.ask()) == {"": "BYPASS"}
    assert made.cache is None
    assert made.asked == 2
    assert made.rows[0].cache_note == ""


# --- Single flight -----------------------------------------------------------------------


def held(release, *parts):
    """An upstream that answers when it is told to."""

    async def script(connection):
        while True:
            await connection.request()
            await release.wait()
            await connection.send(*parts)

    return script


async def waiting(made, count):
    """Wait until so many requests follow another."""
    flights = made.cache.flights
    await until(lambda: sum(flight.followers for flight in flights.values()) == count)


async def test_a_hundred_identical_requests_are_one_upstream_call(tmp_path):
    release = asyncio.Event()
    async with site(held(release, answer(ANSWER, JSON)), tmp_path) as made:
        tasks = [asyncio.create_task(made.ask()) for _ in range(100)]
        await waiting(made, 99)
        release.set()
        answers = await asyncio.gather(*tasks)
    assert made.asked == 1
    assert {one.content for one in answers} == {ANSWER}
    assert sorted(said(one)[""] for one in answers) == ["HIT"] * 99 + ["MISS"]
    leader = next(row for row in made.rows if not row.cache_tier)
    followers = [row for row in made.rows if row.cache_tier == "exact"]
    assert len(followers) == 99
    assert leader.cost == COST
    assert {row.cost for row in followers} == {"0.0000000000"}
    assert {row.saved_cost for row in followers} == {COST}
    assert {row.cache_entry for row in followers} == {leader.request_id}
    assert {row.cache_note for row in followers} == {SINGLE_FLIGHT}
    assert {row.output_tokens for row in followers} == {leader.output_tokens}
    assert not made.cache.flights


async def test_followers_get_the_stream_as_it_comes(tmp_path):
    release = asyncio.Event()
    first, rest = streams.OPENAI_UNASKED[:2], streams.OPENAI_UNASKED[2:]

    async def script(connection):
        await connection.request()
        await connection.send(STREAM_HEAD, chunked(*first, end=False))
        await release.wait()
        await connection.send(chunked(*rest))

    body = {**BODY, "stream": True}
    async with site(script, tmp_path) as made:
        leader = asyncio.create_task(made.ask(body=body))
        await made.upstream.until(lambda: made.asked == 1)
        mine = {"authorization": "Bearer me"}
        url = made.proxy.url + CHAT
        async with made.http.stream("POST", url, json=body, headers=mine) as follower:
            parts = follower.aiter_raw()
            seen = b""
            while seen != b"".join(first):
                seen += await anext(parts)
            assert not leader.done()
            release.set()
            async for part in parts:
                seen += part
        whole = (await leader).content
    assert seen == whole == b"".join(streams.OPENAI_UNASKED)
    assert made.asked == 1
    row = next(row for row in made.rows if row.cache_tier)
    assert (row.cache_note, row.cost, row.finish_reason) == (SINGLE_FLIGHT, "0.0000000000", "stop")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_leader_leaves_and_the_followers_still_get_the_answer(stream, tmp_path):
    release = asyncio.Event()
    parts = (STREAM_HEAD, chunked(*streams.OPENAI_UNASKED)) if stream else (answer(ANSWER, JSON),)
    body = {**BODY, "stream": stream}
    async with site(held(release, *parts), tmp_path) as made:
        leader = asyncio.create_task(made.ask(body=body))
        await made.upstream.until(lambda: made.asked == 1)
        followers = [asyncio.create_task(made.ask(body=body)) for _ in range(3)]
        await waiting(made, 3)
        leader.cancel()
        (flight,) = made.cache.flights.values()
        await until(lambda: flight.on_abandoned.__self__.gone)
        release.set()
        answers = await asyncio.gather(*followers)
        last = await made.ask(body=body)
    assert {one.content for one in answers} == {last.content}
    assert {one.status_code for one in answers} == {200}
    assert made.asked == 1
    assert said(last)[""] == "HIT"
    assert len(made.rows) == 5
    row = next(row for row in made.rows if not row.cache_tier)
    assert row.error_type == "client_disconnected"
    assert row.cost is not None
    assert float(row.cost) > 0


async def test_when_all_have_left_the_provider_is_told_to_stop(tmp_path):
    async def script(connection):
        await connection.request()
        await connection.until_gone()

    async with site(script, tmp_path) as made:
        leader = asyncio.create_task(made.ask())
        await made.upstream.until(lambda: made.asked == 1)
        follower = asyncio.create_task(made.ask())
        await waiting(made, 1)
        (flight,) = made.cache.flights.values()
        leader.cancel()
        await until(lambda: flight.on_abandoned.__self__.gone)
        assert not made.upstream.left.is_set()
        follower.cancel()
        async with asyncio.timeout(5):
            await made.upstream.left.wait()
        await made.proxy.ledger.one(2)
    assert not made.cache.flights
    assert {row.error_type for row in made.rows} == {"client_disconnected"}


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"500 Internal Server Error"])
async def test_followers_of_a_failure_ask_for_themselves(status, tmp_path):
    release = asyncio.Event()

    async def script(connection):
        while True:
            await connection.request()
            await release.wait()
            if len(connection.upstream.requests) == 1:
                await connection.send(answer(b"{}", JSON, status=status))
            else:
                await connection.send(answer(ANSWER, JSON))

    async with site(script, tmp_path, max_attempts=1) as made:
        leader = asyncio.create_task(made.ask())
        await made.upstream.until(lambda: made.asked == 1)
        followers = [asyncio.create_task(made.ask()) for _ in range(3)]
        await waiting(made, 3)
        # The fake counts requests as they come: the leader's is the first of them.
        release.set()
        failed = await leader
        answers = await asyncio.gather(*followers)
    assert failed.status_code == int(status[:3])
    assert [one.status_code for one in answers] == [200] * 3
    assert [said(one)[""] for one in answers] == ["MISS"] * 3


async def test_single_flight_can_be_off(tmp_path):
    release = asyncio.Event()
    options = {"cache_single_flight": False}
    async with site(held(release, answer(ANSWER, JSON)), tmp_path, **options) as made:
        tasks = [asyncio.create_task(made.ask()) for _ in range(3)]
        await made.upstream.until(lambda: made.asked == 3)
        release.set()
        await asyncio.gather(*tasks)
    assert {row.cache_tier for row in made.rows} == {""}
