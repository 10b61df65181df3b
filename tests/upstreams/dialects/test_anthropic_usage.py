"""Usage of the Anthropic dialect, whole and streamed."""

import pytest

from tests.upstreams.dialects.listening import ANTHROPIC, WRITTEN, billed, listen, usage_of, whole
from tokenwatch.tokens import TokenUsage

every_spelling = pytest.mark.parametrize("write", WRITTEN)


def message(usage, **more):
    return {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "Hi! My name is Claude."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    } | more


def start(usage):
    return {
        "type": "message_start",
        "message": message(usage, content=[], stop_reason=None),
    }


def delta(usage, stop_reason="end_turn"):
    return {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": usage,
    }


TEXT = [
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    },
    {"type": "ping"},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "Hello"},
    },
    {"type": "content_block_stop", "index": 0},
]
STOP = {"type": "message_stop"}


def streamed(first, last, write=None):
    events = [start(first), *TEXT, delta(last), STOP]
    answer = listen(ANTHROPIC, *events, **({"write": write} if write else {}))
    assert answer.complete
    return usage_of(ANTHROPIC, "messages", answer)


def test_a_whole_message_with_both_kinds_of_cache_writes():
    usage = {
        "input_tokens": 2048,
        "cache_read_input_tokens": 1800,
        "cache_creation_input_tokens": 248,
        "output_tokens": 503,
        "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
        "output_tokens_details": {"thinking_tokens": 400},
        "service_tier": "priority",
        "speed": "fast",
    }
    answer = whole(ANTHROPIC, message(usage))
    assert usage_of(ANTHROPIC, "messages", answer) == TokenUsage(
        input=2048,
        cache_read=1800,
        cache_write=148,
        cache_write_1h=100,
        output=503,
        reasoning=400,
    )
    assert (answer.service_tier, answer.speed) == ("priority", "fast")
    assert (answer.model, answer.finish_reason) == ("claude-sonnet-4-5-20250929", "end_turn")
    assert answer.complete


def test_the_input_excludes_the_caches_so_the_prompt_is_their_sum():
    usage = billed(
        ANTHROPIC,
        "messages",
        message(
            {
                "input_tokens": 50,
                "cache_read_input_tokens": 150_000,
                "cache_creation_input_tokens": 60_000,
                "output_tokens": 1,
            }
        ),
    )
    assert usage.prompt_total == 210_050


@every_spelling
def test_the_output_count_at_the_start_is_a_placeholder(write):
    usage = streamed({"input_tokens": 25, "output_tokens": 1}, {"output_tokens": 15}, write)
    assert usage == TokenUsage(input=25, output=15)


@every_spelling
def test_the_split_of_a_streamed_one_hour_write_survives_the_flat_count(write):
    first = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 12_304,
        "cache_read_input_tokens": 0,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 300,
            "ephemeral_1h_input_tokens": 12_004,
        },
        "output_tokens": 1,
    }
    last = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 12_304,
        "cache_read_input_tokens": 0,
        "output_tokens": 550,
    }
    assert streamed(first, last, write) == TokenUsage(
        input=3, cache_write=300, cache_write_1h=12_004, output=550
    )


@pytest.mark.parametrize(
    ("short", "long", "flat", "expected"),
    [
        (0, 1000, 1500, (0, 1500)),  # all for an hour: what came later too
        (200, 1000, 1500, (500, 1000)),
        (200, 0, 1500, (1500, 0)),
        (200, 1000, 700, (0, 700)),  # a smaller count is the newest
        (200, 1000, None, (200, 1000)),
        (0, 0, 1500, (1500, 0)),
    ],
)
def test_cache_writes_that_grew_after_they_were_split(short, long, flat, expected):
    first = {
        "input_tokens": 3,
        "cache_creation": {
            "ephemeral_5m_input_tokens": short,
            "ephemeral_1h_input_tokens": long,
        },
    }
    usage = streamed(
        first, {"input_tokens": 3, "cache_creation_input_tokens": flat, "output_tokens": 5}
    )
    assert (usage.cache_write, usage.cache_write_1h) == expected


def test_a_split_of_nothing_at_the_end_does_not_undo_the_one_at_the_start():
    first = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 900,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 900},
    }
    last = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 900,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 5,
    }
    assert streamed(first, last).cache_write_1h == 900


