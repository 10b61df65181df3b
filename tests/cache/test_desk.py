"""A worker's cache with its database: other workers' answers, clearings, outages."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from django.db import OperationalError, connection

from cache import desk as desk_module
from cache import store
from cache.desk import CacheDesk
from cache.entries import CacheEntry
from tests.cache.entries import entry
from tests.cache.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def desks(count=1, *, budget=5.0):
    made = [CacheDesk(answer_bytes=10**6, timeout=budget) for _ in range(count)]
    for one in made:
        await one.start()
    try:
        yield made
    finally:
        for one in made:
            await asyncio.to_thread(one.stop, 10)


async def in_thread(function, *arguments, **options):
    def run():
        try:
            return function(*arguments, **options)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


async def test_what_one_worker_stored_another_finds():
    one = entry()
    async with desks(2) as (first, second):
        first.put(one)
        assert first.get(one.key, time.time()) == one
        assert not second.knows(one.key)
        await until(lambda: second.knows(one.key))
        assert await second.load(one.key, time.time()) == one
        assert second.get(one.key, time.time()) == one


async def test_a_worker_that_starts_knows_what_is_stored():
    one = entry()
    async with desks() as (first,):
        first.put(one)
        assert await asyncio.to_thread(first.flush, 10)
    async with desks() as (second,):
        assert second.knows(one.key)
        assert await second.load_id(one.request_id, time.time(), time.monotonic() + 5) == one


async def test_what_is_not_there_needs_no_question(monkeypatch):
    async with desks() as (cache,):
        monkeypatch.setattr(store, "by_key", None)
        assert cache.get(entry().key, time.time()) is None
        assert not cache.knows(entry().key)


async def test_what_is_gone_from_the_database_is_asked_for_once():
    one = entry()
    async with desks() as (cache,):
        cache.put(one)
        await asyncio.to_thread(cache.flush, 10)
        await in_thread(CacheEntry.objects.all().delete)
        cache.memory.remove(one.key)
        assert cache.knows(one.key)
        assert await cache.load(one.key, time.time()) is None
        assert not cache.knows(one.key)


async def test_what_is_cleared_is_gone_in_every_worker():
    one, other = entry("one", app="x"), entry("two", app="y")
    async with desks(2) as (first, second):
        first.put(one)
        first.put(other)
        assert await asyncio.to_thread(first.flush, 10)
        await until(lambda: second.knows(one.key) and second.knows(other.key))
        assert await second.load(one.key, time.time())
        assert await in_thread(store.clear, now=datetime.now(UTC), app="x") == 1
        await until(lambda: not any(desk.get(one.key, time.time()) for desk in (first, second)))
        assert first.get(other.key, time.time())
        # An answer from before that comes only now is not kept either.
        first.put(one)
        assert first.get(one.key, time.time()) is None
        newer = entry("one", app="x", age=-60)
        first.put(newer)
        assert first.get(one.key, time.time()) == newer


async def test_a_slow_database_is_a_miss_within_the_budget(monkeypatch, caplog):
    release = threading.Event()

    def slow(key, now):
        release.wait(10)
        return entry()

    monkeypatch.setattr(store, "by_key", slow)
    async with desks(budget=0.01) as (cache,):
        began = time.monotonic()
        assert await cache.load(entry().key, time.time()) is None
        assert time.monotonic() - began < 5
        assert cache.counts["timeout"] == 1
        assert "not done in time" in caplog.text
        release.set()
        # What comes late is there for the next.
        await until(lambda: cache.get(entry().key, time.time()) is not None)


async def test_requests_for_the_same_wait_for_one_question(monkeypatch):
    asked = []

    def counting(key, now):
        asked.append(key)
        return entry()

    monkeypatch.setattr(store, "by_key", counting)
    async with desks() as (cache,):
        loads = [cache.load(entry().key, time.time()) for _ in range(20)]
        found = await asyncio.gather(*loads)
    assert len(asked) == 1
    assert {one.request_id for one in found} == {entry().request_id}


async def test_a_database_that_is_away_is_a_miss_and_answers_wait(monkeypatch, caplog):
    away = [True]
    write = store.write

    def failing(entries, replaced):
        if away:
            raise OperationalError("away")
        write(entries, replaced)

    def unreadable(key, now):
        raise OperationalError("away")

    monkeypatch.setattr(store, "write", failing)
    monkeypatch.setattr(store, "by_key", unreadable)
    async with desks() as (cache,):
        cache.put(entry())
        await until(lambda: "cannot reach its database" in caplog.text)
        assert cache.get(entry().key, time.time())
        assert await cache.load(entry().key, time.time()) is None
        assert cache.counts["error"] == 1
        away.clear()
        assert await asyncio.to_thread(cache.flush, 10)
        assert await in_thread(CacheEntry.objects.count) == 1


async def test_more_than_can_be_written_is_dropped_counted_and_logged(monkeypatch, caplog):
    monkeypatch.setattr(desk_module, "QUEUED_BYTES", 3000)
    cache = CacheDesk(answer_bytes=10**6, timeout=1)
    for number in range(5):
        cache.put(entry(f"e{number}", body=b"x" * 400))
    assert cache.counts["dropped"] == 3
    assert len(cache.memory) == 5
    assert "not stored" in caplog.text


async def test_a_worker_that_stops_writes_what_it_has():
    async with desks() as (cache,):
        for number in range(450):
            cache.put(entry(f"e{number}"))
        cache.used(entry("e0"), time.time())
    assert await in_thread(CacheEntry.objects.count) == 450
    assert (await in_thread(CacheEntry.objects.get, request_id=entry("e0").request_id)).hits == 1
