"""A cancellation at any await of a request leaves one row and no open connection."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import pytest

from cache import store
from cache.desk import CacheDesk
from proxy.call import identify
from proxy.client import Client
from proxy.pipeline import handle
from tests.cache.waiting import until
from tests.fakes import STREAM_HEAD, answer, chunked, raw_upstream
from tests.proxy import streams
from tests.proxy.serving import services_for
from tests.proxy.test_tap import COMPLETION
from upstreams.breaker import OPEN
from upstreams.candidates import Candidate

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


async def failing(connection):
    while True:
        await connection.request()
        await connection.send(answer(b"{}", status=b"503 No"))


async def failing_slowly(connection):
    await connection.request()
    await connection.send(STREAM_HEAD)
    await asyncio.sleep(0.001)
    await connection.send(b": wait\n\n")
    await connection.send(chunked(b": wait\n\n", end=False))
    await asyncio.sleep(0.001)
    await connection.send(chunked(b'data: {"error":{"type":"overloaded_error"}}\n\n'))


async def dropping(connection):
    await connection.request()


async def no_tls(connection):
    await connection.reader.read(10)
    await connection.send(b"this is no TLS server\r\n\r\n")


CHAT = "/openai/v1/chat/completions"


@pytest.mark.parametrize("first", [failing, failing_slowly, dropping, no_tls])
@pytest.mark.parametrize("second", [stream, failing])
async def test_so_it_is_wherever_it_is_cancelled_during_failover(first, second, tmp_path):
    async with raw_upstream(first) as one, raw_upstream(second) as other:
        if first is no_tls:
            one.url = one.url.replace("http:", "https:")
        services, ledger = services_for(one.url, tmp_path)
        policies = services.policies
        number = 0
        reached = True
        while reached:
            number += 1
            ledger.rows.clear()
            # Each round begins with breakers of its own: the first is due for its probe.
            made = [
                Candidate("one", "openai", one.url, 1, credential=f"{number}"),
                Candidate("other", "openai", other.url, 2, credential=f"{number}"),
            ]
            candidates = {"openai": tuple(made), "anthropic": ()}
            policies.snapshot = replace(policies.snapshot, upstreams=candidates)
            services.health.of(made[0]).reopen(0.0, "before")
            services.health._open.add(made[0].key)
            wire = Wire(b"application/json", [BODY])
            call = identify(wire.scope(CHAT))
            assert call is not None
            cancelled = CancelledAt(handle(call, Client(wire.receive, wire.send), services), number)
            with suppress(asyncio.CancelledError):
                await asyncio.create_task(_awaiting(cancelled))
            reached = cancelled.reached
            assert len(ledger.rows) == 1, f"cancelled at await {number}"
            row = ledger.rows[0]
            if reached:
                ended = row.finish_reason or row.error_type or row.status_code == 503
                assert ended, f"cancelled at await {number}: {row}"
            # Every attempt but the last has failed and is told.
            assert row.attempts - 1 <= len(row.attempt_log.split()) <= row.attempts <= 2
            # The place of the probe is free again, or its outcome is known.
            assert services.health.of(made[0]).state == OPEN, f"cancelled at await {number}"
            wire.closed.set()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            watchers = [t for t in others if "disconnect" in str(t.get_coro())]
            await asyncio.gather(*watchers, return_exceptions=True)
            assert not services.transport._connector._acquired, f"cancelled at await {number}"
        assert number >= 5
        assert ledger.rows[0].attempts == 2
        await services.transport.close()


async def test_a_client_that_leaves_before_there_is_a_connection_is_not_billed(tmp_path):
    connected = asyncio.Event()

    async def hanging(connection):
        connected.set()
        await asyncio.Event().wait()  # TLS is never answered

    async with raw_upstream(hanging) as upstream:
        services, ledger = services_for(upstream.url.replace("http:", "https:"), tmp_path)
        wire = Wire(b"application/json", [BODY])
        call = identify(wire.scope(CHAT))
        assert call is not None
        task = asyncio.create_task(handle(call, Client(wire.receive, wire.send), services))
        async with asyncio.timeout(5):
            await connected.wait()
            wire.closed.set()
            await task
        (row,) = ledger.rows
        assert (row.status_code, row.error_type) == (499, "client_disconnected")
        assert (row.cost, row.usage_estimated, row.input_tokens) == ("0.0000000000", False, 0)
        await services.transport.close()


async def test_a_fault_in_the_accounting_costs_neither_the_row_nor_the_answer(
    tmp_path, monkeypatch
):
    def fault(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("proxy.finish.measure", fault)
    async with raw_upstream(whole) as upstream:
        services, ledger = services_for(upstream.url, tmp_path)
        wire = Wire(b"application/json", [BODY])
        call = identify(wire.scope(CHAT))
        assert call is not None
        await handle(call, Client(wire.receive, wire.send), services)
        (row,) = ledger.rows
        assert (row.status_code, row.error_type, row.cost) == (200, "accounting_failed", None)
        assert row.model_requested == "gpt-4o-mini"
        assert wire.sent[0]["status"] == 200
        assert json.loads(wire.sent[1]["body"]) == COMPLETION


async def cached(call, services, number):
    """Handle a call; whether its n-th await was reached, and cancelled."""
    wire = Wire(b"application/json", [BODY])
    client = Client(wire.receive, wire.send)
    cancelled = CancelledAt(handle(call, client, services), number)
    with suppress(asyncio.CancelledError):
        await asyncio.create_task(_awaiting(cancelled))
    wire.closed.set()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    watchers = [t for t in others if "disconnect" in str(t.get_coro())]
    await asyncio.gather(*watchers, return_exceptions=True)
    return cancelled.reached, wire


def chat(path=CHAT):
    call = identify(Wire(b"application/json", []).scope(path))
    assert call is not None
    return call


async def test_with_the_cache_a_cancelled_answer_is_kept_only_if_it_was_whole(tmp_path):
    async with raw_upstream(stream) as upstream:
        services, ledger = services_for(
            upstream.url, tmp_path, cache_enabled=True, cache_semantic=False
        )
        cache = services.cache
        assert cache is not None
        number = kept = 0
        reached = True
        while reached:
            number += 1
            ledger.rows.clear()
            cache.memory.remove_where(lambda _: True)
            reached, wire = await cached(chat(), services, number)
            assert len(ledger.rows) == 1, f"cancelled at await {number}"
            assert not cache.flights, f"cancelled at await {number}"
            if len(cache.memory):
                kept += 1
                sent = b"".join(one.get("body", b"") for one in wire.sent)
                (entry,) = cache.memory._entries.values()
                assert sent == entry.body == b"".join(streams.OPENAI_UNASKED)
                assert ledger.rows[0].finish_reason == "stop"
            assert not services.transport._connector._acquired, f"cancelled at await {number}"
        assert number >= 5
        assert kept >= 1
        await services.transport.close()


async def test_a_follower_that_is_cancelled_has_one_row_and_leaves_the_flight(tmp_path):
    release = asyncio.Event()

    async def when_told(connection):
        while True:
            await connection.request()
            await connection.send(STREAM_HEAD)
            await connection.send(chunked(streams.OPENAI_UNASKED[0], end=False))
            await release.wait()
            for event in streams.OPENAI_UNASKED[1:]:
                await connection.send(chunked(event, end=False))
                await asyncio.sleep(0.001)
            await connection.send(b"0\r\n\r\n")

    async with raw_upstream(when_told) as upstream:
        services, ledger = services_for(
            upstream.url, tmp_path, cache_enabled=True, cache_semantic=False
        )
        cache = services.cache
        assert cache is not None
        number, reached = 0, True
        while reached:
            number += 1
            ledger.rows.clear()
            release.clear()
            cache.memory.remove_where(lambda _: True)
            wire = Wire(b"application/json", [BODY])
            leader = asyncio.create_task(handle(chat(), Client(wire.receive, wire.send), services))
            await until(lambda: cache.flights)
            (flight,) = cache.flights.values()
            asyncio.get_running_loop().call_later(0.005, release.set)
            reached, follower = await cached(chat(), services, number)
            assert flight.followers == 0, f"cancelled at await {number}"
            await leader
            wire.closed.set()
            assert len(ledger.rows) == 2, f"cancelled at await {number}"
            whole = b"".join(one.get("body", b"") for one in wire.sent)
            assert whole == b"".join(streams.OPENAI_UNASKED), f"cancelled at await {number}"
            if not reached:
                assert whole == b"".join(one.get("body", b"") for one in follower.sent)
        assert number >= 5
        assert {row.cache_tier for row in ledger.rows} == {"", "exact"}
        await services.transport.close()


async def test_a_hit_that_is_cancelled_has_one_row(tmp_path, monkeypatch):
    async with raw_upstream(whole) as upstream:
        services, ledger = services_for(
            upstream.url, tmp_path, cache_enabled=True, cache_semantic=False
        )
        cache = services.cache
        assert cache is not None
        await cached(chat(), services, 10**6)
        (entry,) = cache.memory._entries.values()
        monkeypatch.setattr(store, "by_key", lambda key, now: entry)
        monkeypatch.setattr(CacheDesk, "knows", lambda self, key: True)
        number, reached = 0, True
        while reached:
            number += 1
            ledger.rows.clear()
            cache.memory.remove_where(lambda _: True)
            reached, _ = await cached(chat(), services, number)
            assert len(ledger.rows) == 1, f"cancelled at await {number}"
            assert not reached or ledger.rows[0].error_type or ledger.rows[0].cache_tier
        assert number >= 4
        assert ledger.rows[0].cache_tier == "exact"
        assert len(upstream.requests) == 1
        await services.transport.close()
