"""What a tap hears and what it lets through, whatever the chunk boundaries."""

import gzip
import json

import pytest

from proxy import tap as tap_module
from proxy.tap import ByteTap, JsonTap, StreamTap, tap_for
from tests.proxy import streams
from tokenwatch.tokens import TokenUsage
from upstreams.dialects import DIALECTS

OPENAI = DIALECTS["openai"]
ANTHROPIC = DIALECTS["anthropic"]
CHAT = OPENAI.endpoint("POST", "v1/chat/completions")
RESPONSES = OPENAI.endpoint("POST", "v1/responses")
MESSAGES = ANTHROPIC.endpoint("POST", "v1/messages")

OPENAI_EXPECTED = TokenUsage(input=60, cache_read=40, output=9, reasoning=3)
STREAMS = {
    "openai": (OPENAI, CHAT, streams.OPENAI, OPENAI_EXPECTED, "gpt-4o-mini-2024-07-18", "stop"),
    "anthropic": (
        ANTHROPIC,
        MESSAGES,
        streams.ANTHROPIC,
        TokenUsage(input=25, cache_read=50, cache_write=100, cache_write_1h=200, output=15),
        "claude-sonnet-4-5-20250929",
        "end_turn",
    ),
    "responses": (
        OPENAI,
        RESPONSES,
        streams.RESPONSES,
        TokenUsage(input=30, cache_read=6, output=87, reasoning=64),
        "gpt-5.1-2025-11-13",
        None,
    ),
}


def feed(tap, chunks):
    return b"".join([*(tap.feed(chunk) for chunk in chunks), tap.end()])


def at_every_byte(data: bytes):
    return ([data[:position], data[position:]] for position in range(len(data) + 1))


@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize("name", STREAMS)
def test_any_boundary_gives_the_same_bytes_and_the_same_usage(name, crlf):
    dialect, endpoint, events, expected, model, finish = STREAMS[name]
    stream = b"".join(events)
    if crlf:
        stream = stream.replace(b"\n", b"\r\n")
    variants = [*at_every_byte(stream), [bytes([byte]) for byte in stream], events]
    for chunks in variants:
        tap = StreamTap(dialect, b"", remove_usage=False)
        assert feed(tap, chunks) == b"".join(chunks)
        assert dialect.token_usage(endpoint, tap.answer) == expected
        assert (tap.answer.model, tap.answer.complete) == (model, True)
        if finish:
            assert tap.answer.finish_reason == finish


@pytest.mark.parametrize("crlf", [False, True])
def test_the_usage_we_asked_for_is_taken_out_at_any_boundary(crlf):
    asked, unasked = b"".join(streams.OPENAI), b"".join(streams.OPENAI_UNASKED)
    if crlf:
        asked, unasked = asked.replace(b"\n", b"\r\n"), unasked.replace(b"\n", b"\r\n")
    for chunks in [*at_every_byte(asked), [bytes([byte]) for byte in asked]]:
        tap = StreamTap(OPENAI, b"", remove_usage=True)
        assert feed(tap, chunks) == unasked
        assert OPENAI.token_usage(CHAT, tap.answer) == OPENAI_EXPECTED


def test_whole_events_go_on_at_once_although_usage_is_taken_out():
    tap = StreamTap(OPENAI, b"", remove_usage=True)
    sent = [tap.feed(event) for event in streams.OPENAI]
    assert [out for out in sent if out] == streams.OPENAI_UNASKED


def test_usage_in_a_chunk_with_choices_stays():
    events = streams.sse(
        streams.chunk({"content": "hi"}, usage={"prompt_tokens": 5, "completion_tokens": 1}),
        streams.chunk({}, "stop", usage={"prompt_tokens": 5, "completion_tokens": 2}),
        "[DONE]",
    )
    tap = StreamTap(OPENAI, b"", remove_usage=True)
    assert feed(tap, events) == b"".join(events)
    assert OPENAI.token_usage(CHAT, tap.answer) == TokenUsage(input=5, output=2)


def test_comments_and_pings_pass():
    events = [b": OPENROUTER PROCESSING\n\n", *streams.OPENAI]
    tap = StreamTap(OPENAI, b"", remove_usage=True)
    assert feed(tap, events) == b": OPENROUTER PROCESSING\n\n" + b"".join(streams.OPENAI_UNASKED)
    assert tap.answer.model == "gpt-4o-mini-2024-07-18"


def test_a_last_event_without_its_blank_line_counts():
    stream = b"".join(streams.OPENAI[:-1]).removesuffix(b"\n\n")
    tap = StreamTap(OPENAI, b"", remove_usage=False)
    assert feed(tap, [stream]) == stream
    assert OPENAI.token_usage(CHAT, tap.answer) == OPENAI_EXPECTED


def test_a_compressed_stream_is_read_and_passed_on_compressed():
    packed = gzip.compress(b"".join(streams.ANTHROPIC))
    tap = StreamTap(ANTHROPIC, b"gzip", remove_usage=False)
    assert feed(tap, [packed[:100], packed[100:]]) == packed
    assert tap.answer.finish_reason == "end_turn"