@pytest.mark.parametrize(
    "silent",
    [
        {},
        {"input_tokens": None, "cache_read_input_tokens": None, "cache_creation": None},
        {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
    ],
    ids=["absent", "null", "zero"],
)
def test_a_delta_that_counts_only_output_leaves_the_prompt(silent):
    first = {
        "input_tokens": 472,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 100,
        "output_tokens": 2,
    }
    assert streamed(first, silent | {"output_tokens": 89}) == TokenUsage(
        input=472, cache_read=2000, cache_write=100, output=89
    )


@every_spelling
def test_zai_counts_everything_at_the_end(write):
    last = {"input_tokens": 14, "output_tokens": 9, "cache_read_input_tokens": 2048}
    assert streamed({"input_tokens": 0, "output_tokens": 0}, last, write) == TokenUsage(
        input=14, cache_read=2048, output=9
    )


def test_a_zai_stream_that_is_cut_has_no_usage_rather_than_none_of_it():
    answer = listen(ANTHROPIC, start({"input_tokens": 0, "output_tokens": 0}), *TEXT)
    assert usage_of(ANTHROPIC, "messages", answer) is None


def test_a_newer_smaller_count_wins():
    """Some hosts count the whole prompt as input first, and tell the cached part at the end."""
    usage = streamed(
        {"input_tokens": 1000, "output_tokens": 1},
        {"input_tokens": 100, "cache_read_input_tokens": 900, "output_tokens": 20},
    )
    assert usage == TokenUsage(input=100, cache_read=900, output=20)


@every_spelling
def test_streamed_web_search(write):
    first = {
        "input_tokens": 2679,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 3,
    }
    last = {
        "input_tokens": 10_682,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 510,
        "server_tool_use": {"web_search_requests": 1},
    }
    assert streamed(first, last, write) == TokenUsage(input=10_682, output=510, web_searches=1)


def test_several_deltas_are_cumulative():
    answer = listen(
        ANTHROPIC,
        start({"input_tokens": 10, "output_tokens": 1}),
        delta({"output_tokens": 30, "server_tool_use": {"web_search_requests": 1}}, None),
        delta({"output_tokens": 70, "server_tool_use": {"web_search_requests": 2}}),
        STOP,
    )
    assert usage_of(ANTHROPIC, "messages", answer) == TokenUsage(
        input=10, output=70, web_searches=2
    )


def test_compaction_is_billed_beside_the_other_counts():
    usage = {
        "input_tokens": 23_000,
        "output_tokens": 1000,
        "iterations": [
            {
                "type": "compaction",
                "input_tokens": 180_000,
                "output_tokens": 3500,
                "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 20,
            },
            {"type": "message", "input_tokens": 23_000, "output_tokens": 1000},
        ],
    }
    assert billed(ANTHROPIC, "messages", message(usage)) == TokenUsage(
        input=203_000, cache_read=10, cache_write=20, output=4500
    )


@pytest.mark.parametrize("seen", range(1, 6))
def test_a_stream_is_neither_complete_nor_finished_before_its_delta(seen):
    answer = listen(ANTHROPIC, *[start({"input_tokens": 25, "output_tokens": 1}), *TEXT][:seen])
    assert (answer.complete, answer.finish_reason) == (False, "")
    assert answer.model == "claude-sonnet-4-5-20250929"
    assert usage_of(ANTHROPIC, "messages", answer).input == 25


@every_spelling
def test_an_overload_in_the_middle_of_a_stream(write):
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    events = [start({"input_tokens": 25, "output_tokens": 1}), *TEXT, error]
    answer = listen(ANTHROPIC, *events, write=write)
    assert (answer.error_type, answer.complete) == ("overloaded_error", False)


def test_events_of_types_to_come_end_nothing():
    answer = listen(ANTHROPIC, start({"input_tokens": 25, "output_tokens": 1}))
    ANTHROPIC.absorb(answer, {"type": "message_paused", "usage": {"output_tokens": 7}})
    ANTHROPIC.absorb(answer, {})
    assert not answer.complete


def test_legacy_text_completions():
    def completion(text, stop=None):
        return {
            "type": "completion",
            "completion": text,
            "stop_reason": stop,
            "model": "claude-2.1",
        }

    stream = [completion(" Hello"), completion(" there"), completion("", "stop_sequence")]
    assert not listen(ANTHROPIC, *stream[:2]).complete
    answer = listen(ANTHROPIC, *stream)
    assert (answer.complete, answer.model) == (True, "claude-2.1")
    assert answer.finish_reason == "stop_sequence"
    assert usage_of(ANTHROPIC, "messages", answer) is None


def test_a_count_of_tokens_is_no_usage():
    assert billed(ANTHROPIC, "messages", {"input_tokens": 2095}) is None


def test_usage_read_from_the_edges_of_a_long_answer():
    edges = {"model": "claude-opus-4-6", "usage": {"input_tokens": 5, "output_tokens": 9}}
    answer = whole(ANTHROPIC, edges)
    assert answer.complete
    assert usage_of(ANTHROPIC, "messages", answer) == TokenUsage(input=5, output=9)


@every_spelling
@pytest.mark.parametrize(
    "text",
    ['"usage":{"input_tokens":1}', '{"type":"message_stop"}', '"stop_reason":"end_turn"'],
)
def test_text_that_looks_like_an_end_is_not_worth_parsing(text, write):
    for part in (
        {"type": "text_delta", "text": text},
        {"type": "input_json_delta", "partial_json": text},
    ):
        event = {"type": "content_block_delta", "index": 0, "delta": part}
        assert not ANTHROPIC.telling.search(write(event).encode())
