"""Entries in the database: what is written is read back, cleared and pruned."""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from cache import semantic_sql, store
from cache.entries import CacheBody, CacheClearing, CacheEntry
from cache.memory import Memory
from cache.models import CacheVector
from cache.semantic_sql import NewVector
from tests.cache.entries import entry

pytestmark = pytest.mark.django_db


def now():
    return datetime.now(UTC)


def ids():
    return set(CacheEntry.objects.values_list("request_id", flat=True))


def assert_consistent():
    """Each entry has its body, and each body its entry."""
    assert set(CacheBody.objects.values_list("pk", flat=True)) == ids()


def vector_of(one):
    moment = datetime.fromtimestamp(one.expires_at, UTC)
    return NewVector("p" * 64, "e", one.request_id, moment, "text", np.eye(384, dtype="f4")[0])


@pytest.mark.parametrize(
    "one",
    [
        entry(),
        entry(body=bytes(range(256)) * 5000, stream=True),
        entry(cost=None, usage=None, usage_estimated=True, app="", finish_reason=""),
    ],
    ids=["json", "large", "unknown"],
)
def test_an_entry_is_read_back_as_it_was_written(one):
    store.write([one])
    assert store.by_key(one.key, time.time()) == one
    assert store.by_id(one.request_id, time.time()) == one


def test_what_has_expired_is_not_read():
    one = entry(age=100, ttl=50)
    store.write([one])
    assert store.by_key(one.key, time.time()) is None


def test_a_newer_answer_takes_the_place_of_an_older():
    old, new = entry("old", key="k" * 64), entry("new", key="k" * 64, body=b"new")
    store.write([old, entry("other")])
    store.write([new])
    assert store.by_key("k" * 64, time.time()) == new
    assert ids() == {new.request_id, entry("other").request_id}
    assert_consistent()


def test_two_of_a_key_in_one_batch_are_one():
    store.write([entry("old", key="k" * 64), entry("new", key="k" * 64)])
    assert ids() == {entry("new").request_id}
    assert_consistent()


def test_of_two_stored_at_once_the_newest_counts():
    one, other = entry("one", key="k" * 64), entry("two", key="j" * 64)
    store.write([one, other])
    CacheEntry.objects.update(cache_key="k" * 64)
    found = store.by_key("k" * 64, time.time())
    assert found is not None
    assert found.request_id == other.request_id


def test_hits_are_counted():
    one = entry()
    store.write([one, entry("b")])
    later = one.created_at + 50
    store.touch({one.request_id: (3, later), "gone": (1, later)})
    store.touch({one.request_id: (2, later)})
    row = CacheEntry.objects.get(request_id=one.request_id)
    assert row.hits == 5
    assert row.last_used_at.timestamp() == pytest.approx(later)


@pytest.mark.parametrize(
    ("choice", "gone"),
    [
        ({}, "abc"),
        ({"model": "m1"}, "ab"),
        ({"model": "used"}, "c"),
        ({"app": "x"}, "b"),
        ({"model": "m1", "app": "x"}, "b"),
        ({"before": 1000}, "c"),
        ({"request_id": "a"}, "a"),
        ({"model": "none"}, ""),
    ],
)
def test_clearing_removes_what_was_chosen_and_tells_the_workers(choice, gone):
    entries = {
        "a": entry("a", model="m1"),
        "b": entry("b", model="m1", app="x"),
        "c": entry("c", model="m2", model_used="used", age=2000, ttl=9000),
    }
    store.write(list(entries.values()))
    semantic_sql.insert([vector_of(one) for one in entries.values()])
    choice = dict(choice)
    if "before" in choice:
        choice["before"] = now() - timedelta(seconds=choice["before"])
    if "request_id" in choice:
        choice["request_id"] = entries["a"].request_id
    last = store.last_clearing()
    assert store.clear(now=now(), **choice) == len(gone)
    kept = {one.request_id for name, one in entries.items() if name not in gone}
    assert ids() == kept
    assert set(CacheVector.objects.values_list("entry_id", flat=True)) == kept
    assert_consistent()
    ((_, clearing),) = store.clearings_after(last)
    assert {name for name, one in entries.items() if clearing.covers(one)} == set(gone)


def test_pruning_removes_what_has_expired(monkeypatch):
    monkeypatch.setattr(store, "BATCH", 2)
    old = [entry(f"old{n}", age=100, ttl=50) for n in range(5)]
    store.write([*old, entry("new")])
    CacheClearing.objects.create(created_at=now() - timedelta(days=1), before=now())
    assert store.prune(now(), 10**9) == 5
    assert ids() == {entry("new").request_id}
    assert not CacheClearing.objects.exists()
    assert_consistent()


def test_above_the_limit_what_was_not_used_for_longest_goes_first(monkeypatch):
    monkeypatch.setattr(store, "BATCH", 2)
    entries = [entry(f"e{n}", age=100 - n, body=b"x" * 1000) for n in range(6)]
    store.write(entries)
    store.touch({entries[0].request_id: (1, time.time())})
    assert store.prune(now(), 3 * entries[0].size) == 3
    assert ids() == {entries[n].request_id for n in (0, 4, 5)}
    assert_consistent()


def test_the_number_of_entries_is_bounded_too(monkeypatch):
    monkeypatch.setattr(store, "MOST_ENTRIES", 2)
    store.write([entry(f"e{n}", age=100 - n) for n in range(5)])
    assert store.prune(now(), 10**9) == 3
    assert len(ids()) == 2


def test_pruning_stops_when_it_is_told_to(monkeypatch):
    monkeypatch.setattr(store, "BATCH", 1)
    store.write([entry(f"old{n}", age=100, ttl=50) for n in range(5)])
    asked = iter([True, True, False])
    assert store.prune(now(), 10**9, lambda: next(asked)) == 2
    assert len(ids()) == 3


def test_what_is_stored_by_model():
    store.write([entry("a"), entry("b", partition="p" * 64), entry("c", model="m2")])
    store.touch({entry("c").request_id: (2, time.time())})
    first, second = store.stored()
    assert (first.model, first.entries, first.hits, first.semantic) == ("m2", 1, 2, 0)
    assert (second.model, second.entries, second.semantic) == ("gpt-4o-mini", 2, 1)
    assert second.size == 2 * entry("a").size


def test_memory_is_bounded_and_forgets_what_was_not_used_for_longest():
    entries = [entry(f"e{n}", body=b"x" * 1000) for n in range(4)]
    memory = Memory(3 * entries[0].size)
    for one in entries[:3]:
        memory.put(one)
    assert memory.get(entries[0].key, time.time())
    memory.put(entries[3])
    present = [memory.get(one.key, time.time()) is not None for one in entries]
    assert present == [True, False, True, True]
    assert memory.size == 3 * entries[0].size
    memory.put(entry("huge", body=b"x" * 9000))
    assert len(memory) == 3
    assert memory.find(entries[3].request_id, time.time()) == entries[3]
    assert memory.get(entries[3].key, entries[3].expires_at) is None
    assert memory.find(entries[3].request_id, time.time()) is None
    memory.remove_where(lambda one: True)
    assert memory.size == 0