def test_a_compressed_stream_with_our_usage_chunk_is_sent_on_plain():
    packed = gzip.compress(b"".join(streams.OPENAI))
    tap = tap_for(OPENAI, b"text/event-stream", b"gzip", accounted=True, remove_usage=True)
    assert tap.rewrites
    assert feed(tap, [packed[:100], packed[100:]]) == b"".join(streams.OPENAI_UNASKED)


def test_a_stream_in_an_unknown_encoding_passes_untouched():
    tap = tap_for(OPENAI, b"text/event-stream", b"snappy", accounted=True, remove_usage=True)
    assert not tap.rewrites
    assert feed(tap, [b"\x00\x01"]) == b"\x00\x01"
    assert tap.answer.model == ""


def test_an_endless_event_passes_unread(monkeypatch):
    monkeypatch.setattr("proxy.sse.MAX_EVENT", 1000)
    for remove in (False, True):
        tap = StreamTap(OPENAI, b"", remove_usage=remove)
        parts = [b'data: {"x":"' + b"a" * 600, b"a" * 600, b"a" * 600, b'"}\n\n', *streams.OPENAI]
        out = feed(tap, parts)
        tail = streams.OPENAI_UNASKED if remove else streams.OPENAI
        assert out == b"".join([*parts[:4], *tail])
        assert OPENAI.token_usage(CHAT, tap.answer) == OPENAI_EXPECTED


def test_tokens_of_a_broken_stream_are_estimated_from_its_text():
    tap = StreamTap(ANTHROPIC, b"", remove_usage=False)
    feed(tap, streams.ANTHROPIC[:5])  # "Hello there, how are you this fine morning?"
    assert 7 <= tap.estimated_output() <= 15


def test_tokens_of_a_very_long_broken_stream_are_extrapolated(monkeypatch):
    events = streams.sse(*[streams.chunk({"content": "word " * 20})] * 1000)
    whole = StreamTap(OPENAI, b"", remove_usage=False)
    feed(whole, events)
    monkeypatch.setattr(tap_module, "KEPT_FOR_ESTIMATE", 20_000)
    bounded = StreamTap(OPENAI, b"", remove_usage=False)
    feed(bounded, events)
    assert bounded._kept_size < 25_000
    assert bounded.estimated_output() == pytest.approx(whole.estimated_output(), rel=0.05)


COMPLETION = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"message": {"content": "Hi there"}, "finish_reason": "stop"}],
    "usage": streams.OPENAI_USAGE,
}


@pytest.mark.parametrize("encoding", [b"", b"gzip"])
def test_a_json_answer_is_read_in_any_chunks(encoding):
    body = json.dumps(COMPLETION).encode()
    if encoding:
        body = gzip.compress(body)
    for chunks in at_every_byte(body):
        tap = JsonTap(OPENAI, encoding)
        assert feed(tap, chunks) == body
        assert OPENAI.token_usage(CHAT, tap.answer) == OPENAI_EXPECTED
        assert tap.answer.complete


def test_the_edges_of_a_long_answer_tell_model_and_usage(monkeypatch):
    monkeypatch.setattr(tap_module, "MAX_WHOLE", 1000)
    monkeypatch.setattr(tap_module, "EDGE", 400)
    vectors = [{"embedding": "A" * 5000, "index": i} for i in range(3)]
    body = json.dumps(
        {
            "object": "list",
            "model": "text-embedding-3-small",
            "data": vectors,
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    ).encode()
    tap = JsonTap(OPENAI, b"")
    assert feed(tap, [body[:700], body[700:1500], body[1500:]]) == body
    assert tap.answer.model == "text-embedding-3-small"
    endpoint = OPENAI.endpoint("POST", "v1/embeddings")
    assert OPENAI.token_usage(endpoint, tap.answer) == TokenUsage(input=8)


def test_an_answer_without_usage_is_estimated_from_its_text():
    body = json.dumps({**COMPLETION, "usage": None}).encode()
    tap = JsonTap(OPENAI, b"")
    feed(tap, [body])
    assert OPENAI.token_usage(CHAT, tap.answer) is None
    assert 1 <= tap.estimated_output() <= 4


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b"null", b'"text"', b"{", b"\xff\xfe"])
def test_what_is_no_json_object_passes(body):
    tap = JsonTap(OPENAI, b"")
    assert feed(tap, [body]) == body
    assert tap.answer.usage == {}


def test_other_content_passes_unread():
    tap = tap_for(OPENAI, b"audio/mpeg", b"", accounted=True, remove_usage=False)
    assert isinstance(tap, ByteTap)
    assert feed(tap, [b"\x00", b"\x01"]) == b"\x00\x01"
    assert tap.answer.complete


def test_free_endpoints_are_not_read():
    tap = tap_for(OPENAI, b"application/json", b"", accounted=False, remove_usage=False)
    assert isinstance(tap, ByteTap)
