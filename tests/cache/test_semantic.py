"""The semantic tier as a request sees it: found, or not found for a reason, and in time."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError

from cache import semantic_sql
from cache.embedders import EmbedderMissing
from cache.embedding_thread import EmbeddingThread
from cache.models import CacheVector
from cache.semantic import Found, NotFound, SemanticTier, Settings
from tests.cache.conftest import WordEmbedder
from tokenwatch.conf import load

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "How do I renew the parking permit of my street in the old town online?"
SAME = "How can I renew the parking permit of my street in the old town online?"
OTHER = "How do I cancel the parking permit of my street in the old town online?"
LONG_AFTER = 30.0


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def tier(words: WordEmbedder) -> Iterator[SemanticTier]:
    made = SemanticTier(Settings(threshold=0.3), make_embedder=lambda: words)
    yield made
    made.stop()


def other_tier(words: WordEmbedder, **changed: Any) -> SemanticTier:
    settings = Settings(**{"threshold": 0.3, **changed})
    return SemanticTier(settings, make_embedder=lambda: words)


async def look(tier: SemanticTier, text: str, partition: str = "p") -> Found | NotFound:
    return await tier.lookup(partition, text, time.monotonic() + LONG_AFTER)


async def flushed(tier: SemanticTier) -> None:
    assert await asyncio.to_thread(tier.flush, LONG_AFTER)


async def test_another_wording_finds_the_entry(tier: SemanticTier) -> None:
    assert await look(tier, TEXT) == NotFound("none")
    assert tier.add("p", "entry-1", TEXT, in_an_hour())
    await flushed(tier)
    found = await look(tier, SAME)
    assert isinstance(found, Found)
    assert (found.entry_id, found.text) == ("entry-1", TEXT)
    assert 0 < found.distance < 0.3
    assert found.verdict.reason == "wording"
    assert tier.counts == {"none": 1, "added": 1, "found": 1}


async def test_a_lookalike_is_refused_and_shown_for_review(tier: SemanticTier) -> None:
    tier.add("p", "entry-1", TEXT, in_an_hour())
    await flushed(tier)
    missed = await look(tier, OTHER)
    assert isinstance(missed, NotFound)
    assert missed.reason == "guards"
    assert missed.nearest is not None
    assert missed.nearest.verdict.detail == "cancel / renew"


async def test_the_paraphrase_is_found_behind_a_nearer_lookalike(tier: SemanticTier) -> None:
    near = "How can I cancel the parking permit of my street in the old town online?"
    tier.add("p", "lookalike", near, in_an_hour())
    tier.add("p", "paraphrase", f"Hi! {TEXT} Many thanks", in_an_hour())
    await flushed(tier)
    found = await look(tier, SAME)
    assert isinstance(found, Found)
    assert found.entry_id == "paraphrase"


async def test_past_the_threshold_nothing_is_served(words: WordEmbedder) -> None:
    tier = other_tier(words, threshold=0.0001)
    tier.add("p", "entry-1", TEXT, in_an_hour())
    await flushed(tier)
    missed = await look(tier, SAME)
    assert isinstance(missed, NotFound)
    assert missed.reason == "distance"
    assert missed.nearest is not None
    assert missed.nearest.verdict.serve
    tier.stop()


async def test_nothing_is_found_across_partitions_and_embedders(
    tier: SemanticTier, words: WordEmbedder
) -> None:
    tier.add("p", "entry-1", TEXT, in_an_hour())
    await flushed(tier)
    assert await look(tier, TEXT, partition="q") == NotFound("none")
    changed = WordEmbedder()
    changed.id = "words, of another precision"
    second = other_tier(changed)
    assert await look(second, TEXT) == NotFound("none")
    second.stop()


async def test_what_another_worker_added_is_found(words: WordEmbedder, tier: SemanticTier) -> None:
    worker = other_tier(words)
    worker.add("p", "entry-1", TEXT, in_an_hour())
    await flushed(worker)
    worker.stop()
    assert isinstance(await look(tier, SAME), Found)


async def test_a_forgotten_entry_is_gone_from_memory_and_table(tier: SemanticTier) -> None:
    tier.add("p", "entry-1", TEXT, in_an_hour())
    await flushed(tier)
    assert isinstance(await look(tier, SAME), Found)
    tier.forget(["entry-1"])
    await flushed(tier)
    assert await look(tier, SAME) == NotFound("none")
    assert await asyncio.to_thread(CacheVector.objects.count) == 0


async def test_an_expired_entry_is_not_found(tier: SemanticTier) -> None:
    tier.add("p", "entry-1", TEXT, datetime.now(UTC) - timedelta(seconds=1))
    await flushed(tier)
    assert await look(tier, SAME) == NotFound("none")


async def test_a_text_that_the_model_would_cut_is_neither_looked_up_nor_added(
    tier: SemanticTier, words: WordEmbedder
) -> None:
    text = "word " * 41
    tier.add("p", "entry-1", text, in_an_hour())
    await flushed(tier)
    assert await look(tier, text) == NotFound("too long")
    assert words.batches == []
    assert await asyncio.to_thread(CacheVector.objects.count) == 0


async def test_a_text_that_was_looked_up_is_not_embedded_again(
    tier: SemanticTier, words: WordEmbedder
) -> None:
    await look(tier, TEXT)
    tier.add("p", "entry-1", TEXT, in_an_hour())
    await flushed(tier)
    assert words.batches == [[TEXT]]


def test_the_settings_are_those_of_the_environment() -> None:
    config = load(
        {
            "TOKENWATCH_CACHE_SIMILARITY_THRESHOLD": "0.08",
            "TOKENWATCH_CACHE_GUARDS": "lenient",
            "TOKENWATCH_CACHE_MEMORY_MB": "64",
            "TOKENWATCH_EMBEDDER": "sentence-transformers",
        }
    )
    assert Settings.of(config) == Settings("sentence-transformers", "", 0.08, "lenient", 64)
    assert Settings.of(load({})) == Settings()


# --- Failures: a miss, in time, counted and logged -----------------------------------------


async def test_without_an_embedder_look_ups_miss_and_one_line_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = []

    def missing() -> WordEmbedder:
        asked.append(1)
        raise EmbedderMissing("run `make semantic`")

    tier = SemanticTier(Settings(), make_embedder=missing)
    with caplog.at_level(logging.WARNING, "tokenwatch.cache"):
        tier.start()
        assert await look(tier, TEXT) == NotFound("no embedder")
        assert await look(tier, TEXT) == NotFound("no embedder")
    assert [record.getMessage() for record in caplog.records] == [
        "Semantic caching is off: run `make semantic`"
    ]
    assert len(asked) == 1
    tier.stop()


async def test_a_model_that_fails_is_a_miss_and_the_next_look_up_works(
    tier: SemanticTier, words: WordEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    words.broken = True
    with caplog.at_level(logging.WARNING, "tokenwatch.cache"):
        assert await look(tier, TEXT) == NotFound("embedder")
        assert await look(tier, TEXT) == NotFound("embedder")
    assert len(caplog.records) == 1
    words.broken = False
    assert await look(tier, TEXT) == NotFound("none")
    assert tier.counts["embedder"] == 2


async def test_a_database_that_fails_is_a_miss(
    tier: SemanticTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise DatabaseError("away")

    monkeypatch.setattr(semantic_sql, "newer", away)
    monkeypatch.setattr(semantic_sql, "insert", away)
    monkeypatch.setattr(semantic_sql, "delete", away)
    assert await look(tier, TEXT) == NotFound("database")
    tier.add("p", "entry-1", TEXT, in_an_hour())
    tier.forget(["entry-1"])
    await flushed(tier)
    assert tier.counts == {"database": 1, "not added": 1}


async def test_an_error_that_nobody_expected_is_a_miss_and_the_thread_lives(
    tier: SemanticTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*_: Any) -> Any:
        raise RuntimeError("surprise")

    with monkeypatch.context() as patch:
        patch.setattr("cache.semantic.judge", surprise)
        tier.add("p", "entry-1", TEXT, in_an_hour())
        await flushed(tier)
        assert await look(tier, SAME) == NotFound("error")
    assert isinstance(await look(tier, SAME), Found)


class Stuck(WordEmbedder):
    """Embeds when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def embed(self, texts: Any) -> Any:
        self.entered.set()
        assert self.go_on.wait(LONG_AFTER)
        return super().embed(texts)


