"""The short way of reading a whole chat completion says what the general one says."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstreams.dialects.base import Answer
from upstreams.dialects.openai import OpenAI

OPENAI = OpenAI()
CHAT = OPENAI.endpoint("POST", "v1/chat/completions")

small = st.sampled_from([0, 1, 7, None, -1, 2**60, 1.0, "1", True])
details = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens", "image_tokens"]), small
)
usages = st.fixed_dictionaries(
    {
        "prompt_tokens": st.just(3),
        "completion_tokens": st.sampled_from([4, 4, 4, None, "4", 2**60]),
        "total_tokens": st.sampled_from([7, 7, 7, 8, None]),
    },
    optional={
        "prompt_tokens_details": details,
        "completion_tokens_details": details,
        "cached_tokens": small,
    },
)
choices = st.lists(
    st.fixed_dictionaries(
        {"message": st.just({"role": "assistant", "content": "ü"})},
        optional={
            "finish_reason": st.sampled_from(["stop", "length", "", None, 1]),
            "delta": st.sampled_from([{}, None]),
            "usage": usages,
        },
    ),
    max_size=2,
)
answers = st.fixed_dictionaries(
    {
        "object": st.sampled_from(["chat.completion", "chat.completion", "chat.completion.chunk"]),
        "model": st.sampled_from(["gpt-4o", "", None, 3]),
        "choices": choices,
        "usage": usages,
    },
    optional={
        "service_tier": st.sampled_from(["default", None, 1]),
        "error": st.sampled_from([None, {"type": "x"}, "no"]),
        "type": st.sampled_from([None, "error"]),
        "response": st.sampled_from([None, {"model": "other"}]),
        "x_groq": st.just({"usage": {"prompt_tokens": 9}}),
        "id": st.text(max_size=3),
    },
)


def usual(**values):
    return {
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        "service_tier": "default",
        **values,
    }


def read(data):
    """By both ways; the short one's is None where it declines."""
    short, general = Answer(), Answer()
    taken = OPENAI.absorb_plain(short, data)
    OPENAI.absorb(general, orjson.loads(data))
    return (short if taken else None), general


def facts(answer):
    usage = OPENAI.token_usage(CHAT, answer)
    return (
        answer.model,
        answer.service_tier,
        answer.finish_reason,
        answer.error_type,
        answer.complete,
        usage,
    )


@given(answers)
def test_both_ways_agree(answer):
    short, general = read(orjson.dumps(answer))
    if short is not None:
        assert facts(short) == facts(general)


def test_the_usual_answer_goes_the_short_way():
    short, general = read(orjson.dumps(usual()))
    assert short is not None
    assert facts(short) == facts(general)


@pytest.mark.parametrize(
    "values",
    [
        {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}},
        {"usage": usual()["usage"] | {"prompt_tokens_details": {"cached_tokens": 2}}},
        {"usage": usual()["usage"] | {"prompt_cache_hit_tokens": 2}},
        {"error": {"message": "no"}},
        {"choices": []},
        {"object": "chat.completion.chunk"},
    ],
)
def test_what_is_unusual_is_left_to_the_general_way(values):
    short, _ = read(orjson.dumps(usual(**values)))
    assert short is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": "\xff"}'])
def test_no_json_is_no_answer(data):
    assert not OPENAI.absorb_plain(Answer(), data)
