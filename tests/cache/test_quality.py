"""With the defaults and the real model: enough paraphrases served, hardly a look-alike."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bench.cache import DEFAULT, embedded, rates
from cache.guards import STRICT, judge
from cache.minilm import OnnxEmbedder
from cache.semantic import Found, NotFound, SemanticTier, Settings
from tests.cache.pairs import Pair, fow_cache, own


def measured(onnx: OnnxEmbedder, pairs: list[Pair]) -> tuple[float, float]:
    """Per cent of paraphrases, and of look-alikes, that are served with the defaults."""
    a = embedded(onnx, [pair.cached for pair in pairs])
    b = embedded(onnx, [pair.new for pair in pairs])
    served = [judge(pair.new, pair.cached, STRICT).serve for pair in pairs]
    found = rates(pairs, 1 - (a * b).sum(axis=1), served, DEFAULT)
    return found.hits, found.false


def test_the_defaults_are_those_that_are_measured() -> None:
    assert (Settings().threshold, Settings().guards) == (DEFAULT, STRICT)


@pytest.mark.slow
def test_fow_cache(onnx: OnnxEmbedder) -> None:
    pytest.importorskip("fow_cache")
    hits, false = measured(onnx, fow_cache())
    assert hits >= 25
    assert false <= 0.5


@pytest.mark.slow
def test_our_own_pairs(onnx: OnnxEmbedder) -> None:
    hits, false = measured(onnx, own())
    assert hits >= 50
    assert false <= 2


@pytest.fixture
def tier(onnx: OnnxEmbedder) -> Iterator[SemanticTier]:
    made = SemanticTier(Settings(), make_embedder=lambda: onnx)
    yield made
    made.stop()


@pytest.mark.django_db(transaction=True)
async def test_a_prompt_in_other_words_is_found_with_the_real_model(tier: SemanticTier) -> None:
    cached = "How do I report a missed bin collection?"
    tier.add("p", "entry-1", cached, datetime.now(UTC) + timedelta(hours=1))
    assert tier.flush(30)
    found = await tier.lookup("p", "How can I report a missed bin collection?", later())
    assert isinstance(found, Found)
    assert found.entry_id == "entry-1"
    missed = await tier.lookup("p", "How do I report a missed tin collection?", later())
    assert isinstance(missed, NotFound)
    long = "word " * 300
    assert await tier.lookup("p", long, later()) == NotFound("too long")


def later() -> float:
    return time.monotonic() + 30