async def test_a_slow_model_costs_the_time_budget_and_not_the_event_loop() -> None:
    stuck = Stuck()
    tier = other_tier(stuck)
    began = time.monotonic()
    assert await tier.lookup("p", TEXT, began + 0.05) == NotFound("timeout")
    assert await tier.lookup("p", TEXT, began + 0.05) == NotFound("timeout")
    assert time.monotonic() - began < LONG_AFTER / 2
    stuck.go_on.set()
    await flushed(tier)
    assert isinstance(await look(tier, TEXT), NotFound)
    tier.stop()


async def test_look_ups_that_came_in_meanwhile_are_one_batch() -> None:
    stuck = Stuck()
    tier = other_tier(stuck)
    first = asyncio.ensure_future(look(tier, "one"))
    assert await asyncio.to_thread(stuck.entered.wait, LONG_AFTER)
    rest = [asyncio.ensure_future(look(tier, f"text {i}")) for i in range(10)]
    await asyncio.sleep(0)
    stuck.go_on.set()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in stuck.batches] == [1, 10]
    tier.stop()


async def test_a_client_that_left_is_not_embedded_for() -> None:
    stuck = Stuck()
    tier = other_tier(stuck)
    first = asyncio.ensure_future(look(tier, "one"))
    assert await asyncio.to_thread(stuck.entered.wait, LONG_AFTER)
    left = asyncio.ensure_future(look(tier, "two"))
    await asyncio.sleep(0)
    left.cancel()
    stuck.go_on.set()
    await first
    await flushed(tier)
    assert stuck.batches == [["one"]]
    tier.stop()


