"""Similar prompts on live requests: what is served, what never, and why."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from cache import store
from cache.models import CacheVector
from cache.semantic import SemanticTier, Settings
from tests.cache.conftest import WordEmbedder
from tests.fakes import STREAM_HEAD, answer, chunked
from tests.proxy import streams
from tests.proxy.test_cache import BODY, CHAT, JSON, RESPONSES, good, said, saying, site

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "How do I renew the parking permit of my street in the old town online?"
SAME = "How can I renew the parking permit of my street in the old town online?"
OTHER = "How do I cancel the parking permit of my street in the old town online?"


def asking(text, **more):
    return {**BODY, "messages": [{"role": "user", "content": text}], **more}


@asynccontextmanager
async def similar(script, tmp_path, **settings):
    async with site(
        script, tmp_path, cache_semantic=True, cache_timeout_ms=20_000, **settings
    ) as made:
        words = WordEmbedder()
        tier = SemanticTier(Settings(threshold=0.3), make_embedder=lambda: words)
        made.cache.tier = tier
        await made.cache.start()
        try:
            yield made
        finally:
            await asyncio.to_thread(made.cache.stop, 10)


async def kept(made):
    """Everything that was put is written and embedded."""
    assert await asyncio.to_thread(made.cache.flush, 10)
    assert await asyncio.to_thread(made.cache.tier.flush, 10)


async def test_a_similar_prompt_is_answered_from_the_cache(tmp_path):
    async with similar(good, tmp_path) as made:
        first = await made.ask(body=asking(TEXT))
        await kept(made)
        second = await made.ask(body=asking(SAME))
    assert made.asked == 1
    assert second.content == first.content
    tells = said(second)
    assert (tells[""], tells["-tier"]) == ("HIT", "semantic")
    assert 0.7 <= float(tells["-similarity"]) < 1
    one, other = made.rows
    assert (other.cache_tier, other.cache_entry) == ("semantic", one.request_id)
    assert other.cache_similarity == pytest.approx(float(tells["-similarity"]), abs=1e-4)
    assert (other.cost, other.saved_cost) == ("0.0000000000", one.cost)


async def test_a_look_alike_is_not_and_the_row_says_why(tmp_path):
    async with similar(good, tmp_path) as made:
        await made.ask(body=asking(TEXT))
        await kept(made)
        response = await made.ask(body=asking(OTHER))
    assert made.asked == 2
    assert said(response) == {"": "MISS"}
    assert made.rows[1].cache_note.startswith("semantic: guards 0.")


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt-4o"},
        {"max_tokens": 5},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"stream": True},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": SAME}]},
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": SAME},
            ]
        },
    ],
    ids=lambda change: next(iter(change)),
)
async def test_where_anything_else_differs_nothing_similar_is_served(change, tmp_path):
    async with similar(good, tmp_path) as made:
        await made.ask(body=asking(TEXT))
        await kept(made)
        assert said(await made.ask(body={**asking(SAME), **change}))[""] == "MISS"
        other = {"authorization": "Bearer other"}
        assert said(await made.ask(body=asking(SAME), headers=other))[""] == "MISS"
        assert said(await made.ask(body=asking(SAME)))["-tier"] == "semantic"


def tool_call(**more):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": "x",
        "model": "gpt-4o-mini",
        "choices": [{"message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }


CALLED_STREAM = streams.sse(
    streams.chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}),
    streams.chunk({}, "stop"),  # some providers say so
    "[DONE]",
)
RESPONSE = {
    "id": "r",
    "object": "response",
    "status": "completed",
    "model": "gpt-5.1",
    "output": [{"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}],
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@pytest.mark.parametrize(
    ("script", "path", "body"),
    [
        (saying(answer(json.dumps(tool_call()).encode(), JSON)), CHAT, asking),
        (
            saying(STREAM_HEAD, chunked(*CALLED_STREAM)),
            CHAT,
            lambda text: asking(text, stream=True),
        ),
        (
            saying(answer(json.dumps(RESPONSE).encode(), JSON)),
            RESPONSES,
            lambda text: {"model": "gpt-5.1", "input": text, "store": False},
        ),
    ],
    ids=["chat", "stream", "responses"],
)
async def test_an_answer_that_calls_a_tool_serves_equal_requests_only(script, path, body, tmp_path):
    async with similar(script, tmp_path) as made:
        await made.ask(path, body(TEXT))
        await kept(made)
        assert said(await made.ask(path, body(TEXT)))["-tier"] == "exact"
        assert said(await made.ask(path, body(SAME)))[""] == "MISS"

    def count():
        from django.db import connection

        try:
            return CacheVector.objects.count()
        finally:
            connection.close()

    assert await asyncio.to_thread(count) == 0


async def test_an_entry_that_is_gone_is_a_miss_and_forgotten(tmp_path, monkeypatch):
    async with similar(good, tmp_path) as made:
        await made.ask(body=asking(TEXT))
        await kept(made)
        made.cache.memory.remove_where(lambda _: True)
        monkeypatch.setattr(store, "by_id", lambda key, now: None)
        assert said(await made.ask(body=asking(SAME)))[""] == "MISS"
        assert made.rows[1].cache_note == "semantic: the entry is gone"
        await kept(made)
        assert made.rows[0].request_id not in str(made.cache.tier._search.index)


@pytest.mark.parametrize("body", [asking(TEXT), asking(SAME)], ids=["exact", "semantic"])
async def test_in_shadow_nothing_is_served_and_the_row_says_what_would_be(body, tmp_path):
    async with similar(good, tmp_path, cache_mode="shadow") as made:
        await made.ask(body=asking(TEXT))
        await kept(made)
        response = await made.ask(body=body)
    assert made.asked == 2
    assert said(response) == {"": "MISS"}
    assert made.rows[1].cache_note.startswith("shadow: ")
    assert made.rows[1].cache_tier == ""


async def test_an_embedder_that_is_slow_is_a_miss(tmp_path):
    async with similar(good, tmp_path) as made:
        made.cache.timeout = 0.0
        response = await made.ask(body=asking(TEXT))
    assert said(response) == {"": "MISS"}
    assert made.rows[0].cache_note == "semantic: timeout"
