"""Whatever an upstream sends: nothing raises, and counters are never negative or at odds."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.upstreams.dialects.listening import ANTHROPIC, OPENAI, PATHS
from upstreams.dialects.base import Answer
from upstreams.dialects.estimate import prompt_tokens, text_tokens
from upstreams.dialects.requests import (
    is_usage_only_chunk,
    last_user_text,
    requested_model,
    wants_stream,
)

NAMES = [
    "type",
    "error",
    "code",
    "message",
    "object",
    "model",
    "usage",
    "service_tier",
    "speed",
    "choices",
    "delta",
    "finish_reason",
    "response",
    "output",
    "item",
    "status",
    "action",
    "tool_usage",
    "web_search",
    "num_requests",
    "x_groq",
    "text",
    "duration",
    "seconds",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
    "output_tokens_details",
    "input_token_details",
    "cached_tokens",
    "cache_write_tokens",
    "cached_tokens_details",
    "audio_tokens",
    "image_tokens",
    "reasoning_tokens",
    "cache_creation",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "iterations",
    "server_tool_use",
    "web_search_requests",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "stop_reason",
    "content",
    "content_block",
    "messages",
    "role",
    "input",
    "prompt",
    "system",
    "tools",
    "source",
    "data",
    "tool_calls",
    "function",
    "arguments",
    "thinking",
    "incomplete_details",
    "reason",
    "num_search_queries",
]
WORDS = [
    "message_start",
    "message_delta",
    "message_stop",
    "message",
    "error",
    "completion",
    "content_block_delta",
    "response.created",
    "response.completed",
    "response.output_item.done",
    "transcript.text.done",
    "image_generation.completed",
    "response",
    "chat.completion.chunk",
    "text_completion",
    "web_search_call",
    "file_search_call",
    "compaction",
    "user",
    "text",
    "input_text",
    "search",
    "failed",
    "completed",
    "stop",
    "default",
    "content",
]

names = st.sampled_from(NAMES)
counts = st.integers(0, 5000)
odd = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(WORDS)
)
values = st.recursive(
    counts | odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
details = st.dictionaries(
    st.sampled_from([name for name in NAMES if name.endswith("_tokens")]), counts | odd, max_size=6
)
usages = st.dictionaries(
    st.sampled_from([name for name in NAMES if "token" in name or "cache" in name]),
    counts | counts | odd | details,
    max_size=12,
)
bodies = st.builds(
    lambda body, usage: body | ({"usage": usage} if usage is not None else {}),
    st.dictionaries(names, values, max_size=6),
    st.none() | usages,
)
dialects = st.sampled_from([OPENAI, ANTHROPIC])
lenient = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def check(usage):
    """The promises of `TokenUsage`."""
    for name in usage.__slots__:
        value = getattr(usage, name)
        assert value >= 0
        assert math.isfinite(value)
        assert isinstance(value, float if name == "audio_seconds" else int) or value == 0
    assert usage.input_audio + usage.input_image <= usage.input
    assert usage.cache_read_audio + usage.cache_read_image <= usage.cache_read
    assert usage.output_audio + usage.output_image + usage.reasoning <= usage.output


@lenient
@given(dialects, st.lists(bodies, min_size=1, max_size=3))
def test_any_events_are_taken_in(dialect, events):
    answer = Answer()
    for event in events:
        dialect.absorb(answer, event)
        assert isinstance(dialect.delta_text(event), str)
    for text in (answer.model, answer.service_tier, answer.speed):
        assert isinstance(text, str)
    assert isinstance(answer.finish_reason + answer.error_type, str)
    for path in PATHS.values():
        usage = dialect.token_usage(dialect.endpoint("POST", path), answer)
        if usage is not None:
            check(usage)


@lenient
@given(dialects, st.lists(usages, max_size=3))
def test_any_usage_object_is_read(dialect, pieces):
    answer = Answer(complete=True)
    for usage in pieces:
        dialect.absorb(answer, {"type": "message", "usage": usage})
    for path in PATHS.values():
        usage = dialect.token_usage(dialect.endpoint("POST", path), answer)
        if usage is not None:
            check(usage)


@lenient
@given(dialects, bodies)
def test_any_request_is_read(dialect, body):
    assert prompt_tokens(dialect, body) >= text_tokens(dialect.prompt_text(body))
    assert isinstance(last_user_text(dialect, body), str)
    assert isinstance(requested_model(body), str)
    assert isinstance(wants_stream(body), bool)
    assert isinstance(is_usage_only_chunk(body), bool)


@lenient
@given(dialects, st.text(max_size=30), st.text(max_size=40))
def test_any_path_is_classified(dialect, method, path):
    assert dialect.endpoint(method, path).billing in {"tokens", "units", "free", "unknown"}
    assert dialect.endpoint("POST", path).billing in {"tokens", "units", "free", "unknown"}


@given(
    prompt=counts,
    read=counts,
    write=counts,
    output=counts,
    reasoning=counts,
    beside=st.booleans(),
)
def test_openai_counts_add_up_to_the_total_it_states(
    prompt, read, write, output, reasoning, beside
):
    """Whether reasoning is inside or beside: prompt and output are the provider's own total."""
    reasoning = reasoning if beside else min(reasoning, output)
    total = prompt + output + (reasoning if beside else 0)
    answer = Answer()
    OPENAI.absorb(
        answer,
        {
            "object": "chat.completion",
            "choices": [{"message": {}, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": output,
                "total_tokens": total,
                "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": write},
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            },
        },
    )
    usage = OPENAI.token_usage(OPENAI.endpoint("POST", PATHS["chat"]), answer)
    assert usage is not None
    assert usage.prompt_total + usage.output == total
    assert usage.reasoning == reasoning


@given(st.lists(counts, min_size=3, max_size=3), counts, counts, counts)
def test_anthropic_counts_are_kept_apart_and_whole(prompt, short, long, output):
    fresh, read, flat = prompt
    answer = Answer()
    ANTHROPIC.absorb(
        answer,
        {
            "type": "message",
            "usage": {
                "input_tokens": fresh,
                "cache_read_input_tokens": read,
                "cache_creation_input_tokens": flat,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": short,
                    "ephemeral_1h_input_tokens": long,
                },
                "output_tokens": output,
            },
        },
    )
    usage = ANTHROPIC.token_usage(ANTHROPIC.endpoint("POST", PATHS["messages"]), answer)
    assert usage is not None
    assert (usage.output, usage.prompt_total >= 0) == (output, True)
    if fresh + read + flat:
        assert (usage.input, usage.cache_read) == (fresh, read)
        assert usage.cache_write + usage.cache_write_1h == flat


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_usage_nested_without_end_is_taken_in(dialect):
    nested: dict = {}
    for _ in range(1000):
        nested = {"prompt_tokens_details": nested}
    answer = Answer()
    for _ in range(2):
        dialect.absorb(answer, {"model": "m", "usage": nested})
    assert dialect.token_usage(dialect.endpoint("POST", "v1/messages"), answer) is None