# --- The thread ----------------------------------------------------------------------------


class Recorded:
    """A thread whose handlers can be held up."""

    def __init__(self, **bounds: int) -> None:
        self.seen: list[str] = []
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.thread: EmbeddingThread[str, str] = EmbeddingThread(self.take, self.take, **bounds)

    def take(self, jobs: list[str]) -> None:
        self.seen += jobs
        self.entered.set()
        assert self.go_on.wait(LONG_AFTER)


def test_what_waits_is_bounded_and_look_ups_go_first() -> None:
    recorded = Recorded(most_urgent=2, most_later=2)
    thread = recorded.thread
    assert thread.submit("first")
    assert recorded.entered.wait(LONG_AFTER)
    assert [thread.submit_later(f"later {i}") for i in range(3)] == [True, True, False]
    assert [thread.submit(f"urgent {i}") for i in range(3)] == [True, True, False]
    recorded.go_on.set()
    assert thread.flush(LONG_AFTER)
    assert recorded.seen == ["first", "urgent 0", "urgent 1", "later 0", "later 1"]
    thread.stop(LONG_AFTER)
    assert not thread.submit("too late")


def in_a_child(action: Callable[[], bool]) -> bool:
    """Whether an action is true in a process that was forked from this one."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if action() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_forked_process_has_a_thread_of_its_own() -> None:
    recorded = Recorded()
    recorded.go_on.set()
    recorded.thread.submit("parent")
    assert recorded.thread.flush(LONG_AFTER)

    def child() -> bool:
        recorded.seen.clear()
        return (
            recorded.thread.submit("child")
            and recorded.thread.flush(LONG_AFTER)
            and recorded.seen == ["child"]
        )

    assert in_a_child(child)
    assert recorded.seen == ["parent"]
    recorded.thread.stop(LONG_AFTER)
